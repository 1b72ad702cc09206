"""Flavors as JSON, right at every microversion."""

from typing import Any

from api.compute.call import ComputeCall
from api.compute.views import shapes
from api.compute.views.spans import at
from infra.tables.compute import Flavor


class FlavorView:
    def __init__(self, call: ComputeCall) -> None:
        self._call = call
        self._specs = call.allows("os_compute_api:os-flavor-extra-specs:index")

    def basic(self, flavor: Flavor) -> dict[str, Any]:
        shown = {
            "id": flavor.id,
            "name": flavor.name,
            "links": self._call.links(f"/flavors/{flavor.id}"),
            "description": flavor.description,
        }
        return at(self._call.version, shapes.Flavor, shown)

    def detail(self, flavor: Flavor) -> dict[str, Any]:
        shown = self.basic(flavor) | {
            "ram": flavor.ram,
            "disk": flavor.disk,
            "swap": flavor.swap or (0 if self._call.since(75) else ""),
            "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral,
            "vcpus": flavor.vcpus,
            "os-flavor-access:is_public": flavor.is_public,
            "rxtx_factor": flavor.rxtx_factor,
            "OS-FLV-DISABLED:disabled": flavor.disabled,
        }
        if self._specs:
            shown["extra_specs"] = flavor.extra_specs
        return at(self._call.version, shapes.Flavor, shown)
