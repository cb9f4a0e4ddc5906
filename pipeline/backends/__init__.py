"""The only files that may name a framework: one ``<capability>_<library>.py`` each."""
