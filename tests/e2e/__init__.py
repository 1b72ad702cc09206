"""The seeds' walkthrough, and what a clone has to show without more, on real processes and QEMU guests."""
