"""The rest of Nova's API: empty lists where there can be nothing, 501 where something is not built."""

from typing import Any

from fastapi import APIRouter, Response

from api.compute.call import Call, versions
from api.compute.errors import not_implemented

router = APIRouter()


async def not_built(call: Call) -> Response:
    """Not built: 501."""
    route = call.request.scope["route"]
    raise not_implemented(f"{call.request.method} {route.path.removeprefix('/v2.1')} is not implemented.")


NOT_BUILT: list[tuple[str, str, int, int | None]] = [
    ("GET", "/os-instance_usage_audit_log", 1, None),
    ("GET", "/os-instance_usage_audit_log/{before}", 1, None),
    ("POST", "/os-assisted-volume-snapshots", 1, None),
    ("DELETE", "/os-assisted-volume-snapshots/{snapshot_id}", 1, None),
    ("PUT", "/os-hosts/{host}", 1, 42),
    ("GET", "/os-hosts/{host}/{power_action}", 1, 42),
    ("DELETE", "/servers/{server_id}/migrations/{migration_id}", 24, None),
    ("POST", "/servers/{server_id}/migrations/{migration_id}/action", 22, None),
    # proxies to other services, which Nova dropped at 2.36
    ("GET POST", "/os-volumes", 1, 35),
    ("GET", "/os-volumes/detail", 1, 35),
    ("GET DELETE", "/os-volumes/{volume_id}", 1, 35),
    ("GET POST", "/os-snapshots", 1, 35),
    ("GET DELETE", "/os-snapshots/{snapshot_id}", 1, 35),
    ("GET", "/os-baremetal-nodes", 1, 35),
    ("GET", "/os-baremetal-nodes/{node_id}", 1, 35),
]
"""Methods, path, first and last microversion."""

for methods, path, first, last in NOT_BUILT:
    options: dict[str, Any] = {"methods": methods.split(), "dependencies": [versions(first, last)]}
    router.add_api_route(path, not_built, **options)
