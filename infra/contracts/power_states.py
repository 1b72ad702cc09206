"""Nova's power states of a guest, as its database and API have them. Source: nova/compute/power_state.py."""

NOSTATE, RUNNING, PAUSED, SHUTDOWN, CRASHED, SUSPENDED = 0, 1, 3, 4, 6, 7
