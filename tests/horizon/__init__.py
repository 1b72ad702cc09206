"""Horizon in a browser, against a cloud with real guests."""
