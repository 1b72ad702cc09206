"""What today's Nova no longer has at any microversion, and answers 410 (wsgi.removed in its controllers)."""

from fastapi import APIRouter, Response

from api.common.errors import ServiceError
from api.compute.call import Call

router = APIRouter()
WORDS = "This resource is no longer available. No forwarding address is given."
GONE = (
    ("GET POST", "/os-agents"), ("PUT DELETE", "/os-agents/{agent_id}"),
    ("GET POST", "/os-cells"), ("GET", "/os-cells/capacities"), ("GET", "/os-cells/detail"), ("GET", "/os-cells/info"),
    ("POST", "/os-cells/sync_instances"), ("GET PUT DELETE", "/os-cells/{cell}"),
    ("GET", "/os-cells/{cell}/capacities"),
    ("POST", "/os-certificates"), ("GET", "/os-certificates/{certificate}"),
    ("GET POST", "/os-cloudpipe"), ("PUT", "/os-cloudpipe/{what}"),
    ("GET", "/os-fixed-ips/{address}"), ("POST", "/os-fixed-ips/{address}/action"),
    ("GET", "/os-floating-ip-dns"), ("PUT DELETE", "/os-floating-ip-dns/{domain}"),
    ("GET PUT DELETE", "/os-floating-ip-dns/{domain}/entries/{name}"),
    ("GET POST", "/os-floating-ips-bulk"), ("GET PUT", "/os-floating-ips-bulk/{host}"),
    ("GET", "/os-fping"), ("GET", "/os-fping/{server_id}"),
    ("POST", "/os-networks"), ("POST", "/os-networks/add"), ("DELETE", "/os-networks/{network_id}"),
    ("POST", "/os-networks/{network_id}/action"),
    ("POST", "/os-tenant-networks"), ("DELETE", "/os-tenant-networks/{network_id}"),
    ("GET POST", "/os-security-group-default-rules"), ("GET DELETE", "/os-security-group-default-rules/{rule_id}"),
    ("GET", "/servers/{server_id}/os-virtual-interfaces"),
    ("GET POST", "/servers/{server_id}/consoles"), ("GET DELETE", "/servers/{server_id}/consoles/{console_id}"),
)  # fmt: skip
"""Methods and path."""


async def gone(_call: Call) -> Response:
    """410, as in Nova: removed there at every microversion."""
    raise ServiceError(410, WORDS)


for methods, path in GONE:
    router.add_api_route(path, gone, methods=methods.split(), include_in_schema=False)
