"""Asks Kilonova and a real OpenStack the same, and tells where their answers differ: `python -m tests.peer --help`."""
