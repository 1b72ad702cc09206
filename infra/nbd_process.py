"""The process of the storage daemon: who it runs as, what it sees, and where it is reached.

Where root starts it, it becomes a user of its own, in a mount namespace in which the volumes are the only part of the
state directory that it comes to. Its one client is the gate (infra/volume_gate.py), by which guests come."""

import hashlib
import os
import shlex
from pathlib import Path

from infra.apparmor import DAEMON, LOADED, SEE
from infra.settings import Settings

SOCKETS = Path("/run/kilonova")
FIRST_UID, UIDS = 2_100_000_000, 40_000_000
"""Above guests' users (workers/layout.py)."""
FIRST_GATE_UID, GATE_UIDS = 2_140_000_000, 7_000_000
"""Above these, and below what a signed number holds."""


def volumes_dir(settings: Settings) -> Path:
    return settings.state_dir.absolute() / "volumes"


def volumes_uid(settings: Settings) -> int | None:
    """User and group of the daemon, of qemu-img on volumes, and of their files: another one for each state directory.
    None where no root is there to give it."""
    if os.geteuid() != 0:
        return None
    return FIRST_UID + int(digest(settings), 16) % UIDS


def gate_uid(settings: Settings) -> int | None:
    """User of the gate, and group of the daemon's socket. None where no root is there to give it."""
    return None if os.geteuid() != 0 else FIRST_GATE_UID + int(digest(settings), 16) % GATE_UIDS


def volumes_view(settings: Settings) -> Path | None:
    """Where the daemon sees the directory of volumes; None where it sees it as everybody does."""
    return None if volumes_uid(settings) is None else _place(settings) / "volumes"


def socket_path(settings: Settings) -> Path:
    """Of its QMP monitor, in a directory that is the daemon's user's alone."""
    if volumes_uid(settings) is None:
        return settings.run_dir.absolute() / "nbd.qmp"
    return _place(settings) / "qmp" / "nbd.qmp"


def nbd_socket(settings: Settings) -> Path:
    """Where the gate reaches volumes. Below /run, since its user does not come through the state directory, and a
    socket's path is short."""
    if os.geteuid() != 0:
        return settings.run_dir.absolute() / "nbd" / "socket"
    return _place(settings) / "socket"


def _place(settings: Settings) -> Path:
    return SOCKETS / f"{digest(settings)}.nbd"


def digest(settings: Settings) -> str:
    return hashlib.sha256(str(settings.state_dir.absolute()).encode()).hexdigest()[:10]


def storage_daemon_argv(settings: Settings) -> list[str]:
    """Command line of the daemon, in the foreground; a supervisor runs it (in a network namespace, if it likes).

    The command line tells no secret. The daemon exports nothing until the volume service tells it to, and may be killed
    and started again at any time: clients that reconnect lose nothing that they had flushed."""
    monitor = f"socket,id=qmp,path={quoted(socket_path(settings))},server=on,wait=off"
    daemon = ["qemu-storage-daemon", "--chardev", monitor, "--monitor", "chardev=qmp"]
    path, uid, gate = nbd_socket(settings), volumes_uid(settings), gate_uid(settings)
    daemon += ["--nbd-server", f"addr.type=unix,addr.path={quoted(path)},max-connections=0"]
    if uid is None or gate is None:
        script = f'set -e; umask 0117; mkdir -p -m 0700 {shlex.quote(str(path.parent))}; exec "$@"'
        return ["/bin/sh", "-c", script, "nbd", *daemon]
    script = _as_its_user(settings, _place(settings), uid, gate)
    return ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "nbd", *daemon]


def tls_dir(settings: Settings) -> Path:
    """Of the gate's certificate and key, and of the authority's certificate, for `nbd_address`."""
    return (settings.nbd_tls_dir or Path("/nonexistent")).absolute()


def _as_its_user(settings: Settings, place: Path, uid: int, group: int) -> str:
    """A script that ends as the daemon. Whoever is in `group` comes through its directory to the socket, whose group
    follows from the directory's, and to nothing else in it."""
    here, volumes = shlex.quote(str(place)), shlex.quote(str(volumes_dir(settings)))
    shed = "--clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs"
    return (
        f"set -e; mkdir -p {here}/qmp {here}/volumes {volumes}; chmod 0700 {here}/volumes {here}/qmp {volumes}; "
        f"chown {uid}:{group} {here}; chmod 02710 {here}; chown {uid}:{uid} {here}/qmp {volumes}; "
        f"mount --bind {volumes} {here}/volumes; umask 0117; "
        f"{SEE}; ! grep -qsx '{DAEMON} (enforce)' {LOADED} || set -- aa-exec -p {DAEMON} -- \"$@\"; "
        f'exec setpriv --reuid={uid} --regid={uid} {shed} prlimit --core=0 "$@"'
    )


def quoted(path: Path) -> str:
    """As QEMU's comma-separated options want it."""
    return str(path).replace(",", ",,")
