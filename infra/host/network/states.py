"""What a host says of its ports to the network service: one word after the other, so that the last one is true."""

import threading
from typing import TYPE_CHECKING

from keystoneauth1.session import Session

from infra.host.services.rest import Service
from infra.openstack import NETWORK
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.hostnet.plane import DataPlane


class PortStates:
    """Thread-safe. A network service that does not know the question (a real Neutron) has agents of its own, and is
    told nothing."""

    def __init__(self, settings: Settings, session: Session, plane: "DataPlane") -> None:
        self._api = Service(session, NETWORK, "/v2.0", settings.region)
        self._settings, self._plane = settings, plane
        self._turn = threading.Lock()
        self._embedded = True

    def report(self) -> None:
        """All that this host serves, as the kernel shows it."""
        with self._turn:
            self._say(self._plane.report().model_dump())

    def carried(self, instance_id: str) -> None:
        """The guest's interfaces are there by now, and its server may be called ACTIVE: so are its ports.

        A report that was made before cannot come after it."""
        from infra.hostnet.plane import Report

        mine = self._plane.tapped(instance_id)
        if mine and self._embedded:
            known = {"tunnel_ip": self._settings.tunnel_ip, "bridge_mappings": self._settings.bridge_mappings}
            with self._turn:
                self._say(Report(ports=mine, **known).model_dump())

    def _say(self, body: dict[str, object]) -> None:
        answer = self._api.ask("PUT", f"/kilonova/hosts/{self._settings.host}", 204, 404, json=body)
        self._embedded = answer.status_code == 204
