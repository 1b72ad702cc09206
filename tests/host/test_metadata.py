"""What guests read on 169.254.169.254, and that none reads another's."""

import asyncio
import base64
import json
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.codec import KeyRing
from infra.host.network.metadata import MetadataServer
from infra.hostnet import netns
from infra.tables.compute import Instance
from tests.host import cloud_init
from tests.host.cloud import until
from tests.host.place import Place
from tests.hostnet.conftest import StandIn, ip

KEY, SCRIPT = "ssh-ed25519 AAAA guest", b"#!/bin/sh\necho hello\n"


def recorded(place: Place, guest: StandIn, name: str) -> None:
    """The record of the guest's server, as the workflow's first step writes it."""
    asked = {"public_key": KEY, "user_data": base64.b64encode(SCRIPT).decode()}
    asked_files = [{"path": "/etc/motd", "contents": base64.b64encode(name.encode()).decode()}]
    sealed = json.dumps({**asked, "injected_files": asked_files})
    with place.cloud.compute.write() as session:
        session.add(
            Instance(
                id=guest.plug.instance_id,
                project_id=place.tenant.project_id,
                user_id="u",
                name=name,
                hostname=name,
                key_name="mykey",
                server_metadata={"role": name},
                local_disks=[{"kind": "swap", "size_mb": 1, "device": "vdb"}],
                volumes=[{"volume_id": "v", "attachment_id": "a", "device": "vdc", "tag": "data"}],
                vm_state="active",
                sealed_request=KeyRing.load(place.cloud.settings.codec_keys).seal(sealed),
            )
        )


@contextmanager
def serving(place: Place) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    server = MetadataServer(place.settings, place.cloud.session)
    task = loop.create_task(server.run())
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([task])), daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
        loop.close()


def read(guest: StandIn, path: str, *options: str) -> str:
    command = ["curl", "-sf", "-m", "5", *options, f"http://169.254.169.254{path}"]
    done = netns.call(guest.ns, lambda: subprocess.run(command, capture_output=True, text=True, check=False))
    return done.stdout if done.returncode == 0 else ""


def document(guest: StandIn, name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(read(guest, f"/openstack/latest/{name}") or "{}")
    return body


def network(place: Place, name: str) -> dict[str, Any]:
    made = place.make("network", name=name)
    place.make("subnet", network_id=made["id"], cidr="10.6.0.0/24", ip_version=4)
    return made


def test_each_guest_reads_its_own_and_two_tenants_with_one_address_do_too(place: Place) -> None:
    place.poll()
    guests = {}
    for name in ("red", "blue"):
        guests[name] = place.guest(network(place, name))
        recorded(place, guests[name], name)
    place.poll()
    assert guests["red"].address == guests["blue"].address
    with serving(place):
        for name, guest in guests.items():
            until(lambda guest=guest: read(guest, "/openstack"))
            told = document(guest, "meta_data.json")
            assert (told["uuid"], told["name"], told["meta"]) == (guest.plug.instance_id, name, {"role": name})
            assert told["public_keys"] == {"mykey": KEY} and "admin_pass" not in told
            links = document(guest, "network_data.json")["links"]
            assert [link["ethernet_mac_address"] for link in links] == [guest.plug.mac_address]
            assert read(guest, "/openstack/2018-08-27/user_data") == SCRIPT.decode()
            assert read(guest, "/openstack/2012-08-10/").split() == ["meta_data.json", "user_data"]
            assert "dedicated_cpus" not in read(guest, "/openstack/2018-08-27/meta_data.json")
            assert read(guest, "/2009-04-04/meta-data/public-keys/0/openssh-key") == KEY
            assert read(guest, "/latest/meta-data/local-ipv4") == guest.address
            assert read(guest, "/latest/meta-data/block-device-mapping/swap") == "/dev/vdb"
            assert read(guest, "/latest/meta-data/block-device-mapping/ebs0") == "/dev/vdc"
            assert [device["tags"] for device in told["devices"]] == [["data"]]
            assert read(guest, "/latest/user-data") == SCRIPT.decode()
            assert told["files"] == [{"path": "/etc/motd", "content_path": "/content/0000"}]
            assert read(guest, "/openstack/content/0000") == name
            assert read(guest, "/openstack/content/0001") == read(guest, "/openstack/content") == ""
            assert read(guest, "/latest/meta-data/nothing") == read(guest, "/openstack/1999-01-01/meta_data.json") == ""


def test_a_host_that_starts_a_guest_by_itself_asks_what_holds_now(place: Place) -> None:
    """Mechanism: ControlClient.guest. None, and the drive stays, without a claim or with a port that nobody finds."""
    place.poll()
    guest = place.guest(network(place, "red"))
    recorded(place, guest, "red")
    id, port = guest.plug.instance_id, {"port_id": guest.plug.port_id, "tag": "front"}
    place.cloud.unclaim(id)
    assert place.cloud.control.guest(id) is None
    place.cloud.claim(id)
    with place.cloud.compute.write() as session:
        session.get_one(Instance, id).networks = [port]
    told = place.cloud.control.guest(id)
    assert told is not None and [(vif.mac_address, vif.tag) for vif in told.vifs] == [(guest.plug.mac_address, "front")]
    assert (told.guest.metadata, told.guest.public_key, told.guest.admin_pass) == ({"role": "red"}, KEY, None)
    assert base64.b64decode(told.guest.user_data or "") == SCRIPT and told.guest.injected_files[0].path == "/etc/motd"
    with place.cloud.compute.write() as session:
        session.get_one(Instance, id).networks = [port, {"port_id": str(uuid.uuid4())}]
    assert place.cloud.control.guest(id) is None


def test_cloud_init_understands_it(place: Place) -> None:
    command = [*cloud_init.reader(), "http://169.254.169.254"]
    place.poll()
    guest = place.guest(network(place, "red"))
    recorded(place, guest, "red")
    place.poll()
    with serving(place):
        until(lambda: read(guest, "/openstack"))
        done = netns.call(guest.ns, lambda: subprocess.run(command, capture_output=True, text=True, check=False))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["metadata"]["instance-id"], found["metadata"]["local-hostname"]) == (guest.plug.instance_id, "red")
    assert found["metadata"]["public_keys"] == {"mykey": KEY} and found["userdata"] == SCRIPT.decode()
    assert (found["ec2"]["local-ipv4"], found["ec2"]["public-keys"]) == (guest.address, {"mykey": KEY})
    assert found["files"] == {"/etc/motd": "red"}
    nic = found["network"]["config"][0]
    assert (nic["mac_address"], nic["subnets"]) == (guest.plug.mac_address, [{"type": "dhcp4"}])


def test_what_the_operator_tells_every_guest(place: Place, tmp_path: Path) -> None:
    """Read whenever a guest asks; a file that is no JSON object keeps no guest from the rest."""
    file = tmp_path / "vendor.json"
    file.write_text('{"ntp": "192.0.2.123"}')
    place.settings = place.settings.model_copy(update={"vendor_data_file": file})
    place.poll()
    guest = place.guest(network(place, "red"))
    recorded(place, guest, "red")
    place.poll()
    with serving(place):
        until(lambda: read(guest, "/openstack"))
        assert document(guest, "vendor_data.json") == {"ntp": "192.0.2.123"}
        assert document(guest, "vendor_data2.json") == {"static": {"ntp": "192.0.2.123"}}
        for damaged in ("[1]", "{", None):
            file.unlink() if damaged is None else file.write_text(damaged)
            assert read(guest, "/openstack/latest/vendor_data.json") == "{}"
            assert read(guest, "/openstack/latest/vendor_data2.json") == "{}"
        assert document(guest, "meta_data.json")["name"] == "red"


def test_a_guest_tells_its_password_once(place: Place) -> None:
    place.poll()
    guest = place.guest(network(place, "red"))
    recorded(place, guest, "red")
    place.poll()

    def told(path: str, text: str) -> str:
        return read(guest, path, "-X", "POST", "--data-binary", text, "-o", "/dev/null", "-w", "%{http_code}")

    with serving(place):
        until(lambda: read(guest, "/openstack"))
        assert read(guest, "/openstack/latest/password") == ""
        for text, path in (("", "latest"), ("x" * 1025, "latest"), ("x", "1999-01-01")):
            assert told(f"/openstack/{path}/password", text) == ""
        assert told("/openstack/2013-04-04/password", "ZW5jcnlwdGVk") == "200"
        assert read(guest, "/openstack/latest/password") == "ZW5jcnlwdGVk"
        assert told("/openstack/latest/password", "another") == ""
    with place.cloud.compute.read() as session:
        kept = session.get_one(Instance, guest.plug.instance_id).sealed_password
    assert kept is not None and "ZW5jcnlwdGVk" not in kept
    assert KeyRing.load(place.cloud.settings.codec_keys).unseal(kept) == "ZW5jcnlwdGVk"


def test_no_header_and_no_borrowed_address_shows_another_ones(place: Place) -> None:
    place.poll()
    inner = network(place, "inner")
    one, two = place.guest(inner), place.guest(inner)
    recorded(place, one, "one")
    recorded(place, two, "two")
    place.poll()
    with serving(place):
        until(lambda: read(one, "/openstack"))
        for header in ("X-Forwarded-For", "X-Instance-ID", "X-Kilonova-Network-Id"):
            shown = read(one, "/openstack/latest/meta_data.json", "-H", f"{header}: {two.address}")
            assert json.loads(shown)["name"] == "one"
        ip(one.ns, "address", "add", f"{two.address}/32", "dev", "eth0")
        assert read(one, "/openstack/latest/meta_data.json", "--interface", two.address) == ""
        assert read(one, "/openstack", "-X", "POST") == ""


def test_by_way_of_the_router_for_a_guest_that_was_told_no_route(place: Place) -> None:
    place.poll()
    inner = network(place, "inner")
    subnet = place.tenant.call("network", "GET", f"/v2.0/subnets?network_id={inner['id']}")["subnets"][0]
    router = place.make("router", name="r")
    path = f"/v2.0/routers/{router['id']}/add_router_interface"
    place.tenant.call("network", "PUT", path, {"subnet_id": subnet["id"]})
    guest = place.guest(inner)
    recorded(place, guest, "routed")
    ip(guest.ns, "route", "delete", "169.254.169.254", "dev", "eth0")
    place.poll()
    with serving(place):
        until(lambda: read(guest, "/openstack"))
        assert document(guest, "meta_data.json")["name"] == "routed"
