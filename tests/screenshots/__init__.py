"""Pictures of the Web UI and of a guest's console, taken by headless Chromium."""
