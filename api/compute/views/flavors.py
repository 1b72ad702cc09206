"""Flavors as JSON, right at every microversion."""

from typing import Any

from api.compute.call import ComputeCall
from infra.tables.compute import Flavor


class FlavorView:
    def __init__(self, call: ComputeCall) -> None:
        self._call = call
        self._described = call.since(55)
        self._specs = call.since(61) and call.allows("os_compute_api:os-flavor-extra-specs:index")

    def basic(self, flavor: Flavor) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": flavor.id,
            "name": flavor.name,
            "links": self._call.links(f"/flavors/{flavor.id}"),
        }
        if self._described:
            shown["description"] = flavor.description
        return shown

    def detail(self, flavor: Flavor) -> dict[str, Any]:
        shown = self.basic(flavor) | {
            "ram": flavor.ram,
            "disk": flavor.disk,
            "swap": flavor.swap or (0 if self._call.since(75) else ""),
            "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral,
            "vcpus": flavor.vcpus,
            "os-flavor-access:is_public": flavor.is_public,
        }
        if not self._call.since(102):
            shown |= {"rxtx_factor": flavor.rxtx_factor, "OS-FLV-DISABLED:disabled": flavor.disabled}
        if self._specs:
            shown["extra_specs"] = flavor.extra_specs
        return shown
