"""What a tenant does with a server, each command of the client once, and what the guest itself sees of it.

The tests run in this order, on one server; after test_walkthrough.py, whose cloud begins without rules."""

import base64
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from openstack.exceptions import ConflictException

from infra.hostnet import netns
from tests.e2e.backups import Backups
from tests.e2e.cloud import LOOK_S, Cloud, Server, wait_for
from tests.e2e.deaf import Deaf
from tests.e2e.networks import METADATA
from tests.e2e.watch import Watch
from tests.signing import signer
from workers.cli.client import ClientFailed

KEPT = "/home/cirros/kept"
OTHER = b"no system"


@pytest.fixture(scope="module")
def watch(cloud: Cloud) -> Iterator[Watch]:
    with Watch(cloud, "life") as found:
        yield found


@pytest.fixture(scope="module")
def server(cloud: Cloud, watch: Watch) -> Server:
    for rule in (("--proto", "icmp"), ("--proto", "tcp", "--dst-port", "22")):
        protocol, port = rule[1], int(rule[3]) if len(rule) > 2 else None
        group = cloud.demo.sdk.network.find_security_group("default", project_id=cloud.demo.sdk.current_project_id)
        with suppress(ConflictException):  # the walkthrough has it
            cloud.demo.sdk.network.create_security_group_rule(
                security_group_id=group.id,
                direction="ingress",
                protocol=protocol,
                port_range_min=port,
                port_range_max=port,
            )
    trusted = signed_images(cloud)
    version = ["--os-compute-api-version", "2.63"]
    made = cloud.built(cloud.boot("life", *version, "--image", "life-signed", "--trusted-image-cert", trusted))
    cloud.ssh(made, f"echo 'since the beginning' > {KEPT}; sync")
    return made


def signed_images(cloud: Cloud) -> str:
    """`cirros` under a signature, which Glance verifies as well; the certificate that signed the signer's."""
    cloud.certificates.mkdir()
    root = signer(cloud.certificates)
    by, file = signer(cloud.certificates, root), cloud.certificates / "cirros"
    cloud.demo("image", "save", "--file", str(file), "cirros", answers=False)
    upload = ["image", "create", "--disk-format", "qcow2", "--file", str(file)]
    for name, data in (("life-forged", b"another"), ("life-signed", file.read_bytes())):
        flags = [flag for pair in by.signature(data).items() for flag in ("--property", "=".join(pair))]
        with nullcontext() if name == "life-signed" else pytest.raises(ClientFailed, match="400: Client Error"):
            cloud.demo(*upload, *flags, name)
    return root.id


def why_not(cloud: Cloud, server: Server) -> str:
    """What the last action's event tells an administrator."""
    (last, *_) = cloud.admin.get(f"/servers/{server.id}/os-instance-actions")["instanceActions"]
    told = cloud.admin.get(f"/servers/{server.id}/os-instance-actions/{last['request_id']}")["instanceAction"]
    return " ".join(event["details"] or "" for event in told["events"])


def becomes(cloud: Cloud, server: Server, status: str, seconds: float = 90) -> None:
    def rests() -> bool:
        shown = cloud.admin.get(f"/servers/{server.id}")["server"]
        assert shown["status"] != "ERROR", shown.get("fault")
        return bool(shown["status"] == status and shown["OS-EXT-STS:task_state"] is None)

    wait_for(rests, seconds, f"the server is {status}", LOOK_S)


def ask(cloud: Cloud, server: Server, status: str, *command: str) -> None:
    """`openstack server …`, and the server at rest in this status."""
    cloud.demo("server", *command, answers=False)
    becomes(cloud, server, status)


def boot_of(cloud: Cloud, server: Server) -> str:
    return cloud.ssh(server, "cat /proc/sys/kernel/random/boot_id").strip()


def kept(cloud: Cloud, server: Server) -> bool:
    return cloud.ssh(server, f"cat {KEPT} 2>/dev/null || true").strip() == "since the beginning"


def kib(cloud: Cloud, server: Server) -> int:
    return int(cloud.ssh(server, "grep MemTotal /proc/meminfo").split()[1])


def disks(cloud: Cloud, server: Server) -> list[str]:
    return [name for name in cloud.ssh(server, "ls /sys/block").split() if name.startswith("vd")]


def own_disks(cloud: Cloud, server: Server) -> tuple[int, bool, int]:
    """Behind the guest's root disk: GiB of the ephemeral one, whether it has its label; KiB of swap, once in use."""
    asked = ("cat /sys/block/vdb/size", "sudo head -c 100 /dev/vdb | tr -cd 'a-z0-9'; echo", "sudo swapon /dev/vdc")
    size, label, swap = cloud.ssh(server, "; ".join([*asked, "grep vdc /proc/swaps"])).splitlines()
    return int(size) >> 21, "ephemeral0" in label, int(swap.split()[2])


def test_stop_and_start(cloud: Cloud, server: Server) -> None:
    before = boot_of(cloud, server)
    ask(cloud, server, "SHUTOFF", "stop", "life")
    assert not cloud.pings(server.address) and not cloud.qemu_pids(server.id)
    ask(cloud, server, "ACTIVE", "start", "life")
    assert kept(cloud, server) and boot_of(cloud, server) != before


def test_a_soft_reboot(cloud: Cloud, server: Server) -> None:
    before = boot_of(cloud, server)
    ask(cloud, server, "ACTIVE", "reboot", "--soft", "life")
    wait_for(lambda: boot_of(cloud, server) != before, 60, "the guest has begun anew")
    assert kept(cloud, server)


def test_a_hard_reboot_ends_a_soft_one_that_the_guest_does_not_hear(cloud: Cloud, server: Server) -> None:
    before = boot_of(cloud, server)
    cloud.ssh(server, "sudo killall acpid")
    cloud.demo("server", "reboot", "--soft", "life", answers=False)
    assert cloud.status(server.id) == "REBOOT"
    ask(cloud, server, "ACTIVE", "reboot", "--hard", "life")
    wait_for(lambda: boot_of(cloud, server) != before, 60, "the guest has begun anew")
    assert kept(cloud, server)
    actions = cloud.admin.get(f"/servers/{server.id}/os-instance-actions")["instanceActions"]
    assert [each["message"] for each in actions if each["action"] == "reboot"][:2] == [None, "Error"]


def test_pause_and_suspend_go_on_where_they_stood(cloud: Cloud, server: Server) -> None:
    before = boot_of(cloud, server)
    cloud.ssh(server, "echo in memory > /run/mark")
    ask(cloud, server, "PAUSED", "pause", "life")
    assert not cloud.pings(server.address)
    ask(cloud, server, "ACTIVE", "unpause", "life")
    assert boot_of(cloud, server) == before
    ask(cloud, server, "SUSPENDED", "suspend", "life")
    assert not cloud.qemu_pids(server.id)
    ask(cloud, server, "ACTIVE", "resume", "life")
    assert boot_of(cloud, server) == before and cloud.ssh(server, "cat /run/mark").strip() == "in memory"


def test_a_lock_holds(cloud: Cloud, server: Server) -> None:
    cloud.demo("server", "lock", "life", answers=False)
    with pytest.raises(ConflictException, match="is locked"):
        cloud.demo.sdk.compute.stop_server(server.id)
    cloud.demo("server", "unlock", "life", answers=False)
    assert cloud.status(server.id) == "ACTIVE"


def made_volume(cloud: Cloud, name: str) -> str:
    volume: str = cloud.demo("volume", "create", "--size", "1", name)["id"]
    wait_for(lambda: cloud.demo.sdk.block_storage.get_volume(volume).status == "available", 30, "the volume is made")
    return volume


def stored(cloud: Cloud, volume: str) -> Path:
    """The volume's file."""
    (file,) = [path for path in cloud.settings.state_dir.joinpath("volumes").rglob(f"*{volume}*") if path.is_file()]
    return file


def test_a_volume_comes_and_goes(cloud: Cloud, server: Server) -> None:
    volume = made_volume(cloud, "life-data")
    before = disks(cloud, server)
    cloud.demo("server", "add", "volume", "life", "life-data")
    wait_for(lambda: len(disks(cloud, server)) == len(before) + 1, 30, "the guest has the disk")
    (disk,) = set(disks(cloud, server)) - set(before)
    assert cloud.ssh(server, f"cat /sys/block/{disk}/size").strip() == str(2 << 20)
    cloud.ssh(server, f"echo 'a volume of life' | sudo dd of=/dev/{disk} conv=fsync 2>/dev/null")
    cloud.demo("--os-volume-api-version", "3.42", "volume", "set", "--size", "2", "life-data", answers=False)
    wait_for(lambda: cloud.ssh(server, f"cat /sys/block/{disk}/size").strip() == str(4 << 20), 30, "the disk has grown")
    cloud.demo("server", "remove", "volume", "life", "life-data", answers=False)
    wait_for(lambda: disks(cloud, server) == before, 60, "the guest gave it back")
    wait_for(lambda: cloud.demo.sdk.block_storage.get_volume(volume).status == "available", 30, "it is free")
    with stored(cloud, volume).open("rb") as file:
        assert file.read(16) == b"a volume of life"
    cloud.demo("volume", "delete", "life-data")


def test_an_interface_comes_and_goes(cloud: Cloud, server: Server) -> None:
    def nics() -> int:
        return int(cloud.ssh(server, "ls /sys/class/net | grep -vc lo"))

    before = nics()
    port = cloud.demo("port", "create", "--network", "provider", "life-port")["id"]
    cloud.demo("server", "add", "port", "life", "life-port")
    wait_for(lambda: nics() == before + 1, 30, "the guest has the interface")
    addresses = cloud.admin.get(f"/servers/{server.id}")["server"]["addresses"]["provider"]
    assert len(addresses) == 2
    cloud.demo("server", "remove", "port", "life", "life-port", answers=False)
    wait_for(lambda: nics() == before, 60, "the guest gave it back")
    wait_for(lambda: not cloud.demo.sdk.network.get_port(port).device_id, 30, "the port is free")
    cloud.demo("port", "delete", "life-port")


def test_a_guest_without_hotplug_keeps_what_it_was_given(cloud: Cloud, server: Server, watch: Watch) -> None:
    """Mechanism: GuestSteps._take_back, LateReleases. QEMU meets a request to let go when the guest resets itself: it
    was without then, and its record said that it has both."""
    before, boot = disks(cloud, server), boot_of(cloud, server)
    deaf = Deaf(cloud, server, made_volume(cloud, "life-deaf"))
    for action in ("detach_volume", "detach_interface"):
        deaf.ask_back(action)
        becomes(cloud, server, "ACTIVE")
        assert "The guest did not release the device" in deaf.told(action)
    assert disks(cloud, server) == before and deaf.nics() == 1, "the guest has seen nothing of either"
    assert deaf.kept()
    watch.quiet.set()
    deaf.reboots()
    wait_for(lambda: boot_of(cloud, server) != boot, 60, "the guest has begun anew")
    wait_for(lambda: len(disks(cloud, server)) == len(before) + 1 and deaf.nics() == 2, 30, "it has both")
    wait_for(deaf.kept, 15, "its host has said so")
    watch.quiet.clear()
    deaf.ask_back("detach_volume")
    wait_for(lambda: disks(cloud, server) == before, 60, "the guest, which hears now, gave it back")
    becomes(cloud, server, "ACTIVE")
    deaf.ask_back("detach_interface")
    wait_for(lambda: deaf.nics() == 1, 60, "and the interface")
    becomes(cloud, server, "ACTIVE")
    deaf.clear()


def test_a_tap_that_is_gone_is_named_and_comes_back(cloud: Cloud, server: Server, watch: Watch) -> None:
    """Mechanism: RepairInstance.network. The interface goes out of the running guest and in again."""
    (port,) = cloud.admin.sdk.network.ports(device_id=server.id)
    before = boot_of(cloud, server)
    tap = f"tap{port.id[:11]}"
    watch.quiet.set()
    netns.run(cloud.host.netns, ["ip", "link", "delete", tap])
    assert not cloud.pings(server.address)
    found = cloud.leaks()
    assert found.returncode == 1 and "tap" in found.stdout, found.stdout
    mended = cloud.leaks("--repair")
    assert mended.returncode == 0, mended.stdout
    wait_for(lambda: cloud.pings(server.address), 30, "the guest answers again")
    wait_for(lambda: cloud.admin.sdk.network.get_port(port.id).status == "ACTIVE", 15, "its host has said so")
    watch.quiet.clear()
    assert boot_of(cloud, server) == before


def test_a_security_group_comes_and_goes(cloud: Cloud, server: Server) -> None:
    assert cloud.pings(server.address)
    cloud.demo("server", "remove", "security", "group", "life", "default", answers=False)
    wait_for(lambda: not cloud.pings(server.address), 15, "nobody gets in any more")
    cloud.demo("server", "add", "security", "group", "life", "default")
    wait_for(lambda: cloud.pings(server.address), 15, "the rules are back")


def test_an_image_of_it_boots_with_its_files(cloud: Cloud, server: Server, tmp_path: Path) -> None:
    """From a volume that had another image, without a system, until a rebuild wrote this one over it (2.93)."""
    cloud.demo("server", "image", "create", "--name", "life-copy", "life")
    find = cloud.demo.sdk.image.find_image
    wait_for(lambda: (found := find("life-copy")) and found.status == "active", 90, "the image is there")
    becomes(cloud, server, "ACTIVE")
    (tmp_path / "other").write_bytes(OTHER.ljust(1 << 20, b"\0"))
    form = ["--disk-format", "raw", "--container-format", "bare", "--property", "os_shutdown_timeout=0"]
    cloud.demo("image", "create", *form, "--file", str(tmp_path / "other"), "life-other")
    options = ["--image", "life-other", "--boot-from-volume", "2", "--key-name", "mykey"]
    made = cloud.demo(
        "server", "create", "--flavor", "keywa.com", *options, "--nic", f"net-id={cloud.network}", "life-twin"
    )
    twin = cloud.built(made["id"])
    (root,) = cloud.demo.sdk.compute.volume_attachments(twin.id)
    with stored(cloud, root.volume_id).open("rb") as volume:
        assert volume.read(len(OTHER)) == OTHER
    rebuild = ["--os-compute-api-version", "2.93", "server", "rebuild", "--image", "life-copy"]
    cloud.demo(*rebuild, "--reimage-boot-volume", "life-twin", answers=False)
    becomes(cloud, twin, "ACTIVE")
    assert kept(cloud, twin) and cloud.ssh(twin, "hostname").strip() == "life-twin"
    cloud.demo("server", "delete", "--wait", "life-twin")
    cloud.demo("volume", "delete", root.volume_id)
    cloud.demo("image", "delete", "life-copy", "life-other")


def test_backups_rotate(cloud: Cloud, server: Server) -> None:
    """Those of the same server, type and tenant: what only says that it is such stays, and does not count."""
    backups = Backups(cloud, server)
    for kind, name in (("daily", "1"), ("weekly", "w"), ("daily", "2")):
        backups.ask(kind, name)
        becomes(cloud, server, "ACTIVE")
    backups.forge()
    assert backups.all() == {"1", "w", "2", "of-others"}
    backups.ask("daily", "3")
    becomes(cloud, server, "ACTIVE")
    assert backups.all() == {"w", "2", "of-others", "3"}
    backups.clear()


def test_resize_and_back_and_for_good(cloud: Cloud, server: Server) -> None:
    ram = cloud.admin.sdk.compute.find_flavor("keywa.com", ignore_missing=False).ram
    sizes = ["--ram", str(ram + 32), "--disk", "2", "--ephemeral", "1", "--swap", "64"]
    cloud.admin("flavor", "create", "--vcpus", "1", *sizes, "larger")
    before, address = kib(cloud, server), server.address
    ask(cloud, server, "VERIFY_RESIZE", "resize", "--flavor", "larger", "life")
    assert kib(cloud, server) > before + 20_000 and kept(cloud, server)
    assert own_disks(cloud, server) == (1, True, (64 << 10) - 4)
    volume = made_volume(cloud, "life-late")
    cloud.demo("server", "add", "volume", "life", "life-late")
    wait_for(lambda: len(disks(cloud, server)) == 4, 30, "the guest has the disk")
    ask(cloud, server, "ACTIVE", "resize", "revert", "life")
    assert kib(cloud, server) == before and kept(cloud, server)
    assert len(disks(cloud, server)) == 2, "what was attached meanwhile stays"
    cloud.demo("server", "remove", "volume", "life", "life-late", answers=False)
    wait_for(lambda: disks(cloud, server) == ["vda"], 60, "the guest gave it back")
    wait_for(lambda: cloud.demo.sdk.block_storage.get_volume(volume).status == "available", 30, "it is free")
    cloud.demo("volume", "delete", "life-late")
    ask(cloud, server, "VERIFY_RESIZE", "resize", "--flavor", "larger", "life")
    ask(cloud, server, "ACTIVE", "resize", "confirm", "life")
    assert kib(cloud, server) > before + 20_000 and kept(cloud, server)
    assert cloud.ssh(server, "cat /sys/block/vda/size").strip() == str(4 << 20)
    assert cloud.built(server.id).address == address


def test_rescue_and_unrescue(cloud: Cloud, server: Server) -> None:
    ask(cloud, server, "RESCUE", "rescue", "life")
    assert not kept(cloud, server) and len(disks(cloud, server)) > 1, "it began from the rescue image"
    ask(cloud, server, "ACTIVE", "unrescue", "life")
    assert kept(cloud, server)


def test_shelve_and_unshelve(cloud: Cloud, server: Server) -> None:
    cloud.demo("server", "shelve", "life", answers=False)
    wait_for(lambda: cloud.status(server.id).startswith("SHELVED"), 90, "the server is shelved")
    becomes(cloud, server, "SHELVED_OFFLOADED")
    assert not cloud.qemu_pids(server.id)
    ask(cloud, server, "ACTIVE", "unshelve", "life")
    assert kept(cloud, server) and cloud.built(server.id).address == server.address


def test_rebuild_loses_its_files_and_keeps_its_address(cloud: Cloud, server: Server) -> None:
    cloud.demo("server", "rebuild", "--image", "cirros", "life", answers=False)  # which is not signed
    wait_for(lambda: "Missing property" in why_not(cloud, server), 60, "the tenant is told why not")
    becomes(cloud, server, "ACTIVE")
    assert kept(cloud, server)
    image = cloud.demo.sdk.image.find_image("life-signed", ignore_missing=False)
    files = [{"path": "/etc/motd", "contents": base64.b64encode(b"injected\n").decode()}]
    body = {"rebuild": {"imageRef": image.id, "personality": files}}
    asked = cloud.demo.sdk.compute.post(f"/servers/{server.id}/action", json=body, microversion="2.56")
    assert asked.status_code == 202, asked.text
    becomes(cloud, server, "ACTIVE")
    assert cloud.built(server.id).address == server.address
    assert not kept(cloud, server)
    drive = "sudo mount -o ro -t iso9660 /dev/sr0 /mnt && cat /mnt/openstack/content/0000; sudo umount /mnt"
    told = cloud.ssh(server, f"{drive}; wget -qO- {METADATA}/openstack/content/0000")
    assert told.split() == ["injected", "injected"]


def test_it_was_never_active_without_addresses_and_active_ports(watch: Watch) -> None:
    """Mechanism: PortStates.carried, before a step that started the guest ends. The host's next report was up to three
    seconds later, and until then a server was ACTIVE whose port was DOWN."""
    assert watch.looks > 20 and watch.wrong == []
    assert {"BUILD", "SHUTOFF", "SUSPENDED", "VERIFY_RESIZE", "RESCUE", "SHELVED_OFFLOADED"} <= set(watch.seen)


def test_every_action_is_told_and_delete_leaves_nothing(cloud: Cloud, server: Server) -> None:
    events = cloud.demo("server", "event", "list", "--long", "life")
    told = {event["Action"] for event in events}
    assert {"create", "stop", "start", "reboot", "pause", "unpause", "suspend", "resume", "lock", "unlock"} <= told
    assert {
        "attach_volume",
        "extend_volume",
        "detach_volume",
        "attach_interface",
        "detach_interface",
        "createImage",
    } <= told
    assert {"resize", "revertResize", "confirmResize", "rescue", "unrescue", "shelve", "unshelve", "rebuild"} <= told
    cloud.demo("server", "delete", "--wait", "life")
    done = cloud.leaks()
    assert done.returncode == 0, done.stdout
