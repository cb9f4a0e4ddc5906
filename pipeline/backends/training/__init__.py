"""What all trainers share, written once: models, adapters, checkpoints, budget, events, recovery, export."""
