"""The HTTP face: what other programs may ask of hone. Its frameworks are imported by nothing else."""
