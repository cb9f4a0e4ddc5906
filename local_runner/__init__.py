"""Where a run happens on this machine: the `hone` command, local environments, local serving, the tiny base."""
