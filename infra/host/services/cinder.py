"""Volumes and attachments in the volume service, by the attachment API. Source: Block Storage API v3, 3.27 and 3.44."""

import threading
import time
from typing import Any

from keystoneauth1.session import Session

from infra.contracts.errors import hopeless
from infra.contracts.volume import (
    COMPLETE_TOO,
    GOES_WITH_IT,
    MADE_FOR,
    VolumeMark,
    VolumeReimage,
    VolumeRequest,
    VolumesOnHost,
    parted_id,
)
from infra.host.services.fence import Fence
from infra.host.services.rest import Service, Unexpected, words
from infra.interruption import still_wanted
from infra.openstack import VOLUME
from infra.settings import Settings

Body = dict[str, Any]
VERSION = {"OpenStack-API-Version": "volume 3.44"}
CONNECTS = VERSION | {COMPLETE_TOO: "true"}
REIMAGES = {"OpenStack-API-Version": "volume 3.68"}
DELETE_PATIENCE_S = 30.0
SHARE_PATIENCE_S = 30.0
AT_REST = ("available", "error", "error_deleting")


class Volumes:
    """Each method may be repeated; Hopeless carries Cinder's or Nova's words."""

    def __init__(self, settings: Settings, session: Session, fence: Fence, fenced: bool) -> None:
        self._api = Service(session, VOLUME, "/v3", settings.region)
        self._host, self._fence, self._fenced = settings.host, fence, fenced

    def get(self, volume_id: str) -> Body | None:
        answer = self._api.ask("GET", f"/volumes/{volume_id}", 200, 404, headers=VERSION)
        return dict(answer.json()["volume"]) if answer.status_code == 200 else None

    def ensure(self, want: VolumesOnHost, request: VolumeRequest) -> None:
        """Make the volume under its chosen id; one that exists already stays."""
        body: Body = {"id": request.volume_id, "project_id": want.project_id, "size": request.size_gb or None}
        body["metadata"] = {MADE_FOR: want.instance_id, GOES_WITH_IT: str(request.delete_on_termination)}
        wanted = {
            "imageRef": request.image_id,
            "snapshot_id": request.snapshot_id,
            "volume_type": request.volume_type,
        }
        body |= {name: value for name, value in wanted.items() if value}
        answer = self._api.request("POST", "/volumes", json={"volume": body}, headers=VERSION)
        if answer.status_code not in (200, 201, 202) and self.get(request.volume_id) is None:
            raise self._refusal(answer)

    def wait_until_usable(self, volume_id: str, stop: threading.Event) -> None:
        """Return once the volume can be attached, or is by now; Hopeless when it went into error or is gone."""
        pause, begun = 0.05, time.monotonic()
        while True:
            volume = self.get(volume_id)
            if volume is None:
                raise hopeless(f"Volume {volume_id} could not be found.", code=404)
            if volume["status"] not in ("creating", "downloading"):
                if volume["status"].startswith("error"):
                    waited = round(time.monotonic() - begun)
                    raise hopeless(
                        f"Volume {volume_id} did not finish being created even after we waited {waited} seconds. "
                        f"And its status is {volume['status']}."
                    )
                return
            still_wanted()  # a single volume is waited for in the step's own thread
            if stop.wait(pause):
                raise Unexpected(f"no longer waiting for volume {volume_id}")
            pause = min(pause * 1.5, 1.0)

    def attach(self, want: VolumesOnHost, request: VolumeRequest, device: str) -> Body:
        """Reserve, connect to this host, complete; the connection's facts, whose `export` is a secret.

        What is made here takes nothing from anybody, so the claim is asked for afterwards. An attachment that is there
        may be another host's by now, and is taken over with the claim only."""
        connector = self._connector(device)
        attached = self._held(want, request) or self._taken(want, request, connector)
        if not attached.get("connection_info"):  # it was reserved before, or is on another host
            self._fence.require(want)  # Cinder has no condition to send along: what is asked here holds a moment longer
            path, body = f"/attachments/{attached['id']}", {"attachment": {"connector": connector}}
            answer = self._api.request("PUT", path, json=body, headers=CONNECTS)
            if answer.status_code != 200:
                raise self._refusal(answer)
            attached = answer.json()["attachment"]
        if attached.get("status") != "attached":
            self._complete(attached["id"])
        info: Body = attached["connection_info"]
        return dict(info) | dict(info.get("data", {})) | {"attachment_id": attached["id"]}

    def reserve(self, want: VolumesOnHost, request: VolumeRequest, *, complete: bool = False) -> None:
        """The volume is this instance's from now on, on no host yet. Hopeless when it is taken."""
        attached = self._taken(want, request, None)
        if complete:
            self._complete(attached["id"])

    def _held(self, want: VolumesOnHost, request: VolumeRequest) -> Body | None:
        """The attachment of a volume that the server has, to be connected to this host. None for one to be made: so is
        one that was being parted from its host, whose stand-in keeps the volume. Hopeless when it was ended."""
        if not want.held or not self.require(want.instance_id, request):
            return None
        return {"id": request.attachment_id}

    def require(self, instance_id: str, held: VolumeRequest | VolumeReimage) -> bool:
        """Hopeless (409) when the instance's attachment was ended; else as `_keeps`."""
        if (keeps := self._keeps(instance_id, held)) is None:
            words = f"The attachment of volume {held.volume_id} to this server was ended; detach it first."
            raise hopeless(words, code=409)
        return keeps

    def _keeps(self, instance_id: str, held: VolumeRequest | VolumeReimage) -> bool | None:
        """Whether the instance's attachment is there. False: it is being made anew, and its stand-in keeps the volume
        meanwhile; None: it was ended, and the volume may be another server's by now."""
        known = self._attachment(held.attachment_id)
        if known and known["instance"] == instance_id:
            return True
        return None if self._attachment(parted_id(instance_id, held.volume_id)) is None else False

    def _taken(self, want: VolumesOnHost, request: VolumeRequest, connector: Body | None) -> Body:
        """The attachment, connected with `connector` when it is made by this; else its id alone.

        Cinder reserves a volume for one server at a time: one that may be shared is waited for while another server
        is being connected to it."""
        body: Body = {
            "id": request.attachment_id,
            "volume_uuid": request.volume_id,
            "instance_uuid": want.instance_id,
            "connector": connector,
        }
        end = time.monotonic() + SHARE_PATIENCE_S
        while True:
            answer = self._api.request("POST", "/attachments", json={"attachment": body}, headers=CONNECTS)
            if answer.status_code in (200, 201, 202):
                return dict(answer.json()["attachment"])
            known = self._attachment(request.attachment_id)
            if known and known["instance"] == want.instance_id:
                return {"id": request.attachment_id}
            if answer.status_code != 400 or time.monotonic() > end or not self._is_shared(request.volume_id):
                raise self._refusal(answer)
            still_wanted()
            time.sleep(0.2)

    def _is_shared(self, volume_id: str) -> bool:
        volume = self.get(volume_id) or {}
        return bool(volume.get("multiattach")) and "error" not in volume["status"]

    def detach(self, want: VolumesOnHost, request: VolumeRequest, held: int | None = None) -> bool:
        """End the attachment; whether it is gone. (`fenced`) Not when another host, or a later attempt on this one,
        has it by now: where this host has no claim that says so, the volume does. `held`: the number of this host's
        claim, where the caller has just asked."""
        if held is None:
            held = self._fence.attempt(want) if self._fenced and want.attempt else 0
        if held > want.attempt:
            return False
        ours = held > 0 and held == want.attempt
        volume = (self.get(request.volume_id) if self._fenced and not ours else None) or {}
        for known in volume.get("attachments", []):
            if known["attachment_id"] == request.attachment_id and known.get("host_name") not in (None, "", self._host):
                return False
        if request.attachment_id:
            left = self._end(request.attachment_id)
            meanwhile = parted_id(want.instance_id, request.volume_id)  # of a `part` that its host's silence cut off
            if left is None or meanwhile in left:
                self._end(meanwhile)
        return True

    def part(self, want: VolumesOnHost, request: VolumeRequest) -> None:
        """On no host any more, still the instance's: the same attachment, reserved. Meanwhile a second one keeps others
        off the volume, as Nova does it. One that was ended is not made anew."""
        if self._fenced and self._fence.superseded(want):
            return
        if self._keeps(want.instance_id, request) is None:
            return
        meanwhile = request.model_copy(update={"attachment_id": parted_id(want.instance_id, request.volume_id)})
        self.reserve(want, meanwhile)
        self._end(request.attachment_id)
        self.reserve(want, request)
        self._end(meanwhile.attachment_id)

    def _complete(self, attachment_id: str) -> None:
        body: Body = {"os-complete": {}}
        self._api.ask("POST", f"/attachments/{attachment_id}/action", 200, 202, 204, json=body, headers=VERSION)

    def _end(self, attachment_id: str) -> set[str] | None:
        """Absent is success. Attachments that the volume has still, where the service says."""
        answer = self._api.ask("DELETE", f"/attachments/{attachment_id}", 200, 202, 204, 404, headers=VERSION)
        return {left["id"] for left in answer.json()["attachments"]} if answer.status_code == 200 else None

    def reimage(self, volume_id: str, image_id: str) -> None:
        """Begin to write the image over the volume, which its server has reserved. Hopeless when it is refused."""
        body = {"os-reimage": {"image_id": image_id, "reimage_reserved": True}}
        answer = self._api.request("POST", f"/volumes/{volume_id}/action", json=body, headers=REIMAGES)
        if answer.status_code != 202:
            raise self._refusal(answer)

    def mark(self, want: VolumeMark, *, goes: bool) -> None:
        """Whether a volume that a build made for this instance goes with it. Tenants' own are left alone."""
        volume = self.get(want.volume_id)
        if volume is not None and volume["metadata"].get(MADE_FOR) == want.instance_id:
            body = {"metadata": {GOES_WITH_IT: str(goes)}}
            self._api.ask("POST", f"/volumes/{want.volume_id}/metadata", json=body, headers=VERSION)

    def delete(self, volume_id: str) -> None:
        """Waits for a detach that is under way; absent is success, and so is a volume that another server has by now:
        it is no longer this one's to delete. Hopeless when Cinder refuses a volume at rest (it has snapshots, say)."""
        end = time.monotonic() + DELETE_PATIENCE_S
        status = ""
        while True:
            answer = self._api.request("DELETE", f"/volumes/{volume_id}", headers=VERSION)
            if answer.status_code in (200, 202, 204, 404):
                return
            if answer.status_code not in (400, 409) or status in AT_REST:
                raise self._api.unexpected(answer)
            status = (self.get(volume_id) or {}).get("status", "deleting")
            if status in ("deleting", "in-use"):
                return
            if time.monotonic() > end:
                raise self._api.passing(answer)
            time.sleep(0.3)

    def _attachment(self, attachment_id: str) -> Body | None:
        answer = self._api.ask("GET", f"/attachments/{attachment_id}", 200, 404, headers=VERSION)
        return dict(answer.json()["attachment"]) if answer.status_code == 200 else None

    def _connector(self, device: str) -> Body:
        return {
            "host": self._host,
            "platform": "x86_64",
            "os_type": "linux",
            "multipath": False,
            "mountpoint": f"/dev/{device}",
        }

    def _refusal(self, answer: Any) -> Exception:
        if answer.status_code in (400, 404, 409, 413):
            return hopeless(words(answer)[1] or "The volume service refused.", code=answer.status_code)
        return self._api.unexpected(answer)


def endpoint(info: Body) -> Body:
    """`export`, and `socket` or `host`, `port` and `tls`, of an NBD connection; Hopeless for another transport."""
    driver = info.get("driver_volume_type")
    if driver != "nbd":
        raise hopeless(f"Volume connection type {driver} is not supported.")
    try:
        export = {"export": str(info["export"])}
        if socket := info.get("socket"):
            return export | {"socket": str(socket)}
        return export | {"host": str(info["host"]), "port": int(info["port"]), "tls": bool(info.get("tls"))}
    except (KeyError, ValueError) as error:
        raise Unexpected("the volume service's connection is incomplete") from error
