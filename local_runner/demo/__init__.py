"""The embedded default: a synthetic support-triage task, a second task to retain, and a tiny base model."""
