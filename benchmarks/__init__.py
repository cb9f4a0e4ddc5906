"""Benchmarks: each measures hone against a named alternative in one run, interleaved, and prints medians."""
