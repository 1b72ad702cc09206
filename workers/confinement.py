"""What confines guests' QEMU on this machine beside its user: whether AppArmor can be used, and why not."""

from pathlib import Path

RULES = ("etc/apparmor.d/local/abstractions/libvirt-qemu", "etc/apparmor.d/local/usr.lib.libvirt.virt-aa-helper")
"""Additions to libvirt's own profiles without which guests would not come to their disks and volumes."""
OURS = "kilonova"
HELPERS = ("usr/lib/libvirt/virt-aa-helper", "usr/libexec/virt-aa-helper")


def apparmor_lacks(root: Path = Path("/")) -> str:
    """What AppArmor lacks here to be libvirt's driver, in words; "" when it can be used. libvirt refuses to start with
    the driver when it lacks any but the last."""
    if _text(root / "sys/module/apparmor/parameters/enabled").strip() != "Y":
        return "the kernel has no AppArmor"
    profiles = _text(root / "sys/kernel/security/apparmor/profiles").splitlines()
    if not {"libvirtd (enforce)", "/usr/sbin/libvirtd (enforce)"} & set(profiles):
        return "the profile of libvirtd is not loaded and enforced"
    if not (root / "etc/apparmor.d/libvirt/TEMPLATE.qemu").exists():
        return "libvirt's template of guests' profiles is not installed"
    if not any((root / helper).exists() for helper in HELPERS):
        return "virt-aa-helper is not installed"
    lacking = [f"/{file}" for file in RULES if OURS not in _text(root / file)]
    return f"no rules for {OURS} in {lacking[0]}" if lacking else ""


def security_driver(root: Path = Path("/")) -> str:
    """As qemu.conf wants it. The driver of users and groups (dac) is always there, for a libvirtd that is root's."""
    return '"none"' if apparmor_lacks(root) else '[ "apparmor" ]'


def told(root: Path = Path("/")) -> str:
    """For people."""
    lacks = apparmor_lacks(root)
    return f"not around guests: {lacks}" if lacks else "around each guest"


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
