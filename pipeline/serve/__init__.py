"""The serve stage: an engine is started, compared with training and evaluation, and stopped."""
