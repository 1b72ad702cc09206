"""The process of the storage daemon: who it runs as, what it sees, and where it is reached.

Where root starts it for this machine's guests it becomes a user of its own, in a mount namespace in which the volumes
are the only part of the state directory that it comes to. The key by which hosts of other machines know it is copied
into that namespace's memory by root, who alone can read the file."""

import hashlib
import os
import shlex
from pathlib import Path

from infra.settings import Settings

SOCKETS = Path("/run/kilonova")
TLS_FILES = ("ca-cert.pem", "ca-crl.pem", "server-cert.pem", "server-key.pem", "dh-params.pem")
FIRST_UID, UIDS = 2_100_000_000, 40_000_000
"""Above guests' users (workers/layout.py) and below what a signed number holds."""


def volumes_dir(settings: Settings) -> Path:
    return settings.state_dir.absolute() / "volumes"


def volumes_uid(settings: Settings) -> int | None:
    """User and group of the daemon, of qemu-img on volumes, and of their files: another one for each state directory.
    None where no root is there to give it."""
    if os.geteuid() != 0:
        return None
    return FIRST_UID + int(_digest(settings), 16) % UIDS


def volumes_view(settings: Settings) -> Path | None:
    """Where the daemon sees the directory of volumes; None where it sees it as everybody does."""
    return None if volumes_uid(settings) is None else _place(settings) / "volumes"


def socket_path(settings: Settings) -> Path:
    """Of its QMP monitor, in a directory that is the daemon's user's alone."""
    if volumes_uid(settings) is None:
        return settings.run_dir.absolute() / "nbd.qmp"
    return _place(settings) / "qmp" / "nbd.qmp"


def nbd_socket(settings: Settings) -> Path | None:
    """Where the machine's own guests reach volumes; None when hosts reach them by TLS.

    Below /run, since the guests' user does not come through the state directory, and a socket's path is short."""
    if settings.nbd_address:
        return None
    if os.geteuid() != 0:
        return settings.run_dir.absolute() / "nbd" / "socket"
    return _place(settings) / "socket"


def _place(settings: Settings) -> Path:
    return SOCKETS / f"{_digest(settings)}.nbd"


def _digest(settings: Settings) -> str:
    return hashlib.sha256(str(settings.state_dir.absolute()).encode()).hexdigest()[:10]


def storage_daemon_argv(settings: Settings, group: int | None = None) -> list[str]:
    """Command line of the daemon, in the foreground; a supervisor runs it (in a network namespace, if it likes).

    `group`: of QEMU's user, who must reach the socket; None: QEMU's user is ours. The command line tells no secret.
    The daemon exports nothing until the volume service tells it to, and may be killed and started again at any time:
    clients that reconnect lose nothing that they had flushed."""
    monitor = f"socket,id=qmp,path={quoted(socket_path(settings))},server=on,wait=off"
    daemon = ["qemu-storage-daemon", "--chardev", monitor, "--monitor", "chardev=qmp"]
    path, uid = nbd_socket(settings), volumes_uid(settings)
    daemon += _by_tls(settings, uid) if path is None else _by_socket(path)
    if uid is None:
        place = (path or socket_path(settings)).parent
        script = f'set -e; umask 0117; mkdir -p -m 0700 {shlex.quote(str(place))}; exec "$@"'
        return ["/bin/sh", "-c", script, "nbd", *daemon]
    script = _as_its_user(settings, _place(settings), uid, uid if group is None or path is None else group)
    return ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "nbd", *daemon]


def _by_socket(path: Path) -> list[str]:
    return ["--nbd-server", f"addr.type=unix,addr.path={quoted(path)},max-connections=0"]


def _by_tls(settings: Settings, uid: int | None) -> list[str]:
    files = _tls_dir(settings) if uid is None else _place(settings) / "tls"
    known = f"tls-creds-x509,id=tls,dir={quoted(files)},endpoint=server,verify-peer=on"
    address = f"addr.type=inet,addr.host={settings.nbd_address},addr.port={settings.port('nbd')}"
    return ["--object", known, "--nbd-server", f"{address},tls-creds=tls,max-connections=0"]


def _tls_dir(settings: Settings) -> Path:
    return (settings.nbd_tls_dir or Path("/nonexistent")).absolute()


def _copy_of_tls(settings: Settings, here: str, uid: int) -> str:
    """Commands that put what TLS needs where the daemon's user can read it, and nobody can outside its namespace."""
    if not settings.nbd_address:
        return ""
    source = shlex.quote(str(_tls_dir(settings)))
    return (
        f"mkdir -p {here}/tls; mount -t tmpfs -o mode=0550,gid={uid},size=1m,nosuid,nodev,noexec kilonova {here}/tls; "
        f"for file in {' '.join(TLS_FILES)}; do if [ -e {source}/$file ]; then "
        f"install -m 0440 -o 0 -g {uid} {source}/$file {here}/tls/$file; fi; done; "
    )


def _as_its_user(settings: Settings, place: Path, uid: int, group: int) -> str:
    """A script that ends as the daemon. Whoever is in `group` comes through its directory to the socket, whose group
    follows from the directory's, and to nothing else in it."""
    here, volumes = shlex.quote(str(place)), shlex.quote(str(volumes_dir(settings)))
    shed = "--clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs"
    return (
        f"set -e; mkdir -p {here}/qmp {here}/volumes {volumes}; chmod 0700 {here}/volumes {here}/qmp {volumes}; "
        f"chown {uid}:{group} {here}; chmod 02710 {here}; chown {uid}:{uid} {here}/qmp {volumes}; "
        f"mount --bind {volumes} {here}/volumes; {_copy_of_tls(settings, here, uid)}umask 0117; "
        f'exec setpriv --reuid={uid} --regid={uid} {shed} prlimit --core=0 "$@"'
    )


def quoted(path: Path) -> str:
    """As QEMU's comma-separated options want it."""
    return str(path).replace(",", ",,")
