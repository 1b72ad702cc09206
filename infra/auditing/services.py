"""Ports, attachments and volumes as an audit reads them: page by page, in the few words that are compared."""

from collections.abc import Iterable, Iterator
from typing import Any

from keystoneauth1.exceptions import ClientException, EndpointNotFound
from keystoneauth1.session import Session

from infra.contracts.audit import AttachmentSeen, PortSeen, VolumeSeen
from infra.contracts.snapshot import SHELVED
from infra.contracts.volume import GOES_WITH_IT, MADE_FOR
from infra.host.services.cinder import VERSION
from infra.host.services.neutron import MARK
from infra.host.services.rest import PAGE, Service
from infra.hostnet.topology import Topology
from infra.openstack import IMAGE, NETWORK, VOLUME, found_as
from infra.settings import Settings

FIELDS = ("id", "name", "device_id", "device_owner", "binding:host_id", "binding:profile")
Body = dict[str, Any]


class AuditedServices:
    """Every method raises as `Service` sorts: a service that does not answer has said nothing."""

    def __init__(self, settings: Settings, session: Session) -> None:
        self._network = Service(session, NETWORK, "/v2.0", settings.region)
        self._volume = Service(session, VOLUME, "/v3", settings.region)
        self._image = Service(session, IMAGE, "/v2", settings.region)
        self._session, self._region = session, settings.region

    def has_volumes(self) -> bool:
        """Whether the catalog has a volume service."""
        try:
            return bool(self._session.get_endpoint(**found_as(VOLUME, self._region)))
        except EndpointNotFound:
            self._session.invalidate()  # the next audit reads the catalog anew
            return False
        except ClientException as error:
            raise self._volume.out_of_reach(error) from error

    def ports(self) -> Iterator[tuple[str, PortSeen]]:
        """Every port of a server, ours or not: (id, port)."""
        for port in self._network.pages("/ports", "ports", {"fields": list(FIELDS)}):
            if (port.get("device_owner") or "").startswith("compute:"):
                yield port["id"], _port(port)

    def ports_of(self, instance_id: str, more: Iterable[str]) -> Iterator[tuple[str, PortSeen]]:
        """Ports of one server, and those of the ids in `more` that there are."""
        answer = self._network.ask("GET", "/ports", params={"device_id": instance_id, "fields": list(FIELDS)})
        for port in answer.json()["ports"]:
            yield port["id"], _port(port)
        for id in more:
            one = self._network.ask("GET", f"/ports/{id}", 200, 404)
            if one.status_code == 200:
                yield id, _port(one.json()["port"])

    def told(self, host: str) -> Topology | None:
        """What the network service tells a host; None from a real Neutron, which has agents of its own."""
        answer = self._network.ask("GET", "/kilonova/topology", 200, 404, params={"host": host})
        return Topology.model_validate(answer.json()) if answer.status_code == 200 else None

    def attachments(self) -> Iterator[tuple[str, AttachmentSeen]]:
        for found in self._volume.pages("/attachments", "attachments", {"all_tenants": "1"}, headers=VERSION):
            yield found["id"], _attachment(found)

    def attachments_of(self, ids: Iterable[str]) -> Iterator[tuple[str, AttachmentSeen]]:
        for id in ids:
            answer = self._volume.ask("GET", f"/attachments/{id}", 200, 404, headers=VERSION)
            if answer.status_code == 200:
                yield id, _attachment(answer.json()["attachment"])

    def volumes(self) -> Iterator[tuple[str, VolumeSeen]]:
        """Those that a build made, as they say, and that nothing uses."""
        for volume in self._volume.pages("/volumes/detail", "volumes", {"all_tenants": "1"}, headers=VERSION):
            yield from _volume(volume)

    def volumes_of(self, ids: Iterable[str]) -> Iterator[tuple[str, VolumeSeen]]:
        for id in ids:
            answer = self._volume.ask("GET", f"/volumes/{id}", 200, 404, headers=VERSION)
            if answer.status_code == 200:
                yield from _volume(answer.json()["volume"])

    def shelved_images(self, instance_id: str = "") -> Iterator[tuple[str, str]]:
        """(image, server) of every image that says that a server was shelved into it; of one server's only."""
        query: Body = {SHELVED: "True", "limit": PAGE} | ({"instance_uuid": instance_id} if instance_id else {})
        path: str | None = "/images"
        while path:
            found = self._image.ask("GET", path, params=query).json()
            yield from ((image["id"], image.get("instance_uuid", "")) for image in found["images"])
            path, query = (found.get("next") or "").removeprefix("/v2"), {}


def _port(port: Body) -> PortSeen:
    profile = port.get("binding:profile") or {}
    return PortSeen(
        device_id=port.get("device_id") or "",
        host=port.get("binding:host_id") or "",
        name=port.get("name") or "",
        mark=str(profile.get(MARK) or ""),
    )


def _attachment(found: Body) -> AttachmentSeen:
    return AttachmentSeen(found.get("instance") or found.get("instance_uuid") or "", found.get("volume_id") or "")


def _volume(volume: Body) -> Iterator[tuple[str, VolumeSeen]]:
    server = volume["metadata"].get(MADE_FOR)
    if server and not volume["attachments"] and volume["status"] != "deleting":
        yield volume["id"], VolumeSeen(server, volume["metadata"].get(GOES_WITH_IT) == "True")
