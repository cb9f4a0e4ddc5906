"""Where, here: the `hone` command, local environments, local serving, the tiny base model."""
