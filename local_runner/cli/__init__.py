"""The `hone` command: one file per family of commands. Nothing here computes; bodies import what they need."""
