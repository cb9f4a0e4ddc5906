"""Reports, cards and exported packages: projections of a run's manifests. Nothing is measured here."""
