"""Nova's power states of a guest, as its database and API have them. Source: nova/compute/power_state.py."""

NOSTATE, RUNNING, PAUSED, SHUTDOWN, CRASHED, SUSPENDED = 0, 1, 3, 4, 6, 7
DISK_ERROR = "a disk does not answer"
"""The reason with which a host tells that a guest is paused until it does; which disk follows."""
