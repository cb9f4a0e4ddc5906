"""The checks of the preflight, a file for each subject. `schemas.faults` has the table of what they look for."""
