"""shelve and unshelve: the settings in force, and where an unshelved server may go."""

from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import Session

from api.compute.call import ComputeCall
from api.compute.errors import bad_request, conflict
from api.compute.records import hosts
from workflows.shelve_instance import Shelving
from workflows.unshelve_instance import Unshelving


def prepare_shelve(call: ComputeCall, row: RowMapping, _wish: dict[str, Any]) -> dict[str, Any]:
    """The image's name is Nova's. A server that boots from a volume leaves its host at once, as in Nova."""
    after = call.settings.shelved_offload_time if row["image_ref"] else 0
    return Shelving(name=f"{row['name']}-shelved", offload_after_s=after).model_dump()


def prepare_unshelve(call: ComputeCall, row: RowMapping, wish: dict[str, Any]) -> dict[str, Any]:
    """400 for a zone or host that there is not, 403 for a host that the caller may not choose, 409 for a place that is
    asked for while the server still has one, and for a host outside the zone. Source: Nova's unshelve at 2.77, 2.91."""
    zone, host = wish.get("availability_zone"), wish.get("host")
    if "availability_zone" in wish and zone is None and not call.since(91):
        raise bad_request("Invalid input for field/attribute availability_zone. None is not of type 'string'")
    if host:
        call.enforce("os_compute_api:os-shelve:unshelve_to_host")
    if (host or zone) and row["vm_state"] == "shelved":
        raise conflict(
            f'Specifying an availability zone or a host when unshelving server "{row["id"]}" with status '
            f'"{row["vm_state"]}" is not supported. The server status must be SHELVED_OFFLOADED.'
        )
    within = zone if "availability_zone" in wish else row["pinned_zone"]
    with call.db.read() as session:
        _require_place(session, zone, host, within)
    columns = {"availability_zone": zone, "pinned_zone": zone} if "availability_zone" in wish else {}
    near = {name: row["scheduler_hints"].get(name, []) for name in ("same_host", "different_host")}
    return Unshelving(zone=within, host=host, columns=columns, **near).model_dump()


def _require_place(session: Session, zone: str | None, host: str | None, within: str | None) -> None:
    if zone and zone not in hosts.zones(session):
        raise bad_request("The requested availability zone is not available")
    if not host:
        return
    service = hosts.compute_service(session, host)
    if service is None:
        raise bad_request(f"Compute host {host} could not be found.")
    if within and service.zone != within:
        raise conflict(f'Host "{host}" is not in the availability zone "{within}".')
