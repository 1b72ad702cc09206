"""Snapshots of volumes in the volume service. Source: Block Storage API v3, "Volume snapshots", "Quota sets"."""

import time

from keystoneauth1.session import Session

from infra.contracts.errors import hopeless
from infra.contracts.snapshot import VolumeSnapshot, VolumeSnapshots
from infra.host.services.rest import Service, Unexpected, words
from infra.interruption import still_wanted
from infra.openstack import VOLUME

READY_S = 1500.0  # a snapshot of the embedded service is a full copy
LOOK_S = 0.1


class SnapshotClient:
    """Each method may be repeated. Failures are sorted as `Service` does."""

    def __init__(self, session: Session, region: str) -> None:
        self._api = Service(session, VOLUME, "/v3", region)

    def require_room(self, want: VolumeSnapshots) -> None:
        """Hopeless (403) when the project may not have so many more snapshots."""
        answer = self._api.ask("GET", f"/os-quota-sets/{want.project_id}", params={"usage": "true"})
        known = answer.json()["quota_set"]["snapshots"]
        if 0 <= known["limit"] < known["in_use"] + known["reserved"] + len(want.volumes):
            raise hopeless("Quota exceeded for resources: snapshots", code=403)

    def make(self, want: VolumeSnapshots) -> None:
        """All of them are begun before any is waited for: they are to be of one moment."""
        for each in want.volumes:
            self._begin(want, each)
        for each in want.volumes:
            self._wait(each)

    def _begin(self, want: VolumeSnapshots, each: VolumeSnapshot) -> None:
        """Have the snapshot begin, though the volume is in use; one under its id stays as it is."""
        body = {
            "id": each.snapshot_id,
            "volume_id": each.volume_id,
            "name": f"snapshot for {want.name}"[:255],
            "force": True,
        }
        answer = self._api.request("POST", "/snapshots", json={"snapshot": body})
        if answer.status_code == 202 or self._status(each) is not None:
            return
        if answer.status_code in (400, 403, 404, 413):
            raise hopeless(words(answer)[1] or "The volume service refused.", code=answer.status_code)
        raise self._api.unexpected(answer)

    def _wait(self, each: VolumeSnapshot) -> None:
        """Until the snapshot is there. Hopeless when it could not be made."""
        end = time.monotonic() + READY_S
        while (status := self._status(each)) != "available":
            if status != "creating":
                raise hopeless(f"The snapshot of volume {each.volume_id} is {status or 'gone'}.")
            if time.monotonic() > end:
                raise Unexpected(f"snapshot {each.snapshot_id} is not ready")
            still_wanted()
            time.sleep(LOOK_S)

    def drop(self, each: VolumeSnapshot) -> None:
        """Absent is success."""
        self._api.ask("DELETE", f"/snapshots/{each.snapshot_id}", 202, 404)

    def _status(self, each: VolumeSnapshot) -> str | None:
        answer = self._api.ask("GET", f"/snapshots/{each.snapshot_id}", 200, 404)
        return str(answer.json()["snapshot"]["status"]) if answer.status_code == 200 else None
