"""A member's things of each kind, and who asks for them at a microversion; for the walk over all of them."""

import re
import uuid
from typing import Any, Self

import httpx

from tests.volume.cloud import Cloud
from tests.volume.images import ImageServer
from tests.volume.routes import ROUTES

BYTES = b"boot" * 256


class Walker:
    """Asks, and notes what was asked with success: `reached` by route and minor number, `acted` by action."""

    def __init__(self, cloud: Cloud, images: ImageServer) -> None:
        self.cloud, self.images = cloud, images
        self.reached: set[tuple[str, str, int]] = set()
        self.acted: set[tuple[str, int]] = set()
        self.ids: dict[str, str] = {}

    def __enter__(self) -> Self:
        cloud = self.cloud
        cloud.token("demo")
        cloud.token("admin")
        volume = cloud.volume(metadata={"key": "value"})
        offered = cloud.volume(metadata={"key": "value"})
        transfer = cloud.ok("POST", "/volume-transfers", {"transfer": {"volume_id": offered, "name": "gift"}})
        self.ids = {
            "project": cloud.project_ids["demo"],
            "volumes": volume,
            "snapshots": cloud.snapshot(volume, metadata={"key": "value"}),
            "attachments": cloud.attach(volume, instance_uuid=str(uuid.uuid4()))["id"],
            "offered": offered,
            "os-volume-transfer": transfer["transfer"]["id"],
            "volume-transfers": transfer["transfer"]["id"],
            "types": self.private_type("walked", multiattach="<is> False"),
            "os-quota-class-sets": "default",
            "os-hosts": "store1@nbd",
            "capabilities": "store1@nbd",
            "failed": self.failed(),
        }
        cloud.ok("POST", f"/volumes/{volume}/action", {"os-set_image_metadata": {"metadata": {"os": "x"}}})
        self.choose_default()
        (told,) = cloud.ok("GET", f"/messages?resource_uuid={self.ids['failed']}")["messages"]
        self.ids["messages"] = told["id"]
        return self

    def __exit__(self, *_: object) -> None:
        cloud, ids = self.cloud, self.ids
        cloud.ok("DELETE", f"/default-types/{ids['project']}", user="admin")
        cloud.ok("DELETE", f"/attachments/{ids['attachments']}", user="nova")
        cloud.ok("DELETE", f"/volume-transfers/{ids['volume-transfers']}")
        cloud.ok("DELETE", f"/volumes/{ids['volumes']}?cascade=true")
        for name in ("offered", "failed"):
            cloud.delete(ids[name])
        cloud.ok("DELETE", f"/types/{ids['types']}", user="admin")

    def private_type(self, name: str, **specs: str) -> str:
        """A type that the member's project may use beside its owner's."""
        wanted = {"name": name, "os-volume-type-access:is_public": False, "extra_specs": specs}
        kind = str(self.cloud.ok("POST", "/types", {"volume_type": wanted}, user="admin")["volume_type"]["id"])
        access = {"addProjectAccess": {"project": self.cloud.project_ids["demo"]}}
        self.cloud.ok("POST", f"/types/{kind}/action", access, user="admin")
        return kind

    def choose_default(self) -> None:
        chosen = {"default_type": {"volume_type": "nbd"}}
        self.cloud.ok("PUT", f"/default-types/{self.cloud.project_ids['demo']}", chosen, user="admin")

    def failed(self) -> str:
        """A volume of which a message tells: its image's bytes are not the promised ones."""
        image = self.images.add(BYTES, os_hash_value="0" * 128)
        made = self.cloud.ok("POST", "/volumes", {"volume": {"size": 1, "imageRef": image}})["volume"]["id"]
        self.cloud.settled(made, "error")
        return str(made)

    def filled(self, path: str) -> str:
        """The path with this member's ids in it."""
        kind = path.split("/")[1]
        whole = self.ids | {"id": self.ids.get(kind, ""), "name": self.ids.get(kind, "")}
        whole["key"] = "multiattach" if kind == "types" else "key"
        return re.sub(r"\{(\w+)\}", lambda found: whole[found[1]], path)

    def ask(self, method: str, path: str, minor: int, body: Any = None, user: str = "demo") -> httpx.Response:
        answer: httpx.Response = self.cloud.call(method, path, body, user=user, version=f"3.{minor}")
        if answer.is_success:
            plain = path.partition("?")[0]
            self.reached |= {(r.method, r.path, minor) for r in ROUTES if r.matches(method, plain)}
        return answer

    def ok(self, method: str, path: str, minor: int, body: Any = None, user: str = "demo") -> Any:
        answer = self.ask(method, path, minor, body, user)
        assert answer.is_success, (method, path, minor, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def act(self, minor: int, volume: str, name: str, given: Any = None, user: str = "demo") -> Any:
        found = self.ok("POST", f"/volumes/{volume}/action", minor, {name: {} if given is None else given}, user)
        self.acted.add((name, minor))
        return found
