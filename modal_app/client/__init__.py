"""The side of whoever runs the modal command: verbs, uploads, what a terminal shows, what is asked before."""
