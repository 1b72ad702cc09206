"""Floating addresses of servers' ports, as the network service has them: an address may move while no server does."""

import threading
import time
from collections.abc import Callable

from temporalio.exceptions import ApplicationError

from api.compute.call import ComputeCall
from infra import logs
from infra.contracts.errors import NeighbourAway
from infra.host.services.rest import Service
from infra.openstack import NETWORK, service_session
from infra.settings import Settings

LOOK_S = 2.0
"""How old an answer may be. One request in this time waits for a look, of all projects' addresses at once."""
PATIENCE_S = 5.0
FIELDS = ("id", "port_id", "fixed_ip_address", "floating_ip_address")
log = logs.get(__name__)


def floating_of(call: ComputeCall) -> Callable[[str, str], list[str]]:
    """`FloatingAddresses.of`, after a look where it is time for one: a server without addresses asks for none."""
    known: FloatingAddresses = call.request.app.state.floating

    def of(port_id: str, fixed: str) -> list[str]:
        known.look()
        return known.of(port_id, fixed)

    return of


class FloatingAddresses:
    """Asked as the compute service's own user. While the network service is away, what it said last stays true:
    nothing that was not looked at is said to be gone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[tuple[str, str], list[str]] = {}
        self._turn, self._next, self._failing = threading.Lock(), 0.0, False
        self._service: Service | None = None

    def of(self, port_id: str, fixed: str) -> list[str]:
        """Floating addresses that lead to this address of the port."""
        return self._known.get((port_id, fixed), [])

    def look(self) -> None:
        """Look, if the last look is too old and nobody else is at it; never raises."""
        if (
            time.monotonic() < self._next
            or not self._settings.service_username
            or not self._turn.acquire(blocking=False)
        ):
            return
        try:
            self._known = self._read()
            self._failing = False
        except (NeighbourAway, ApplicationError, ValueError, KeyError) as error:  # refused: a network without routers
            if not self._failing:
                log.warning("floating addresses are those of the last look", error=str(error))
            self._failing = True
        finally:
            self._next = time.monotonic() + LOOK_S
            self._turn.release()

    def _read(self) -> dict[tuple[str, str], list[str]]:
        if self._service is None:
            session = service_session(self._settings)
            session.timeout = PATIENCE_S
            self._service = Service(session, NETWORK, "/v2.0", self._settings.region)
        found: dict[tuple[str, str], list[str]] = {}
        for one in self._service.pages("/floatingips", "floatingips", {"fields": list(FIELDS)}, connect_retries=0):
            if one["port_id"]:
                led_to = found.setdefault((one["port_id"], one["fixed_ip_address"]), [])
                led_to.append(one["floating_ip_address"])
        return found
