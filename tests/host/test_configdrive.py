"""What the config drive and the domain's XML say."""

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pycdlib
import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.hypervisor import GuestConfig
from infra.contracts.image import DiskOnHost
from infra.contracts.volume import VolumeConnection
from infra.host.definer import Definer
from infra.host.files import configdrive
from infra.host.files.guest import GuestFiles
from infra.host.files.paths import HostPaths
from infra.host.libvirt.connection import Connection
from infra.host.libvirt.definitions import Definitions
from infra.host.libvirt.domain_xml import Place, domain_xml
from infra.host.libvirt.machine_xml import METADATA
from infra.host.libvirt.virt_type import VirtType
from infra.settings import Settings
from tests.host.cloud import new_id
from tests.host.specs import spec, vif


def read(file: Path, version: str, name: str, kind: str) -> bytes:
    iso = pycdlib.PyCdlib()
    iso.open(str(file))
    out = io.BytesIO()
    iso.get_file_from_iso_fp(out, **{kind: f"/openstack/{version}/{name}"})
    iso.close()
    return out.getvalue()


def full_guest() -> GuestConfig:
    return GuestConfig(
        hostname="web-1",
        admin_pass="s3cret",
        user_data="IyEvYmluL3NoCmVjaG8gaGkK",
        key_name="mykey",
        public_key="ssh-ed25519 AAAA me",
        metadata={"role": "web"},
        availability_zone="nova",
        launch_index=2,
        project_id="p" * 32,
    )


@pytest.mark.parametrize("kind", ["rr_path", "joliet_path"])
@pytest.mark.parametrize("version", ["latest", "2018-08-27"])
def test_files(tmp_path: Path, version: str, kind: str) -> None:
    made = spec(new_id(), guest=full_guest(), vifs=[vif(tag="front")])
    target = tmp_path / "config.iso"
    for _ in range(2):
        configdrive.write(made, target)
    assert target.stat().st_mode & 0o777 == 0o600 and list(tmp_path.iterdir()) == [target]
    meta: dict[str, Any] = json.loads(read(target, version, "meta_data.json", kind))
    assert len(meta.pop("random_seed")) > 600
    assert meta == {
        "uuid": made.instance_id,
        "name": "web <1> & more",
        "hostname": "web-1",
        "availability_zone": "nova",
        "launch_index": 2,
        "project_id": "p" * 32,
        "meta": {"role": "web"},
        "admin_pass": "s3cret",
        "public_keys": {"mykey": "ssh-ed25519 AAAA me"},
        "keys": [{"name": "mykey", "type": "ssh", "data": "ssh-ed25519 AAAA me"}],
        "devices": [{"type": "nic", "bus": "none", "address": "none", "mac": "fa:16:3e:00:00:01", "tags": ["front"]}],
        "dedicated_cpus": [],
    }
    assert read(target, version, "user_data", kind) == b"#!/bin/sh\necho hi\n"
    assert read(target, version, "vendor_data.json", kind) == b"{}"
    network = json.loads(read(target, version, "network_data.json", kind))
    assert network["links"][0]["ethernet_mac_address"] == "fa:16:3e:00:00:01"
    assert network["networks"][0]["type"] == "ipv4_dhcp"
    assert network["services"] == [{"type": "dns", "address": "8.8.4.4"}]


def test_vendor_data(tmp_path: Path) -> None:
    file, target = tmp_path / "vendor.json", tmp_path / "config.iso"
    file.write_text('{"ntp": "192.0.2.123"}')
    configdrive.write(spec(new_id(), guest=full_guest()), target, file)
    assert json.loads(read(target, "latest", "vendor_data.json", "rr_path")) == {"ntp": "192.0.2.123"}
    assert json.loads(read(target, "latest", "vendor_data2.json", "rr_path")) == {"static": {"ntp": "192.0.2.123"}}


def test_what_a_build_writes_tells_the_operators_vendor_data(host: Settings, tmp_path: Path) -> None:
    file = tmp_path / "vendor.json"
    file.write_text('{"ntp": "192.0.2.123"}')
    settings = host.model_copy(update={"vendor_data_file": file})
    paths, made = HostPaths(settings), spec(new_id(), guest=full_guest())
    driver = Definitions(Connection(settings))
    definer = Definer(settings, GuestFiles(paths), driver, VirtType("qemu", "only then a drive is written"))
    definer._write_files(made, keep_drive=False)
    drive = paths.config_drive(made.instance_id)
    assert json.loads(read(drive, "latest", "vendor_data.json", "rr_path")) == {"ntp": "192.0.2.123"}


def test_addresses_without_dhcp() -> None:
    plugged = vif()
    plugged.fixed_ips[0].enable_dhcp = False
    network = configdrive.network_data([plugged])["networks"][0]
    assert (network["type"], network["ip_address"], network["netmask"]) == ("ipv4", "203.0.113.104", "255.255.255.0")
    assert network["routes"] == [
        {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "203.0.113.1"},
        {"network": "10.0.0.0", "netmask": "255.0.0.0", "gateway": "203.0.113.9"},
    ]


def test_bad_user_data_is_hopeless() -> None:
    with pytest.raises(ApplicationError):
        configdrive.files(spec(new_id(), guest=GuestConfig(hostname="a", user_data="not base64!")))


def place(**more: Any) -> Place:
    facts: dict[str, Any] = {
        "host": "kh1",
        "virt_type": "qemu",
        "disk": Path("/s/disk"),
        "config_drive": Path("/s/config.iso"),
        "console_log": Path("/s/console.log"),
        "vnc_listen": "socket",
        "vnc_socket": Path("/s/vnc"),
        "serial_socket": Path("/s/serial"),
    }
    return Place(**(facts | more))


def test_domain() -> None:
    volume = VolumeConnection(volume_id=new_id(), attachment_id=new_id(), export="secret-export", device="vdb")
    disk = DiskOnHost()
    made = spec(new_id(), name="a\x00b\x1b<c>", vifs=[vif()], disk=disk, volumes=[volume], guest=full_guest())
    text = domain_xml(made, place())
    assert "secret-export" not in text and "s3cret" not in text
    domain = ElementTree.fromstring(text)
    assert domain.findtext("name") == f"instance-{made.instance_id[:8]}" and domain.findtext("uuid") == made.instance_id
    assert domain.findtext(f"metadata/{{{METADATA}}}instance/{{{METADATA}}}name") == "ab<c>"
    assert domain.findtext("features/tcg/tb-cache") == "32" and domain.find("cpu") is None
    root = domain.find("devices/disk[@device='disk']")
    assert root is not None and root.find("target").get("dev") == "vda"  # type: ignore[union-attr]
    tap = domain.find("devices/interface[@type='bridge']/target")
    assert tap is not None and tap.get("dev") == vif().tap
    assert domain.find("devices/interface/filterref") is None
    kvm = ElementTree.fromstring(domain_xml(made, place(virt_type="kvm", vnc_listen="10.0.0.1")))
    assert kvm.find("features/tcg") is None and kvm.find("cpu").get("mode") == "host-model"  # type: ignore[union-attr]
    assert kvm.find("devices/graphics").get("listen") == "10.0.0.1"  # type: ignore[union-attr]
