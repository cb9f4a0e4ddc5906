"""Parts of the check on a GPU; `benchmarks.gpu_check` runs them, each in a process of its own."""
