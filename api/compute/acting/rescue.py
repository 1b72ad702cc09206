"""rescue: the image to boot from, as the caller sees it, and what cannot be rescued."""

from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse
from sqlalchemy import RowMapping

from api.common.errors import ServiceError
from api.compute.boot import images, names
from api.compute.call import ComputeCall
from api.compute.errors import bad_request
from infra.contracts.machine import is_q35
from infra.contracts.rescue import DEVICES
from workflows.requests import Accepted
from workflows.rescue_instance import Rescuing


def prepare(call: ComputeCall, row: RowMapping, wish: dict[str, Any]) -> dict[str, Any]:
    """400 in Nova's words for an image that cannot be booted for a rescue, and for a server that cannot be rescued: one
    that boots from a volume, before 2.87 or without a stable device."""
    ref = wish.get("rescue_image_ref", "")
    q35 = is_q35(row["image_properties"].get("hw_machine_type", ""))
    device, bus = _device(call, ref, q35=q35) if ref else ("", "virtio")
    if not row["image_ref"]:
        if not call.since(87):
            raise _not_rescuable(row, "Cannot rescue a volume-backed instance")
        if not device:
            raise _not_rescuable(row, "Host unable to rescue a volume-backed instance")
    return Rescuing(
        image_id=ref or row["image_ref"],
        admin_pass=wish["adminPass"] if "adminPass" in wish else names.password(),
        device=device,
        bus=bus,
    ).model_dump()


def answer(_call: ComputeCall, accepted: Accepted, _wish: dict[str, Any]) -> Response:
    """200, and the password of the rescue. Source: Compute API reference, "Rescue Server"."""
    return JSONResponse({"adminPass": accepted.admin_pass})


def _device(call: ComputeCall, image_id: str, *, q35: bool) -> tuple[str, str]:
    """(device, bus) of a stable device rescue by this image, ("", …) of any other. Source: Nova's hw_rescue_*. `q35`:
    the server's machine has no IDE."""
    unsupported = bad_request(f"Requested rescue image '{image_id}' is not supported")
    try:
        found = images.properties(call, image_id, unsupported.message)
    except ServiceError as error:
        raise (unsupported if error.status == 400 else error) from None
    if found.get("block_device_mapping") or found.get("img_block_device_mapping"):
        raise unsupported
    device, bus = found.get("hw_rescue_device"), found.get("hw_rescue_bus")
    if not device and not bus:
        return "", "virtio"
    buses = [on for on in DEVICES.get(device or "disk", ()) if not (q35 and on == "ide")]
    if not buses or (bus and bus not in buses):
        raise unsupported
    return device or "disk", bus or buses[0]


def _not_rescuable(row: RowMapping, reason: str) -> ServiceError:
    return bad_request(f"Instance {row['id']} cannot be rescued: {reason}")
