"""The plan stage: what the run will do, on what, for how long and how much, and what its test split could show."""
