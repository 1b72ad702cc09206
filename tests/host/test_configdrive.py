"""What the config drive and the domain's XML say."""

import io
import json
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pycdlib
import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.hypervisor import GuestConfig
from infra.contracts.image import DiskOnHost
from infra.contracts.injected_files import InjectedFile
from infra.contracts.local_disks import LocalDisk
from infra.contracts.network import FixedIp
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
from infra.host.metadata_format import OPENSTACK
from infra.settings import Settings
from tests.host import cloud_init
from tests.host.cloud import new_id
from tests.host.specs import spec, vif


def read(file: Path, version: str, name: str, kind: str, form: str = "openstack") -> bytes:
    iso = pycdlib.PyCdlib()
    iso.open(str(file))
    out = io.BytesIO()
    iso.get_file_from_iso_fp(out, **{kind: f"/{form}/{version}/{name}"})
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
@pytest.mark.parametrize("version", ["latest", "2020-10-14"])
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


def test_older_versions_tell_what_there_was_then() -> None:
    found = configdrive.files(spec(new_id(), guest=full_guest(), vifs=[vif()]))
    assert {path.split("/")[0] for path in found} == {"openstack", "ec2"}
    names = {version: {p.rpartition("/")[2] for p in found if p.split("/")[1] == version} for version in OPENSTACK}
    assert names["2012-08-10"] == names["2013-04-04"] == {"meta_data.json", "user_data"}
    assert names["2013-10-17"] == {"meta_data.json", "user_data", "vendor_data.json"}
    assert names["2015-10-15"] == names["2013-10-17"] | {"network_data.json"}
    assert names["2016-10-06"] == names["2015-10-15"] | {"vendor_data2.json"}
    meta = {version: json.loads(found[f"openstack/{version}/meta_data.json"]) for version in OPENSTACK}
    assert not {"random_seed", "project_id", "devices", "dedicated_cpus"} & set(meta["2012-08-10"])
    assert "random_seed" in meta["2013-04-04"] and "project_id" not in meta["2013-10-17"]
    assert "project_id" in meta["2015-10-15"] and "devices" not in meta["2015-10-15"]
    assert "devices" in meta["2016-06-30"] and "dedicated_cpus" not in meta["2018-08-27"]


def test_the_ec2_form(tmp_path: Path) -> None:
    scratch = LocalDisk(kind="ephemeral", size_mb=1, device="vdb", tag="scratch")
    disks = [scratch, LocalDisk(kind="swap", size_mb=1, device="vdc")]
    volumes = [VolumeConnection(volume_id="v", attachment_id="a", device="vdd")]
    made = spec(new_id(), guest=full_guest(), vifs=[vif()], local_disks=disks, volumes=volumes)
    target = tmp_path / "config.iso"
    configdrive.write(made, target)
    (device,) = configdrive.meta_data(made)["devices"]
    assert (device["path"], device["tags"]) == ("/dev/vdb", ["scratch"])
    for version in ("2009-04-04", "latest"):
        told = json.loads(read(target, version, "meta-data.json", "rr_path", form="ec2"))
        assert told.pop("instance-id") == f"i-{made.instance_id[:8]}"
        assert told == {
            "ami-id": "ami-00000000",
            "ami-launch-index": "2",
            "hostname": "web-1",
            "local-hostname": "web-1",
            "block-device-mapping": {
                "ami": "vda",
                "root": "/dev/vda",
                "ephemeral0": "/dev/vdb",
                "swap": "/dev/vdc",
                "ebs0": "/dev/vdd",
            },
            "instance-type": "m1.nano",
            "local-ipv4": "203.0.113.104",
            "placement": {"availability-zone": "nova"},
            "public-keys": {"0": {"openssh-key": "ssh-ed25519 AAAA me"}},
        }
        assert read(target, version, "user-data", "rr_path", form="ec2") == b"#!/bin/sh\necho hi\n"


def test_cloud_init_understands_it(tmp_path: Path) -> None:
    file, target, folder = tmp_path / "vendor.json", tmp_path / "config.iso", tmp_path / "drive"
    file.write_text('{"ntp": "192.0.2.123"}')
    plugged = vif()
    plugged.fixed_ips[0].enable_dhcp = False
    files = [InjectedFile(path="/etc/motd", contents="aGkK"), InjectedFile(path="/etc/issue", contents="eW91Cg==")]
    guest = full_guest().model_copy(update={"injected_files": files})
    made = spec(new_id(), guest=guest, vifs=[plugged])
    configdrive.write(made, target, file)
    unpack(target, folder)
    done = subprocess.run([*cloud_init.reader(), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    meta = found["metadata"]
    assert (meta["instance-id"], meta["local-hostname"], meta["meta"]) == (made.instance_id, "web-1", {"role": "web"})
    assert meta["public_keys"] == {"mykey": "ssh-ed25519 AAAA me"} and found["userdata"] == "#!/bin/sh\necho hi\n"
    assert found["vendordata"] == {"ntp": "192.0.2.123"} and found["ec2"]["local-ipv4"] == "203.0.113.104"
    assert found["files"] == {"/etc/motd": "hi\n", "/etc/issue": "you\n"}
    nic, resolver = found["network"]["config"]
    (subnet,) = nic["subnets"]
    assert (subnet["type"], subnet["address"], subnet["netmask"]) == ("static", "203.0.113.104", "255.255.255.0")
    assert subnet["routes"][0]["gateway"] == "203.0.113.1" and resolver["address"] == "8.8.4.4"


def unpack(image: Path, folder: Path) -> None:
    """As a mount shows it."""
    iso = pycdlib.PyCdlib()
    iso.open(str(image))
    for above, _, names in iso.walk(rr_path="/"):
        for name in names:
            path = folder / above.lstrip("/") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            iso.get_file_from_iso(str(path), rr_path=f"{above.rstrip('/')}/{name}")
    iso.close()


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


def test_it_follows_the_interfaces_and_nothing_else(host: Settings) -> None:
    """Of a guest that is made anew from its records. Mechanism: Definer, configdrive.tells_of."""
    paths, made = HostPaths(host), spec(new_id(), guest=full_guest(), vifs=[vif()])
    files, drive = GuestFiles(paths), paths.config_drive(made.instance_id)
    definer = Definer(host, files, Definitions(Connection(host)), VirtType("qemu", "only then a drive is written"))
    definer._write_files(made, keep_drive=True)
    first = drive.read_bytes()
    definer._write_files(made.model_copy(update={"name": "another"}), keep_drive=True)
    assert drive.read_bytes() == first
    plugged = [vif(), vif("0b3e3a2e-0000-4000-8000-000000000002", mac_address="fa:16:3e:00:00:02", tag="back")]
    files.note_drive(made.instance_id, outdated=True)
    definer._write_files(made.model_copy(update={"vifs": plugged}), keep_drive=True)
    links = json.loads(read(drive, "latest", "network_data.json", "rr_path"))["links"]
    assert [link["ethernet_mac_address"][-2:] for link in links] == ["01", "02"]
    assert not files.drive_is_outdated(made.instance_id)
    drive.write_bytes(b"no drive")
    definer._write_files(made, keep_drive=True)
    assert len(json.loads(read(drive, "latest", "network_data.json", "rr_path"))["links"]) == 1


def test_it_follows_an_address_that_comes_by_dhcp(host: Settings) -> None:
    """Which the drive tells in EC2's words alone."""
    paths, made = HostPaths(host), spec(new_id(), guest=full_guest(), vifs=[vif()])
    drive = paths.config_drive(made.instance_id)
    definer = Definer(host, GuestFiles(paths), Definitions(Connection(host)), VirtType("qemu", "a drive is written"))
    definer._write_files(made, keep_drive=True)
    moved = vif()
    moved.fixed_ips[0].ip_address = "203.0.113.105"
    assert not configdrive.tells_of(drive, made.model_copy(update={"vifs": [moved]}))
    definer._write_files(made.model_copy(update={"vifs": [moved]}), keep_drive=True)
    assert configdrive.tells_of(drive, made.model_copy(update={"vifs": [moved]}))


def test_a_guest_that_its_host_starts_is_told_what_holds_now_and_keeps_its_password(host: Settings) -> None:
    """Mechanism: Definer.write_drive. What the control plane tells comes without the password."""
    paths, made = HostPaths(host), spec(new_id(), guest=full_guest(), vifs=[vif()])
    files, drive = GuestFiles(paths), paths.config_drive(made.instance_id)
    definer = Definer(host, files, Definitions(Connection(host)), VirtType("qemu", "a drive is written"))
    definer._write_files(made, keep_drive=True)
    files.note_drive(made.instance_id, outdated=True)
    now = made.guest.model_copy(update={"admin_pass": None, "metadata": {"role": "db"}})
    told = made.model_copy(update={"guest": now, "vifs": [vif(tag="front")]})
    for _ in range(2):
        definer.write_drive(told)
        meta = json.loads(read(drive, "latest", "meta_data.json", "rr_path"))
        assert (meta["meta"], meta["admin_pass"], meta["devices"][0]["tags"]) == ({"role": "db"}, "s3cret", ["front"])
        assert configdrive.tells_of(drive, told) and drive.stat().st_mode & 0o777 == 0o600
    assert not files.drive_is_outdated(made.instance_id)
    drive.unlink()
    definer.write_drive(told)
    assert "admin_pass" not in json.loads(read(drive, "latest", "meta_data.json", "rr_path"))


def test_addresses_without_dhcp() -> None:
    plugged = vif()
    plugged.fixed_ips[0].enable_dhcp = False
    network = configdrive.network_data([plugged])["networks"][0]
    assert (network["type"], network["ip_address"], network["netmask"]) == ("ipv4", "203.0.113.104", "255.255.255.0")
    assert network["routes"] == [
        {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "203.0.113.1"},
        {"network": "10.0.0.0", "netmask": "255.0.0.0", "gateway": "203.0.113.9"},
    ]


@pytest.mark.parametrize("mode", ["slaac", "dhcpv6-stateless", "dhcpv6-stateful"])
def test_how_a_guest_gets_its_ipv6_address(mode: str) -> None:
    """As Nova says it: the mode, and the address that the port has, whichever way the guest comes by it."""
    subnet: dict[str, Any] = {"cidr": "2001:db8::/64", "gateway_ip": "2001:db8::1", "ipv6_address_mode": mode}
    plugged = vif().model_copy(update={"fixed_ips": [FixedIp(ip_address="2001:db8::5", subnet_id="six", **subnet)]})
    network = configdrive.network_data([plugged])["networks"][0]
    assert (network["type"], network["ip_address"]) == (f"ipv6_{mode}", "2001:db8::5")
    assert network["routes"] == [{"network": "::", "netmask": "::", "gateway": "2001:db8::1"}]


def test_bad_user_data_is_hopeless() -> None:
    with pytest.raises(ApplicationError):
        configdrive.files(spec(new_id(), guest=GuestConfig(hostname="a", user_data="not base64!")))


def place(**more: Any) -> Place:
    facts: dict[str, Any] = {
        "host": "kh1",
        "virt_type": "qemu",
        "disk": Path("/s/disk"),
        "nvram": Path("/s/nvram.fd"),
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
