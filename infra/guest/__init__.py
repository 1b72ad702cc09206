"""The test guest: its image sources, builder and kernel."""
