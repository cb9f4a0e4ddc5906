"""The detectors: one file each; `pipeline.monitor.registry` is their table."""
