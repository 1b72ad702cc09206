"""Properties of an image that say how a guest is made, and what follows from them and from extra specs."""

from typing import Any

from api.common import parsers
from api.compute.boot.buses import OF_VOLUMES
from api.compute.errors import bad_request
from api.compute.records.flavors import AnyFlavor
from infra.contracts.image_properties import STANDARD
from infra.contracts.machine import TRAIT, Refused, machine_of

SAYING = ("hw_", "os_", "img_", TRAIT)


def properties_of(facts: dict[str, Any]) -> dict[str, str]:
    """Properties that say how a guest is made, of an image's body or a volume's `volume_image_metadata`."""
    found = {name: value for name, value in facts.items() if name in STANDARD or name.startswith(SAYING)}
    return {name: value for name, value in found.items() if isinstance(value, str) and not name.startswith("os_hash_")}


def disk_config(asked: str | None, properties: dict[str, str], image_id: str) -> str:
    """AUTO or MANUAL: as asked, else as the image says; 400 for AUTO where the image forbids it."""
    of_image = properties.get("auto_disk_config", properties.get("hw_auto_disk_config", ""))
    if asked == "AUTO" and of_image.strip().lower() == "disabled":
        raise bad_request(f"Requested image {image_id} has automatic disk resize disabled.")
    if asked is not None:
        return asked
    return "AUTO" if of_image.strip().lower() in parsers.TRUE else "MANUAL"


def require_machine(properties: dict[str, str], flavor: AnyFlavor, *, local: bool) -> None:
    """400 for a machine that no host here can give; the API table lists what hosts can. `local`: whether the root disk
    is on the host."""
    try:
        machine = machine_of(properties, flavor.extra_specs, flavor.vcpus)
    except Refused as refused:
        raise bad_request(str(refused)) from None
    if machine.disk_bus not in OF_VOLUMES and not local:
        raise bad_request(
            f"No valid host was found. No host supports the image property hw_disk_bus={machine.disk_bus} for volumes."
        )
