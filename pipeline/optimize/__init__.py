"""The optimize stage: one variant of a trained model, checked against its parent."""
