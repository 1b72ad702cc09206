"""rebuild: image, key and metadata looked up with the caller's token; the answer is the server as it will be."""

from typing import Any, cast

from fastapi import Response
from fastapi.responses import JSONResponse
from sqlalchemy import RowMapping

from api.compute.acting import root_volume
from api.compute.acting.able import require_host
from api.compute.acting.images import require_room_for
from api.compute.boot import names
from api.compute.boot.images import image, require_fit
from api.compute.boot.personality import injected_files
from api.compute.boot.properties import disk_config, require_machine
from api.compute.boot.signed import OF_VOLUME, require_signed, trusted_by
from api.compute.call import ComputeCall
from api.compute.errors import bad_request
from api.compute.records import extras, instances, port_groups, quotas
from api.compute.validation import require_hostname
from api.compute.views.servers import ServerView, with_groups
from infra.contracts import abilities
from infra.tables.compute import Flavor, KeyPair
from workflows.fields import InjectedFileBody
from workflows.rebuild_instance import Rebuild
from workflows.requests import Accepted

COLUMNS = {
    "name": "name",
    "description": "description",
    "metadata": "server_metadata",
    "accessIPv4": "access_ip_v4",
    "accessIPv6": "access_ip_v6",
    "key_name": "key_name",
    "hostname": "hostname",
    "trusted_image_certificates": "trusted_certificates",
}
"""Attribute of the body → column of the record."""


def prepare(call: ComputeCall, row: RowMapping, wish: dict[str, Any]) -> dict[str, Any]:
    """400 in Nova's words for an image that cannot be used and for a key that is not there; 403 over quota."""
    _require_built(call, row, wish)
    require_hostname(call, wish.get("hostname"))
    if wish.get("metadata"):
        require_room_for(call, wish["metadata"])
    needs = image(call, wish["imageRef"], "Cannot find image for rebuild")
    if needs.devices:
        raise bad_request(f"Image {wish['imageRef']} is unacceptable: it names volumes and has no data of its own.")
    if "trusted_image_certificates" in wish:  # null: the operator's, if there are any
        wish = wish | {"trusted_image_certificates": trusted_by(call, wish["trusted_image_certificates"]) or None}
    trusted = wish.get("trusted_image_certificates", row["trusted_certificates"])
    require_signed(call, trusted, local=bool(row["image_ref"]), volume_words=OF_VOLUME)
    flavor, local = Flavor.model_validate(row["flavor"]), bool(row["image_ref"])
    require_fit(call, flavor, needs, local=bool(row["root_gb"]))
    require_machine(needs.properties, flavor, local=local)
    beside = {"local_disks": bool(row["local_disks"]), "signed": bool(trusted)}
    require_host(call, row, abilities.needed(needs.properties, row["flavor"], **beside))
    volume_id = None if local else root_volume.written(call, row, wish["imageRef"], needs)
    columns = {column: wish[name] for name, column in COLUMNS.items() if name in wish}
    columns["disk_config"] = disk_config(wish.get("OS-DCF:diskConfig"), needs.properties, wish["imageRef"])
    told: dict[str, Any] = {name: wish[name] for name in ("user_data", "hostname", "metadata") if name in wish}
    told["injected_files"] = _files(call, wish.get("personality", []))
    if "key_name" in wish:
        told |= _key(call, row, wish["key_name"])
    return Rebuild(
        image_id=wish["imageRef"],
        image_properties=needs.properties,
        admin_pass=wish.get("adminPass") or names.password(),
        columns=columns,
        told=told,
        volume_id=volume_id,
    ).model_dump()


def answer(call: ComputeCall, accepted: Accepted, wish: dict[str, Any]) -> Response:
    """The server as it will be, with its new password. Source: Compute API reference, 2.54, 2.57 and 2.75."""
    with call.db.read() as session:
        row = instances.find(session, call, accepted.instance_id)
        beside = extras.of(session, call, [row])
    beside = port_groups.beside(call, [row], beside)
    new = {**row, **wish["columns"], "image_properties": wish["image_properties"]}
    new["image_ref"] = row["image_ref"] and wish["image_id"]
    server = with_groups(call, ServerView(call, beside).updated(cast(RowMapping, new)), row)
    server["adminPass"] = accepted.admin_pass
    if call.since(54):
        server["key_name"] = new["key_name"]
    if call.since(57):
        server.pop("OS-EXT-SRV-ATTR:user_data", None)  # it is told once
        server["user_data"] = wish["told"].get("user_data", beside.user_data.get(row["id"]))
    headers = {"Location": call.url(f"/servers/{accepted.instance_id}")}
    return JSONResponse({"server": server}, status_code=202, headers=headers)


def _require_built(call: ComputeCall, row: RowMapping, wish: dict[str, Any]) -> None:
    if wish.get("preserve_ephemeral"):
        raise bad_request("The current driver does not support preserving ephemeral partitions.")


def _files(call: ComputeCall, personality: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of this rebuild alone: what was injected before is not, as in Nova."""
    with call.db.read() as session:
        limits = quotas.limits(session, call.context.project_id)
    files = injected_files(limits, [InjectedFileBody.model_validate(file) for file in personality])
    return [file.model_dump() for file in files]


def _key(call: ComputeCall, row: RowMapping, name: str | None) -> dict[str, Any]:
    """The key of the server's owner."""
    if name is None:
        return {"key_name": None, "public_key": None}
    with call.db.read() as session:
        key = session.get(KeyPair, (row["user_id"], name))
    if key is None:
        raise bad_request("Invalid key_name provided.")
    return {"key_name": key.name, "public_key": key.public_key}
