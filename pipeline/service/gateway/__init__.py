"""The gateway: a thin process between clients and engines that splits traffic, watches a rollout and remembers."""
