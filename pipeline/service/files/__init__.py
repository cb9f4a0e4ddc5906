"""`/v1/files`: uploads, streamed to disk, and what the service writes for its users."""
