"""Servers' volumes as the volume service has them, of all servers at once."""

from collections.abc import Iterator, Mapping

from keystoneauth1.session import Session

from infra.host.services.cinder import VERSION
from infra.host.services.rest import Service
from infra.openstack import VOLUME


class VolumesNow:
    """Reads only. Raises as `Service` sorts: a service that does not answer has said nothing."""

    def __init__(self, session: Session, region: str) -> None:
        self._api = Service(session, VOLUME, "/v3", region)

    def attachments(self) -> set[str]:
        """Ids of all there are, as a list has them."""
        found = self._api.pages("/attachments", "attachments", {"all_tenants": "1"}, headers=VERSION)
        return {attachment["id"] for attachment in found}

    def ended(self, attachments: Mapping[str, str]) -> Iterator[str]:
        """Those (attachment → volume) that are not there by their own ids, though the service knows their volumes: one
        that knows neither has lost its store, or is another one."""
        for id, volume_id in attachments.items():
            if self._knows(f"/volumes/{volume_id}") and not self._knows(f"/attachments/{id}"):
                yield id

    def _knows(self, path: str) -> bool:
        return bool(self._api.ask("GET", path, 200, 404, headers=VERSION).status_code == 200)

    def sizes(self) -> dict[str, int]:
        """Volume id → GiB, of those in use; one that is growing is not, until it has grown."""
        wanted = {"all_tenants": "1", "status": "in-use"}
        found = self._api.pages("/volumes/detail", "volumes", wanted, headers=VERSION)
        return {volume["id"]: int(volume["size"]) for volume in found}
