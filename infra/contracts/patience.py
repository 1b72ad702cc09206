"""How long operations wait. Read at each use, so that tests can shorten them; no history depends on them."""

from datetime import timedelta

WATCH_EVERY = timedelta(seconds=20)
"""How often an operation looks after its host and its deadline."""
DELETE_LOOKS_EVERY = timedelta(seconds=15)
HOST_PATIENCE = timedelta(minutes=15)
"""A host that is up but does not get a delete done in so long is left to its own reconciliation."""
LATER_LOOKS_EVERY = timedelta(minutes=1)
"""So long after it began a later request, or found the server busy, its timer looks whether that was enough."""
FOR_RECORDS = timedelta(minutes=5)
"""So long a record step is tried; then the store counts as gone, and what was done is undone."""
FOR_AN_UNDO = timedelta(minutes=10)
"""So long an undo is tried. What it could not undo is named, the audit finds it, and the operation goes on."""
