"""What confines guests' QEMU here beside its user: whether AppArmor can be used, why not, and by which rules.

libvirt makes a profile for each guest from its template: `libvirt-<uuid>`, in its own directory below /etc/apparmor.d.
A libvirtd of ours has that directory to itself, with a template that also names what it does not find in a
definition, so that nothing is written below the machine's /etc. Source: libvirt.org/drvqemu.html, "AppArmor"."""

import re
import shutil
import subprocess
from pathlib import Path

from infra import apparmor
from infra.nbd_process import SOCKETS
from infra.settings import Settings
from workers.layout import GUEST_VIEW

PROFILES = Path("etc/apparmor.d/libvirt")
TEMPLATES = ("TEMPLATE.qemu", "TEMPLATE.lxc")
"""libvirt's driver wants both to be there."""
HELPERS = ("usr/lib/libvirt/virt-aa-helper", "usr/libexec/virt-aa-helper")
PARSERS = ("usr/sbin/apparmor_parser", "sbin/apparmor_parser")
ENTERED_BY = "usr/bin/aa-exec"
LIBVIRTD = {"libvirtd (enforce)", "/usr/sbin/libvirtd (enforce)"}
OF_A_GUEST = re.compile(r"libvirt-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\.files)?")
RULES = f"""
  # Kilonova: cached images, whose headers libvirt's helper may not read, and the doors to volumes. A guest's user
  # reads the one and comes to its own of the others.
  {GUEST_VIEW}/images/* rk,
  {SOCKETS}/*.doors/*/socket rw,
"""


class NotConfined(Exception):
    """AppArmor is required, and this machine lacks something for it, which the text names."""


def apparmor_lacks(root: Path = Path("/")) -> str:
    """What AppArmor lacks here to be libvirt's driver, in words; "" when it can be used. libvirt refuses to start with
    the driver, or a guest with it, when it lacks any."""
    if lacks := tools_lack(root):
        return lacks
    if not LIBVIRTD & set(_text(root / "sys/kernel/security/apparmor/profiles").splitlines()):
        return "the profile of libvirtd is not loaded and enforced"
    if not all((root / PROFILES / name).exists() for name in TEMPLATES):
        return "libvirt's template of guests' profiles is not installed"
    if not any((root / helper).exists() for helper in HELPERS):
        return "virt-aa-helper is not installed"
    return ""


def tools_lack(root: Path = Path("/")) -> str:
    """What it lacks here for our own profiles."""
    if _text(root / "sys/module/apparmor/parameters/enabled").strip() != "Y":
        return "the kernel has no AppArmor"
    if not (root / ENTERED_BY).exists() or not any((root / parser).exists() for parser in PARSERS):
        return "Debian's package apparmor is not installed"
    return ""


def used(settings: Settings, root: Path = Path("/")) -> bool:
    """Whether libvirtd is to use it. Raises NotConfined where the setting `apparmor` asks what cannot be."""
    lacks = apparmor_lacks(root)
    _require(settings, lacks)
    return not lacks and settings.apparmor != "off"


def security_driver(settings: Settings, root: Path = Path("/")) -> str:
    """As qemu.conf wants it. The driver of users and groups (dac) is always there, for a libvirtd that is root's."""
    return '[ "apparmor" ]' if used(settings, root) else '"none"'


def told(settings: Settings, root: Path = Path("/")) -> str:
    """For people: what is to be, and what the kernel says of what runs on this machine."""
    lacks = "it is switched off" if settings.apparmor == "off" else apparmor_lacks(root)
    held = apparmor.held_by(root / "proc")
    guests = sum(number for name, number in held.items() if OF_A_GUEST.fullmatch(name))
    own = " and ".join(sorted(apparmor.loaded(root / apparmor.LOADED.relative_to("/"))))
    around = f"not around guests: {lacks}" if lacks else f"around each guest ({guests} run under it)"
    return f"{around}; profiles {own} are enforced" if own else around


def write_profiles(settings: Settings, own: Path, instances: Path, root: Path = Path("/")) -> None:
    """Fill a libvirtd's own directory of profiles, which is empty where AppArmor is not used. libvirt leaves a file of
    each guest that ended: those of guests that are gone from `instances` are removed."""
    if not used(settings, root):
        shutil.rmtree(own, ignore_errors=True)
        return
    own.mkdir(parents=True, exist_ok=True)
    for name in TEMPLATES:
        text = (root / PROFILES / name).read_text()
        (own / name).write_text(with_rules(text) if name == TEMPLATES[0] else text)
    for file in own.iterdir():
        guest = OF_A_GUEST.fullmatch(file.name)
        if guest and not (instances / guest[1]).exists():
            file.unlink(missing_ok=True)


def load_own(settings: Settings) -> str:
    """Have the kernel enforce the profiles of the storage daemon and of qemu-img, unless AppArmor is switched off or
    lacking; what the parser says against them. May be repeated. Raises NotConfined where it is required."""
    if settings.apparmor == "off":
        return ""
    lacks = tools_lack()
    refused = "" if lacks else _parse("--replace")
    _require(settings, lacks or refused)
    return refused


def _require(settings: Settings, lacks: str) -> None:
    if lacks and settings.apparmor == "required":
        raise NotConfined(f"The setting `apparmor` requires it, and {lacks}.")


def unload_own() -> None:
    """Unless another cloud's daemon runs under its own, which would then be confined no more."""
    if apparmor.loaded() and apparmor.DAEMON not in apparmor.held_by():
        _parse("--remove")


def _parse(what: str) -> str:
    done = subprocess.run(["apparmor_parser", what], input=apparmor.TEXT, capture_output=True, text=True, timeout=120)
    return done.stderr.strip()[-300:] if done.returncode else ""


def with_rules(template: str) -> str:
    """`template` and our rules, before the line that ends its profile."""
    head, end, rest = template.rpartition("\n}")
    if not end:
        raise NotConfined(f"/{PROFILES / TEMPLATES[0]} is no profile.")
    return f"{head}\n{RULES}}}{rest}"


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
