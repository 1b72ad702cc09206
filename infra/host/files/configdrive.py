"""The config drive: an ISO 9660 image labelled config-2 that tells the guest who it is.

Source: Nova user guide, "Config drives" and "Metadata service".
"""

import base64
import binascii
import io
import ipaddress
import json
import os
from pathlib import Path
from typing import Any

import pycdlib

from infra.contracts.errors import hopeless
from infra.contracts.hypervisor import DomainSpec
from infra.contracts.injected_files import key_of
from infra.contracts.network import FixedIp, Vif
from infra.host.files.vendor_data import documents
from infra.host.metadata_format import OPENSTACK, block_devices, ec2, of_version

EC2_VERSIONS = ("2009-04-04", "latest")
"""Nova leaves the older ones out as well, unless it is configured otherwise."""

META_DATA = "/openstack/latest/meta_data.json"
EC2, ADDRESS = "/ec2/latest/meta-data.json", "local-ipv4"


def write(spec: DomainSpec, target: Path, vendor_data: Path | None = None) -> None:
    """Replace `target` atomically by the drive of `spec`; only its owner may read it, since it holds secrets.
    `vendor_data`: the operator's file for every guest."""
    partial = target.with_name(f"{target.name}.part")
    with os.fdopen(os.open(partial, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600), "w+b") as out:
        _image(files(spec, vendor_data), out)
    partial.replace(target)


def tells_of(drive: Path, spec: DomainSpec) -> bool:
    """Whether the drive has the interfaces, their first address and the tagged devices that the guest has now."""
    told = _told(drive, META_DATA, "/openstack/latest/network_data.json", EC2)
    if not told:
        return False
    known = told["network_data.json"], told["meta_data.json"].get("devices"), told["meta-data.json"].get(ADDRESS)
    return known == (json.loads(_json(network_data(spec.vifs))), _tagged(spec), _ec2_facts(spec).get(ADDRESS))


def password_on(drive: Path) -> str | None:
    """None where there is none, or no drive."""
    found = _told(drive, META_DATA).get("meta_data.json", {}).get("admin_pass")
    return str(found) if found else None


def _told(drive: Path, *paths: str) -> dict[str, dict[str, Any]]:
    """Name → document; nothing when one of them cannot be read."""
    told: dict[str, dict[str, Any]] = {}
    try:
        iso = pycdlib.PyCdlib()
        iso.open(str(drive))
        for path in paths:
            out = io.BytesIO()
            iso.get_file_from_iso_fp(out, rr_path=path)
            told[path.rpartition("/")[2]] = json.loads(out.getvalue())
        iso.close()
    except (OSError, ValueError, pycdlib.pycdlibexception.PyCdlibException):
        return {}
    return told


def files(spec: DomainSpec, vendor_data: Path | None = None) -> dict[str, bytes]:
    """Path below the drive's root → content, for each version of the format."""
    meta = meta_data(spec)
    known = {
        "meta_data.json": meta,
        "network_data.json": network_data(spec.vifs),
        **documents(vendor_data),
    }
    data = _user_data(spec)
    found: dict[str, bytes] = {}
    for version in OPENSTACK:
        found |= {f"openstack/{version}/{name}": _json(told) for name, told in of_version(version, known).items()}
        found |= {f"openstack/{version}/user_data": data} if data is not None else {}
    for at, file in enumerate(spec.guest.injected_files):
        found[f"openstack/content/{key_of(at)}"] = base64.b64decode(file.contents)
    for version in EC2_VERSIONS:
        found[f"ec2/{version}/meta-data.json"] = _json(ec2(meta, _ec2_facts(spec)))
        found |= {f"ec2/{version}/user-data": data} if data is not None else {}
    return found


def _user_data(spec: DomainSpec) -> bytes | None:
    try:
        return base64.b64decode(spec.guest.user_data, validate=True) if spec.guest.user_data else None
    except binascii.Error as error:
        raise hopeless("User data needs to be valid base 64.", code=400) from error


def _ec2_facts(spec: DomainSpec) -> dict[str, Any]:
    addresses = [fixed.ip_address for vif in spec.vifs for fixed in vif.fixed_ips if "." in fixed.ip_address]
    mapping = block_devices(spec.local_disks, [volume.device for volume in spec.volumes])
    told = {"instance-type": spec.flavor.name, "block-device-mapping": mapping}
    return told | ({ADDRESS: addresses[0]} if addresses else {})


def meta_data(spec: DomainSpec) -> dict[str, Any]:
    guest = spec.guest
    body: dict[str, Any] = {
        "uuid": spec.instance_id,
        "name": spec.name,
        "hostname": guest.hostname,
        "availability_zone": guest.availability_zone,
        "launch_index": guest.launch_index,
        "project_id": guest.project_id or spec.project_id,
        "random_seed": base64.b64encode(os.urandom(512)).decode(),
        "devices": _tagged(spec),
        "dedicated_cpus": [],
    }
    if guest.metadata:
        body["meta"] = guest.metadata
    if guest.injected_files:
        body["files"] = [
            {"path": file.path, "content_path": f"/content/{key_of(at)}"}
            for at, file in enumerate(guest.injected_files)
        ]
    if guest.admin_pass:
        body["admin_pass"] = guest.admin_pass
    if guest.public_key:
        name, key = guest.key_name or "key", guest.public_key
        body |= {"public_keys": {name: key}, "keys": [{"name": name, "type": "ssh", "data": key}]}
    return body


def network_data(vifs: list[Vif]) -> dict[str, Any]:
    """Links, the networks on them, and name servers. Source: Nova's network_data.json schema."""
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    servers: list[str] = []
    for vif in vifs:
        link = {"id": vif.tap, "vif_id": vif.port_id, "type": "bridge", "mtu": vif.mtu}
        links.append({**link, "ethernet_mac_address": vif.mac_address})
        for fixed in vif.fixed_ips:
            networks.append({"id": f"network{len(networks)}", **_network(vif, fixed)})
            servers += [dns for dns in fixed.dns_nameservers if dns not in servers]
    services = [{"type": "dns", "address": address} for address in servers]
    return {"links": links, "networks": networks, "services": services}


def _network(vif: Vif, fixed: FixedIp) -> dict[str, Any]:
    cidr = ipaddress.ip_network(fixed.cidr, strict=False)
    kind = f"ipv{cidr.version}"
    base = {"link": vif.tap, "network_id": vif.network_id}
    if fixed.enable_dhcp and not fixed.ipv6_address_mode:
        return {**base, "type": f"{kind}_dhcp"}
    anywhere = ipaddress.ip_network("0.0.0.0/0" if cidr.version == 4 else "::/0")
    routes = [(anywhere, fixed.gateway_ip)] if fixed.gateway_ip else []
    routes += [(ipaddress.ip_network(route["destination"]), route["nexthop"]) for route in fixed.host_routes]
    return {
        **base,
        "type": f"{kind}_{fixed.ipv6_address_mode}" if fixed.ipv6_address_mode else kind,
        "ip_address": fixed.ip_address,
        "netmask": str(cidr.netmask),
        "routes": [
            {"network": str(net.network_address), "netmask": str(net.netmask), "gateway": gateway}
            for net, gateway in routes
        ],
        "services": [{"type": "dns", "address": address} for address in fixed.dns_nameservers],
    }


def _tagged(spec: DomainSpec) -> list[dict[str, Any]]:
    """Devices that the tenant tagged, so that the guest can tell which is which."""
    nics = [
        {"type": "nic", "bus": "none", "address": "none", "mac": vif.mac_address, "tags": [vif.tag]}
        for vif in spec.vifs
        if vif.tag
    ]
    disks = [
        {"type": "disk", "bus": "none", "address": "none", "serial": volume.volume_id, "tags": [volume.tag]}
        for volume in spec.volumes
        if volume.tag
    ]
    local = [
        {"type": "disk", "bus": "none", "address": "none", "path": f"/dev/{disk.device}", "tags": [disk.tag]}
        for disk in spec.local_disks
        if disk.tag
    ]
    return [*nics, *local, *disks]


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def _image(content: dict[str, bytes], out: Any) -> None:
    """Names of ISO 9660 are made up: who reads the drive sees Rock Ridge's or Joliet's."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=1, joliet=3, rock_ridge="1.09", vol_ident="config-2")
    made = {"": ""}
    for number, (path, data) in enumerate(content.items()):
        folder, _, name = path.rpartition("/")
        short = f"{_folder(iso, made, folder)}/F{number}.;1"
        iso.add_fp(io.BytesIO(data), len(data), short, rr_name=name, joliet_path=f"/{path}")
    iso.write_fp(out)
    iso.close()


def _folder(iso: pycdlib.PyCdlib, made: dict[str, str], path: str) -> str:
    """The ISO 9660 path of a folder, which is made if need be."""
    if path not in made:
        above, _, name = path.rpartition("/")
        made[path] = f"{_folder(iso, made, above)}/D{len(made)}"
        iso.add_directory(made[path], rr_name=name, joliet_path=f"/{path}")
    return made[path]
