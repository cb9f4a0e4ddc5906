"""The contracts: every value that crosses a process, a file or a network is one of these models.

Frozen pydantic models with ``extra="forbid"``; this package imports the standard library and pydantic, nothing else.
"""
