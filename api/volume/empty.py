"""Resources of which this service has none and makes none: their lists are truly empty, a single one is not found, and
what would make one says (501) that this is not built. Source: Block Storage API v3, each resource's chapter."""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends

from api.common.errors import ServiceError
from api.volume.errors import not_built
from api.volume.microversion import Version
from api.volume.service import Service, VolumeCaller, since

router = APIRouter()
CHANGES = ["POST", "PUT", "DELETE"]


@dataclass(frozen=True)
class Nothing:
    """`key`: of the list in the answer. `missing`: Cinder's words for one that is not there. `rule`: who may look."""

    path: str
    key: str
    missing: str
    what: str
    since: Version = (3, 0)
    rule: str = ""
    detail: bool = True


NOTHING = (
    Nothing("backups", "backups", "Backup {} could not be found.", "A volume backup"),
    Nothing("consistencygroups", "consistencygroups", "ConsistencyGroup {} could not be found.", "A consistency group"),
    Nothing("cgsnapshots", "cgsnapshots", "CgSnapshot {} could not be found.", "A consistency group snapshot"),
    Nothing("groups", "groups", "Group {} could not be found.", "A volume group", (3, 13)),
    Nothing("group_snapshots", "group_snapshots", "GroupSnapshot {} could not be found.", "A group snapshot", (3, 14)),
    Nothing("group_types", "group_types", "Group type {} could not be found.", "A group type", (3, 11), detail=False),
    Nothing(
        "qos-specs",
        "qos_specs",
        "No such QoS spec {}.",
        "A QoS specification",
        rule="volume_extension:qos_specs_manage:get_all",
        detail=False,
    ),
    Nothing("clusters", "clusters", "Cluster {} could not be found.", "Clustering", (3, 7), "clusters:get_all"),
)


def add(nothing: Nothing) -> None:
    place = f"/{nothing.path}"
    gate = [Depends(since(*nothing.since))]

    def index(caller: VolumeCaller, service: Service) -> dict[str, Any]:
        """None exist."""
        if nothing.rule:
            service.policy.enforce(caller, nothing.rule)
        return {nothing.key: []}

    def show(object_id: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
        """None exist: not found."""
        if nothing.rule:
            service.policy.enforce(caller, nothing.rule)
        raise ServiceError(404, nothing.missing.format(object_id[:64]))

    def change(caller: VolumeCaller) -> None:
        """Not built."""
        raise not_built(nothing.what)

    router.add_api_route(place, index, methods=["GET"], dependencies=gate, name=f"list {nothing.path}")
    if nothing.detail:
        router.add_api_route(
            f"{place}/detail", index, methods=["GET"], dependencies=gate, name=f"list {nothing.path} in detail"
        )
    for rest in ("", "/{rest:path}"):
        whole = f"{place}/{{object_id}}{rest}"
        router.add_api_route(whole, show, methods=["GET"], dependencies=gate, name=f"show {nothing.path}{rest}")
    for rest in ("", "/{rest:path}"):
        router.add_api_route(
            place + rest, change, methods=CHANGES, dependencies=gate, name=f"change {nothing.path}{rest}"
        )


for known in NOTHING:
    add(known)
