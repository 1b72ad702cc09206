"""What a guest may know of itself, asked by the host whose network it asks from.

Source: Nova user guide, "Metadata service". The host vouches for network and source address: nobody else can send
from a port's address there."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from api.compute.call import Body as CallBody
from api.compute.call import Call, ComputeCall
from api.compute.errors import conflict, not_found
from api.compute.own import OwnNetwork
from api.compute.records import passwords, reports
from api.compute.schemas.services import GuestPassword
from api.compute.validation import parse
from infra.contracts.hypervisor import DomainSpec, FlavorFacts, GuestConfig
from infra.contracts.injected_files import key_of
from infra.contracts.local_disks import LocalDisk
from infra.contracts.network import OF_SUBNET, FixedIp, Vif
from infra.contracts.volume import VolumeConnection
from infra.host.files import configdrive
from infra.host.metadata_format import block_devices
from infra.tables.compute import Instance

router = APIRouter(prefix="/kilonova/hosts/{host}/metadata")
Id = Annotated[str, Query(max_length=64)]
Body = dict[str, Any]
ROUTED = "network:router_interface"


@router.get("")
def show_metadata(call: Call, host: str, address: Id, network_id: Id = "", router_id: Id = "") -> JSONResponse:
    """Metadata of the server whose port has `address` on the network, or on a network of the router: `meta_data`,
    `network_data`, `user_data` (base64 or null), `content` (name → base64), `ec2`. 404 when there is none."""
    return JSONResponse(_document(call, _server(call, host, address, network_id, router_id), address))


@router.get("/{instance_id}")
def show_guest(call: Call, host: str, instance_id: str) -> JSONResponse:
    """What the config drive of one of the host's guests has to tell now, without its password: the host starts guests
    by itself after its boot. 404 for a server that it has no claim on; 409 where not all of it can be known."""
    call.enforce("kilonova:host", host=host)
    with call.db.read() as session:
        row = session.get(Instance, instance_id)
        if row is None or row.deleted_at is not None or not reports.claim(session.connection(), host, instance_id):
            raise not_found(f"Host {host[:255]} has no claim on instance {instance_id[:64]}.")
        session.expunge(row)
    request, vifs = _request(call, row), _vifs(call, row)
    if not request or {port["port_id"] for port in row.networks} - {vif.port_id for vif in vifs}:
        raise conflict(f"Not all of instance {instance_id} is known.")
    return JSONResponse({"guest": _spec(row, request, vifs).model_dump(mode="json")})


@router.post("/password", status_code=204)
def tell_password(
    call: Call, host: str, body: CallBody, address: Id, network_id: Id = "", router_id: Id = ""
) -> Response:
    """Keep the password that a guest chose: once (409), and no more than Nova takes (400)."""
    row = _server(call, host, address, network_id, router_id)
    told = parse(call, GuestPassword, {"password": body}, "password").text
    sealed = call.request.app.state.ring.seal(told)
    with call.db.write() as session:
        if not passwords.tell(session, row.id, sealed):
            raise conflict("The password of this server is told.")
    return Response(status_code=204)


def _server(call: ComputeCall, host: str, address: str, network_id: str, router_id: str) -> Instance:
    call.enforce("kilonova:host", host=host)
    port = _port(call, [network_id] if network_id else _networks(call, router_id), address)
    if port is not None:
        with call.db.read() as session:
            row = session.get(Instance, port["device_id"])
            if row is not None and row.deleted_at is None:
                session.expunge(row)
                return row
    raise not_found("No server has this address there.")


def _list(call: ComputeCall, kind: str, **where: str) -> list[Body]:
    """As compute itself: a host lists nothing, and this answer is of one guest whose traffic it vouches for."""
    own: OwnNetwork = call.request.app.state.network
    return own.list(kind, **where)


def _networks(call: ComputeCall, router_id: str) -> list[str]:
    if not router_id:
        return []
    return [port["network_id"] for port in _list(call, "ports", device_id=router_id, device_owner=ROUTED)]


def _port(call: ComputeCall, networks: list[str], address: str) -> Body | None:
    for network_id in networks:
        for port in _list(call, "ports", network_id=network_id, fixed_ips=f"ip_address={address}"):
            if port["device_owner"].startswith("compute:"):
                return port
    return None


def _document(call: ComputeCall, row: Instance, address: str) -> Body:
    request = _request(call, row)
    spec = _spec(row, request, _vifs(call, row))
    return {
        "meta_data": configdrive.meta_data(spec),
        "network_data": configdrive.network_data(spec.vifs),
        "user_data": request.get("user_data"),
        "content": {key_of(at): file.contents for at, file in enumerate(spec.guest.injected_files)},
        "password": passwords.opened(call.request.app.state.ring, row.sealed_password),
        "ec2": {
            "block-device-mapping": block_devices(spec.local_disks, [volume.device for volume in spec.volumes]),
            "instance-type": spec.flavor.name,
            "local-ipv4": address,
            "reservation-id": row.reservation_id,
            "security-groups": "\n".join(row.security_groups),
        },
    }


def _spec(row: Instance, request: Body, vifs: list[Vif]) -> DomainSpec:
    """Of the guest, what it may be told of itself; no password."""
    name = str(row.flavor.get("name") or row.flavor_id)
    return DomainSpec(
        instance_id=row.id,
        attempt=0,
        name=row.name,
        project_id=row.project_id,
        user_id=row.user_id,
        flavor=FlavorFacts(id=row.flavor_id, name=name, vcpus=row.vcpus, ram=row.memory_mb),
        local_disks=[LocalDisk.model_validate(disk) for disk in row.local_disks],
        vifs=vifs,
        volumes=[VolumeConnection.model_validate({**volume, "device": _device(volume)}) for volume in row.volumes],
        guest=GuestConfig(
            hostname=row.hostname,
            key_name=row.key_name,
            user_data=request.get("user_data"),
            public_key=request.get("public_key"),
            injected_files=request.get("injected_files", []),
            metadata=row.server_metadata,
            availability_zone=row.availability_zone or "nova",
            launch_index=row.launch_index,
        ),
    )


def _device(volume: dict[str, Any]) -> str:
    return str(volume.get("device") or "")


def _request(call: ComputeCall, row: Instance) -> Body:
    """The request that built the server: its key and user data; empty when it cannot be opened any more."""
    try:
        opened: Body = json.loads(passwords.opened(call.request.app.state.ring, row.sealed_request) or "{}")
        return opened
    except ValueError:
        return {}


def _vifs(call: ComputeCall, row: Instance) -> list[Vif]:
    """In the record's order, by which the guest knows them."""
    order = {port["port_id"]: at for at, port in enumerate(row.networks)}
    tags = {port["port_id"]: port.get("tag") for port in row.networks}
    ports = sorted(_list(call, "ports", device_id=row.id), key=lambda port: order.get(port["id"], len(order)))
    return [_vif(call, port, tags.get(port["id"])) for port in ports]


def _vif(call: ComputeCall, port: Body, tag: str | None) -> Vif:
    network = next(iter(_list(call, "networks", id=port["network_id"])), {})
    subnets = {s["id"]: s for s in _list(call, "subnets", network_id=port["network_id"])}
    return Vif(
        port_id=port["id"],
        network_id=port["network_id"],
        label=str(network.get("name", "")),
        mac_address=port["mac_address"],
        tap=f"tap{port['id'][:11]}",
        bridge="",
        mtu=network.get("mtu") or 1500,
        tag=tag,
        fixed_ips=[
            FixedIp(**fixed, **{name: subnets[fixed["subnet_id"]][name] for name in OF_SUBNET})
            for fixed in port["fixed_ips"]
            if fixed["subnet_id"] in subnets
        ],
    )
