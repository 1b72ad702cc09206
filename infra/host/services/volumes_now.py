"""Servers' volumes as the volume service has them, of all servers at once."""

from keystoneauth1.session import Session

from infra.host.services.cinder import VERSION
from infra.host.services.rest import Service
from infra.openstack import VOLUME


class VolumesNow:
    """Reads only. Raises as `Service` sorts: a service that does not answer has said nothing."""

    def __init__(self, session: Session, region: str) -> None:
        self._api = Service(session, VOLUME, "/v3", region)

    def sizes(self) -> dict[str, int]:
        """Volume id → GiB, of those in use; one that is growing is not, until it has grown."""
        wanted = {"all_tenants": "1", "status": "in-use"}
        found = self._api.pages("/volumes/detail", "volumes", wanted, headers=VERSION)
        return {volume["id"]: int(volume["size"]) for volume in found}
