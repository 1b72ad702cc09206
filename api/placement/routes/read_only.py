"""Writes of the Placement API, which are refused: what it tells follows from the compute service's records."""

from typing import Any

from fastapi import APIRouter, Response

from api.common.errors import ServiceError
from api.placement.call import Call, since

router = APIRouter()
HOSTS = "Resource providers are compute hosts: they appear, and tell what they have, when they report."
RATIOS = "Inventories are what compute hosts report, with the allocation ratios of the compute service's settings."
GROUPS = "A provider's aggregates are the compute service's host aggregates: use `openstack aggregate add host`."
CLAIMS = "Allocations are claims of servers, which the compute service makes and gives back by itself."
NAMES = "Only OpenStack's standard names are known: no host here has custom resources or traits."
TRAITS = "A provider's traits follow from its host and from whether its service is enabled."

WRITES: tuple[tuple[str, str, int, str, str], ...] = (
    ("POST", "/resource_providers", 0, "resource_providers:create", HOSTS),
    ("PUT", "/resource_providers/{uuid}", 0, "resource_providers:update", HOSTS),
    ("DELETE", "/resource_providers/{uuid}", 0, "resource_providers:delete", HOSTS),
    ("POST", "/resource_providers/{uuid}/inventories", 0, "resource_providers:inventories:create", RATIOS),
    ("PUT", "/resource_providers/{uuid}/inventories", 0, "resource_providers:inventories:update", RATIOS),
    ("DELETE", "/resource_providers/{uuid}/inventories", 5, "resource_providers:inventories:delete", RATIOS),
    ("PUT", "/resource_providers/{uuid}/inventories/{resource_class}", 0,
     "resource_providers:inventories:update", RATIOS),
    ("DELETE", "/resource_providers/{uuid}/inventories/{resource_class}", 0,
     "resource_providers:inventories:delete", RATIOS),
    ("PUT", "/resource_providers/{uuid}/aggregates", 1, "resource_providers:aggregates:update", GROUPS),
    ("PUT", "/resource_providers/{uuid}/traits", 6, "resource_providers:traits:update", TRAITS),
    ("DELETE", "/resource_providers/{uuid}/traits", 6, "resource_providers:traits:delete", TRAITS),
    ("POST", "/resource_classes", 2, "resource_classes:create", NAMES),
    ("PUT", "/resource_classes/{name}", 2, "resource_classes:update", NAMES),
    ("DELETE", "/resource_classes/{name}", 2, "resource_classes:delete", NAMES),
    ("PUT", "/traits/{name}", 6, "traits:update", NAMES),
    ("DELETE", "/traits/{name}", 6, "traits:delete", NAMES),
    ("POST", "/allocations", 13, "allocations:manage", CLAIMS),
    ("PUT", "/allocations/{consumer_uuid}", 0, "allocations:update", CLAIMS),
    ("DELETE", "/allocations/{consumer_uuid}", 0, "allocations:delete", CLAIMS),
    ("POST", "/reshaper", 30, "reshaper:reshape", CLAIMS),
)  # fmt: skip
"""Method, path, first microversion, policy rule, and why it is refused."""


def refusing(rule: str, words: str) -> Any:
    def refuse(call: Call) -> Response:
        """501 with the reason."""
        call.enforce(rule)
        raise ServiceError(501, words)

    return refuse


for method, path, first, rule, words in WRITES:
    status = 405 if path.endswith("/inventories") else 404
    options: dict[str, Any] = {"methods": [method], "dependencies": [since(first, status)]}
    router.add_api_route(path, refusing(rule, words), **options)
