"""The network service's word for this host, polled and brought about; what came of it, reported back."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from keystoneauth1.session import Session

from infra import logs
from infra.host.network.filters import FilterPoll
from infra.host.network.states import PortStates
from infra.host.services.rest import Service
from infra.openstack import NETWORK
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.hostnet.plane import DataPlane
    from infra.hostnet.topology import Topology

REPORT_S = 3.0
RETRY_S = 2.0
AGAIN_S = 60.0
"""How often the word is taken over again although it has not changed: what the host has lost of it comes back."""
log = logs.get(__name__)


class TopologyPoll:
    """Call it again and again: an answer that has not changed costs the network service looks at a number, and is
    given after `wait_s`; one that has changed is given at once.

    A network service that does not know the question (a real Neutron) has agents of its own for networks and routers;
    it is asked for filters only."""

    def __init__(
        self, settings: Settings, session: Session, plane: "DataPlane", states: PortStates, wait_s: float = 0.0
    ) -> None:
        self._states, self._wait_s = states, wait_s
        self._api = Service(session, NETWORK, "/v2.0", settings.region)
        self._host, self._plane = settings.host, plane
        self._filters = FilterPoll(settings, self._api, plane)
        self._etag, self._followed = "", float("-inf")
        self._embedded = True
        self._reported = self._failed = float("-inf")

    def __call__(self) -> bool:
        """Whether anything was brought about."""
        if time.monotonic() - self._failed < RETRY_S:
            return False
        changed = self._follow() if self._embedded else self._filters()
        if self._embedded and (changed or time.monotonic() - self._reported >= REPORT_S):
            self._report()
        return changed

    def _follow(self) -> bool:
        from infra.hostnet.topology import Topology

        again = time.monotonic() - self._followed >= AGAIN_S
        known = {"If-None-Match": self._etag} if self._etag and not again else {}
        params = {"host": self._host, "wait": self._wait_s}
        answer = self._api.ask("GET", "/kilonova/topology", 200, 304, 404, params=params, headers=known)
        if answer.status_code == 404:
            self._embedded = False
            return self._filters()
        if answer.status_code == 304:
            return False
        self._etag = ""  # until all of it is in force
        if bring_about(self._plane, Topology.model_validate(answer.json())):
            self._failed = time.monotonic()
        else:
            self._etag, self._followed = answer.headers.get("ETag", ""), time.monotonic()
        return True

    def _report(self) -> None:
        self._states.report()
        self._reported = time.monotonic()


def bring_about(plane: "DataPlane", wanted: "Topology") -> list[str]:
    """Rules first, then networks and what lies in them, then what is gone; what could not be had, in words. One failure
    stops no other."""
    from infra.hostnet.netns import HostNetworkError

    failed: list[str] = []

    def attempt(what: str, work: Callable[[], object]) -> None:
        try:
            work()
        except HostNetworkError as error:
            log.warning("the network service's word cannot be had here", what=what, reason=str(error))
            failed.append(f"{what}: {error}")

    attempt("rules", lambda: plane.apply_groups(wanted.ports, wanted.sets))
    for network in wanted.networks:
        attempt(f"network {network.id}", lambda network=network: plane.ensure_network(network))  # type: ignore[misc]
    attempt("trunks", plane.carry_trunks)
    for router in wanted.routers:
        attempt(f"router {router.id}", lambda router=router: plane.ensure_router(router))  # type: ignore[misc]
    attempt("removal", lambda: plane.keep_only({n.id for n in wanted.networks}, {r.id for r in wanted.routers}))
    return failed
