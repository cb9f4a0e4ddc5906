"""The train stage: rows to tokens, tokens to a model."""
