"""A container of the endpoint: what it serves, how it starts, switches and ends."""
