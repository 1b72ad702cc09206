"""Resources of the volume API that are not built: they say so (501) instead of pretending to be empty."""

from fastapi import APIRouter, Depends

from api.volume.errors import not_built
from api.volume.microversion import MINIMUM, Version
from api.volume.service import VolumeCaller, since

router = APIRouter()
EVERY, CHANGES = ["GET", "POST", "PUT", "DELETE"], ["POST", "PUT", "DELETE"]
RESOURCES: dict[str, tuple[str, list[str]]] = {
    "/os-volume-manage": ("Taking over existing volumes", EVERY),
    "/os-volume-manage/{rest:path}": ("Taking over existing volumes", EVERY),
    "/manageable_volumes": ("Taking over existing volumes", EVERY),
    "/manageable_volumes/{rest:path}": ("Taking over existing volumes", EVERY),
    "/os-snapshot-manage": ("Taking over existing snapshots", EVERY),
    "/os-snapshot-manage/{rest:path}": ("Taking over existing snapshots", EVERY),
    "/manageable_snapshots": ("Taking over existing snapshots", EVERY),
    "/manageable_snapshots/{rest:path}": ("Taking over existing snapshots", EVERY),
    "/workers/cleanup": ("Cleanup of workers by hand", ["POST"]),
    "/os-services/{rest:path}": ("Changing volume services", ["PUT"]),
    "/os-hosts/{rest:path}": ("Changing volume hosts", ["PUT"]),
    "/types/{type_id}/encryption": ("Encryption of volume types", ["POST"]),
    "/types/{type_id}/encryption/{rest:path}": ("Encryption of volume types", ["PUT", "DELETE"]),
}

SINCE: dict[str, Version] = {
    "/manageable_volumes": (3, 8),
    "/manageable_snapshots": (3, 8),
    "/workers/cleanup": (3, 24),
}
"""Places that came later; before, they are not found."""


def add_route(path: str, what: str, methods: list[str]) -> None:
    def refuse(caller: VolumeCaller) -> None:
        """Not built."""
        raise not_built(what)

    gate = [Depends(since(*SINCE.get(path.removesuffix("/{rest:path}"), MINIMUM)))]
    router.add_api_route(path, refuse, methods=methods, name=f"{what} ({path})", dependencies=gate)


for place, (title, verbs) in RESOURCES.items():
    add_route(place, title, verbs)
