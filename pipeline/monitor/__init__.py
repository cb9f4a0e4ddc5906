"""Monitoring: captured answers in Parquet partitions, and detectors that compare two windows of them."""
