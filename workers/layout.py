"""How one machine's cloud is laid out: which compute hosts, on which driver, in which network namespace.

Kept in STATE/cloud.json, so that every later `up` finds the same hosts again."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from infra.settings import Settings
from workers.plan import write_atomically

Driver = Literal["qemu", "test"]
Extra = Literal["horizon", "nothing"]
SOCKET_PATH_MAX = 107  # sun_path, without its terminating zero byte

FIRST_GUEST_UID, GUEST_UIDS = 1_900_000_000, 200_000_000
"""Above what systemd gives out to containers and below what a signed number holds."""
FIRST_OWN_UID, OWN_UIDS, UIDS_A_HOST = 1_880_000_000, 20_000_000, 1024
"""Between the two, for guests that are users of their own."""
UNDERLAY = "198.18.0"
"""Of the network between hosts that are apart: RFC 2544's, which nobody routes."""
GUEST_VIEW = Path("/var/lib/libvirt/kilonova")


class Layout(BaseModel):
    hosts: list[str] = ["node1"]
    driver: Driver = "qemu"
    netns: str = ""  # of the guests and their volumes' server; "" is the machine's own
    netns_made: bool = False  # by us: `down` may remove it
    apart: bool = False  # each host has a namespace of its own beside that one, with VXLAN between them
    horizon: bool = False

    @classmethod
    def load(cls, state_dir: Path) -> "Layout | None":
        file = state_dir / "cloud.json"
        return cls.model_validate_json(file.read_text()) if file.exists() else None

    def save(self, state_dir: Path) -> None:
        write_atomically(state_dir / "cloud.json", json.dumps(self.model_dump(), indent=1) + "\n")


def decide(settings: Settings, hosts: int | None, driver: Driver | None, extra: Extra | None = None) -> Layout:
    """The layout that an `up` with these options means: what is kept, changed by what is asked, else one QEMU host."""
    kept = Layout.load(settings.state_dir)
    chosen = (kept or Layout()).model_copy()
    if driver is not None:
        chosen.driver = driver
    if extra is not None:
        chosen.horizon = extra == "horizon"
    if hosts is not None:
        chosen.hosts = [f"node{number}" for number in range(1, hosts + 1)]
    if chosen.driver == "test" and not _carries_networks(settings, kept):
        chosen.netns = ""
    elif not chosen.netns:
        chosen.netns, chosen.netns_made = settings.netns or namespace_name(settings), not settings.netns
    # Of pretended guests only: volumes are in one namespace for all hosts.
    chosen.apart = settings.hosts_apart and chosen.driver == "test" and chosen.netns_made
    return chosen


def _carries_networks(settings: Settings, kept: Layout | None) -> bool:
    """Whether hosts whose guests are pretended carry real networks: when it is asked for, and as long as it was."""
    asked = settings.host_networking if "host_networking" in settings.model_fields_set else None
    before = kept is not None and kept.driver == "test" and bool(kept.netns)
    return asked == "kilonova" or (before and asked is None)


def namespace_name(settings: Settings) -> str:
    """`kilonova` for the cloud of a checkout, another name for each other state directory."""
    if settings.port_offset == 0 and settings.state_dir == checkout() / "var":
        return "kilonova"
    return f"kilonova-{digest(settings.state_dir)}"


def temporal_netns(settings: Settings) -> str:
    """Where the Temporal server of `up` runs, and nothing else: not even guests' processes reach it."""
    return f"{namespace_name(settings)}-temporal"


def checkout() -> Path:
    return Path(__file__).resolve().parent.parent


def digest(path: Path) -> str:
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]


def host_settings(settings: Settings, layout: Layout, host: str) -> Settings:
    """`settings` as the compute worker of `host` sees them."""
    return settings.model_copy(update={"host": host, **host_overrides(settings, layout, host)})


def host_overrides(settings: Settings, layout: Layout, host: str) -> dict[str, Any]:
    scheme, path = ("test", "default") if layout.driver == "test" else ("qemu", "system")
    changed: dict[str, Any] = {
        "netns": layout.netns,
        "libvirt_uri": f"{scheme}+unix:///{path}?socket={libvirt_run_dir(settings, host) / 'libvirt-sock'}",
    }
    if layout.driver == "test":
        changed |= {"virt_type": "test", "host_networking": "kilonova" if layout.netns else "none"}
    else:
        changed |= guest_place(settings, layout.hosts.index(host))
    if layout.netns_made:
        changed["lab_gateway"] = True
    if layout.apart:
        changed |= _apart(layout, host)
    if settings.host_metrics_port:
        changed["host_metrics_port"] = settings.host_metrics_port + layout.hosts.index(host)
    return changed


def _apart(layout: Layout, host: str) -> dict[str, Any]:
    tunnel_ip = f"{UNDERLAY}.{layout.hosts.index(host) + 1}"
    return {"netns": f"{layout.netns}-{host}", "tunnel_ip": tunnel_ip, "lab_gateway": False}


def guest_uid(settings: Settings) -> int:
    """User and group id of this cloud's guests: another one for each state directory, and nobody else's."""
    return settings.guest_uid or FIRST_GUEST_UID + int(digest(settings.state_dir), 16) % GUEST_UIDS


def guest_uids(settings: Settings, number: int = 0) -> range:
    """User and group ids of the guests of the cloud's host with this number: none is also another host's."""
    count = settings.guest_uid_count or UIDS_A_HOST
    if settings.guest_uid_first:
        first = settings.guest_uid_first + number * count
    else:
        first = FIRST_OWN_UID + (int(digest(settings.state_dir), 16) + number) % (OWN_UIDS // count) * count
    return range(first, first + count)


def guest_place(settings: Settings, number: int = 0) -> dict[str, Any]:
    """Settings of a compute worker that uses this libvirtd: who its guests are, and what they see of its files."""
    own = guest_uids(settings, number)
    place: dict[str, Any] = {"guest_uid": guest_uid(settings), "guest_view": str(GUEST_VIEW)}
    return place | {"guest_uid_first": own.start, "guest_uid_count": len(own)}


def libvirt_run_dir(settings: Settings, host: str) -> Path:
    """Where libvirtd's sockets lie: in the host's directory, or below /run where that path is too long for a socket."""
    inside = settings.state_dir / "hosts" / host / "libvirt" / "run"
    if len(str(inside / "libvirt-admin-sock")) <= SOCKET_PATH_MAX:
        return inside
    return Path("/run") / f"kilonova-{digest(settings.state_dir)}" / host
