"""Whether libvirt is told to use AppArmor, by what a machine has: one that is made up, file by file, and this one."""

from pathlib import Path

import pytest

from infra.settings import Settings
from workers import confinement, libvirtd
from workers.layout import Layout

WHOLE = {
    "sys/module/apparmor/parameters/enabled": "Y\n",
    "sys/kernel/security/apparmor/profiles": "man_groff (enforce)\nlibvirtd (enforce)\n",
    "etc/apparmor.d/libvirt/TEMPLATE.qemu": "",
    "usr/lib/libvirt/virt-aa-helper": "",
    "etc/apparmor.d/local/abstractions/libvirt-qemu": "/run/kilonova/*.doors/*/socket rw,\n",
    "etc/apparmor.d/local/usr.lib.libvirt.virt-aa-helper": "/var/lib/libvirt/kilonova/** r,\n",
}
LACKS = {
    "sys/module/apparmor/parameters/enabled": "the kernel has no AppArmor",
    "sys/kernel/security/apparmor/profiles": "the profile of libvirtd is not loaded and enforced",
    "etc/apparmor.d/libvirt/TEMPLATE.qemu": "libvirt's template of guests' profiles is not installed",
    "usr/lib/libvirt/virt-aa-helper": "virt-aa-helper is not installed",
    "etc/apparmor.d/local/abstractions/libvirt-qemu": "no rules for kilonova",
    "etc/apparmor.d/local/usr.lib.libvirt.virt-aa-helper": "no rules for kilonova",
}


def machine(root: Path, **changed: str) -> Path:
    for name, text in (WHOLE | changed).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_apparmor_where_the_host_has_it(tmp_path: Path) -> None:
    root = machine(tmp_path)
    assert confinement.security_driver(root) == '[ "apparmor" ]'
    assert confinement.told(root) == "around each guest"


@pytest.mark.parametrize("missing", LACKS)
def test_and_nowhere_else(tmp_path: Path, missing: str) -> None:
    root = machine(tmp_path)
    (root / missing).unlink()
    assert confinement.security_driver(root) == '"none"'
    assert confinement.told(root).startswith(f"not around guests: {LACKS[missing]}")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("sys/module/apparmor/parameters/enabled", "N\n"),
        ("sys/kernel/security/apparmor/profiles", "libvirtd (complain)\n"),
        ("etc/apparmor.d/local/abstractions/libvirt-qemu", "# nothing of ours\n"),
    ],
)
def test_what_is_there_must_be_on(tmp_path: Path, file: str, text: str) -> None:
    assert confinement.security_driver(machine(tmp_path, **{file: text})) == '"none"'


def test_libvirtd_is_told_what_this_machine_has(tmp_path: Path) -> None:
    """That a libvirtd starts with this file: every test with guests (tests/host/hypervisor.py)."""
    settings, layout = Settings(state_dir=tmp_path), Layout(hosts=["node1"])
    libvirtd.prepare(settings, layout, "node1")
    lines = (tmp_path / "hosts/node1/libvirt/etc/qemu.conf").read_text().splitlines()
    assert f"security_driver = {confinement.security_driver()}" in lines
    assert {"seccomp_sandbox = 1", 'namespaces = [ "mount" ]'} <= set(lines)
