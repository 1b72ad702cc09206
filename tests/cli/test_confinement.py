"""Whether libvirt is told to use AppArmor, and what of ours runs under it, by what a machine has: one that is made up,
file by file, and this one. On a kernel that has it: `python -m tests.armor`."""

from pathlib import Path
from typing import Literal

import pytest

from infra import apparmor
from infra.host.files.guest import GuestFiles
from infra.host.files.paths import HostPaths
from infra.settings import Settings
from workers import confinement, libvirtd
from workers.cli import prepare
from workers.layout import Layout

TEMPLATE = """\
#include <tunables/global>

profile LIBVIRT_TEMPLATE flags=(attach_disconnected) {
  #include <abstractions/libvirt-qemu>
}
"""
GUEST = "0b3e3a2e-0000-4000-8000-000000000001"
WHOLE = {
    "sys/module/apparmor/parameters/enabled": "Y\n",
    "sys/kernel/security/apparmor/profiles": "man_groff (enforce)\nlibvirtd (enforce)\n",
    "etc/apparmor.d/libvirt/TEMPLATE.qemu": TEMPLATE,
    "etc/apparmor.d/libvirt/TEMPLATE.lxc": "",
    "usr/lib/libvirt/virt-aa-helper": "",
    "usr/sbin/apparmor_parser": "",
    "usr/bin/aa-exec": "",
}
LACKS = {
    "sys/module/apparmor/parameters/enabled": "the kernel has no AppArmor",
    "sys/kernel/security/apparmor/profiles": "the profile of libvirtd is not loaded and enforced",
    "etc/apparmor.d/libvirt/TEMPLATE.qemu": "libvirt's template of guests' profiles is not installed",
    "etc/apparmor.d/libvirt/TEMPLATE.lxc": "libvirt's template of guests' profiles is not installed",
    "usr/lib/libvirt/virt-aa-helper": "virt-aa-helper is not installed",
    "usr/sbin/apparmor_parser": "Debian's package apparmor is not installed",
    "usr/bin/aa-exec": "Debian's package apparmor is not installed",
}


def machine(root: Path, **changed: str) -> Path:
    for name, text in (WHOLE | changed).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def asked(tmp_path: Path, how: str = "auto") -> Settings:
    return Settings(state_dir=tmp_path / "state", apparmor=how)  # type: ignore[arg-type]


def test_apparmor_where_the_host_has_it(tmp_path: Path) -> None:
    root = machine(tmp_path)
    assert confinement.security_driver(asked(tmp_path), root) == '[ "apparmor" ]'
    assert confinement.told(asked(tmp_path), root) == "around each guest (0 run under it)"
    assert confinement.security_driver(asked(tmp_path, "required"), root) == '[ "apparmor" ]'
    assert confinement.security_driver(asked(tmp_path, "off"), root) == '"none"'
    assert confinement.told(asked(tmp_path, "off"), root) == "not around guests: it is switched off"


@pytest.mark.parametrize("missing", LACKS)
def test_and_nowhere_else(tmp_path: Path, missing: str) -> None:
    root = machine(tmp_path)
    (root / missing).unlink()
    assert confinement.security_driver(asked(tmp_path), root) == '"none"'
    assert confinement.told(asked(tmp_path), root) == f"not around guests: {LACKS[missing]}"
    with pytest.raises(confinement.NotConfined, match=LACKS[missing]):
        confinement.security_driver(asked(tmp_path, "required"), root)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("sys/module/apparmor/parameters/enabled", "N\n"),
        ("sys/kernel/security/apparmor/profiles", "libvirtd (complain)\n"),
    ],
)
def test_what_is_there_must_be_on(tmp_path: Path, file: str, text: str) -> None:
    assert confinement.security_driver(asked(tmp_path), machine(tmp_path, **{file: text})) == '"none"'


def test_guests_profiles_are_made_in_a_directory_of_their_libvirtd(tmp_path: Path) -> None:
    """From the machine's template with our rules, whose own directory stays as it is."""
    root, own, instances = machine(tmp_path), tmp_path / "own", tmp_path / "instances"
    (instances / GUEST).mkdir(parents=True)
    own.mkdir()
    gone = GUEST.replace("1", "2")
    for name in (f"libvirt-{GUEST}", f"libvirt-{GUEST}.files", f"libvirt-{gone}"):
        (own / name).touch()
    confinement.write_profiles(asked(tmp_path), own, instances, root)
    assert {file.name for file in own.iterdir()} == {
        *confinement.TEMPLATES,
        f"libvirt-{GUEST}",
        f"libvirt-{GUEST}.files",
    }
    begin, end = TEMPLATE.removesuffix("}\n"), (own / "TEMPLATE.qemu").read_text()
    assert end.startswith(begin) and end.endswith("\n}\n") and end.count("}") == 1
    assert "\n  /var/lib/libvirt/kilonova/images/* rk,\n" in end
    assert "\n  /run/kilonova/*.doors/*/socket rw,\n" in end
    assert (root / confinement.PROFILES / "TEMPLATE.qemu").read_text() == TEMPLATE
    confinement.write_profiles(asked(tmp_path, "off"), own, instances, root)
    assert not own.exists()


def test_a_guest_that_is_deleted_leaves_no_profile(tmp_path: Path) -> None:
    paths = HostPaths(asked(tmp_path))
    profile = paths.profile(GUEST)
    profile.parent.mkdir(parents=True)
    profile.touch()
    GuestFiles(paths).remove_all(GUEST)
    assert not profile.exists() and profile.parent.exists()


def test_libvirtd_is_told_what_this_machine_has(tmp_path: Path) -> None:
    """That a libvirtd starts with this file: every test with guests (tests/host/hypervisor.py)."""
    settings, layout = Settings(state_dir=tmp_path), Layout(hosts=["node1"])
    libvirtd.prepare(settings, layout, "node1")
    home = tmp_path / "hosts/node1/libvirt"
    lines = (home / "etc/qemu.conf").read_text().splitlines()
    assert f"security_driver = {confinement.security_driver(settings)}" in lines
    assert {"seccomp_sandbox = 1", 'namespaces = [ "mount" ]'} <= set(lines)
    assert (home / "apparmor").exists() is confinement.used(settings)
    bound = f"if [ -d {home}/apparmor ]; then mount --bind {home}/apparmor /etc/apparmor.d/libvirt; {apparmor.SEE}; fi"
    assert bound in libvirtd.argv(settings, layout, "node1")[-1].splitlines()


@pytest.mark.skipif(not confinement.apparmor_lacks(), reason="this machine has AppArmor, and lacks nothing")
@pytest.mark.parametrize("driver", ["qemu", "test"])
def test_up_does_not_start_without_what_is_required(tmp_path: Path, driver: Literal["qemu", "test"]) -> None:
    with pytest.raises(prepare.Refused, match="The setting `apparmor` requires it, and"):
        prepare._confinement(asked(tmp_path, "required"), Layout(driver=driver))


def test_commands_run_under_profiles_that_are_enforced(tmp_path: Path) -> None:
    known = tmp_path / "profiles"
    assert apparmor.confined(apparmor.TOOL, known) == []
    known.write_text(f"libvirtd (enforce)\n{apparmor.TOOL} (enforce)\n{apparmor.DAEMON} (complain)\n")
    assert apparmor.confined(apparmor.TOOL, known) == ["aa-exec", "-p", "kilonova-qemu-img", "--"]
    assert apparmor.confined(apparmor.DAEMON, known) == []


def test_status_says_what_runs_under_it(tmp_path: Path) -> None:
    """By what the kernel says of each process."""
    enforced = WHOLE["sys/kernel/security/apparmor/profiles"] + f"{apparmor.TOOL} (enforce)\n"
    root = machine(tmp_path, **{"sys/kernel/security/apparmor/profiles": enforced})
    for pid, label in enumerate([f"libvirt-{GUEST} (enforce)", "libvirtd (enforce)", "unconfined", "x (complain)"], 1):
        machine(tmp_path, **{f"proc/{pid}/attr/current": f"{label}\n"})
    assert apparmor.held_by(root / "proc") == {f"libvirt-{GUEST}": 1, "libvirtd": 1}
    (root / "sys/kernel/security/apparmor/profiles").write_text(enforced)
    told = "around each guest (1 run under it); profiles kilonova-qemu-img are enforced"
    assert confinement.told(asked(tmp_path), root) == told
