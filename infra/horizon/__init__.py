"""OpenStack's Horizon as `kilonova up --with horizon` starts it: its environment, its settings, its server."""
