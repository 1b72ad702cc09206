"""Resources of the volume API that are not built: they say so (501) instead of pretending to be empty."""

from fastapi import APIRouter

from api.volume.errors import not_built
from api.volume.service import VolumeCaller

router = APIRouter()
METHODS = ["GET", "POST", "PUT", "DELETE"]
RESOURCES = {
    "backups": "Backup",
    "consistencygroups": "Consistency group",
    "cgsnapshots": "Consistency group snapshot",
    "groups": "Volume group",
    "group_snapshots": "Volume group snapshot",
    "group_types": "Volume group type",
    "os-volume-transfer": "Volume transfer",
    "volume-transfers": "Volume transfer",
    "qos-specs": "QoS specification",
    "os-volume-manage": "Taking over existing volumes",
    "manageable_volumes": "Taking over existing volumes",
    "os-snapshot-manage": "Taking over existing snapshots",
    "manageable_snapshots": "Taking over existing snapshots",
    "os-hosts": "Host administration",
    "clusters": "Clustering",
    "workers": "Worker cleanup",
    "resource_filters": "Listing of filters",
    "capabilities": "Listing of capabilities",
}


def add_route(path: str, what: str) -> None:
    @router.api_route(path, methods=METHODS, name=f"{what} ({path})", include_in_schema=False)
    def refuse(caller: VolumeCaller) -> None:
        raise not_built(what)


for resource, title in RESOURCES.items():
    add_route(f"/{resource}", title)
    add_route(f"/{resource}/{{rest:path}}", title)
for changed in ("/types", "/types/{type_id}", "/types/{type_id}/{rest:path}", "/os-services/{rest:path}"):
    add_route(changed, "Changing volume types and services")
