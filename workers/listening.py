"""Notes that the compute API takes hosts' reports, as long as it does: see infra/stores/listening.py."""

import asyncio
import socket
from datetime import timedelta

import uvicorn

from infra import logs
from infra.database import Database
from infra.settings import Settings
from infra.stores.listening import listen

log = logs.get(__name__)
NOTES = 6
"""So many in the time for which a host may be silent."""


async def listening(settings: Settings, server: uvicorn.Server) -> None:
    """For ever. A host has to be heard before half of its time is over, so an API that was away for less than that
    was not away."""
    database, machine = Database("compute", state_dir=settings.state_dir), socket.gethostname()
    pause = timedelta(seconds=settings.host_down_after_s / 2)

    def note() -> None:
        with database.transaction() as store:
            listen(store, machine, pause)

    while True:
        if not server.started:
            await asyncio.sleep(0.1)
            continue
        try:
            await asyncio.to_thread(note)
        except Exception:
            log.warning("that this API listens could not be noted", exc_info=True)
        await asyncio.sleep(min(settings.heartbeat_s, settings.host_down_after_s / NOTES))
