"""The data stage: sources become rows, rows conversations, conversations splits, and everything removed is counted."""
