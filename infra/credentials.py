"""Passwords that bootstrap made, in STATE/credentials.json (mode 0600): {user name: password}."""

import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

USERS = ("admin", "demo", "nova", "glance", "neutron", "cinder")
"""Cloud users that bootstrap creates. `nova` is the control plane. Each compute host is a user of its own."""
HOST_ROLE = "kilonova-host"
"""Implies `service`: a host asks the other services for its guests. Source: Keystone's implied roles."""


def host_user(host: str) -> str:
    """The cloud user that the compute host `host` signs in as, and nobody else may: see `kilonova host`."""
    return f"host-{host}"


def host_file(state_dir: Path, host: str) -> Path:
    """What `kilonova host add` gives a host of another machine: {"username", "password"}."""
    return state_dir / "hosts" / host / "credential.json"


def host_keys(state_dir: Path, host: str) -> Path:
    """Its payload keys, given with the credential: see `infra.codec.KeyRing.give`."""
    return state_dir / "hosts" / host / "codec.json"


def revoked_hosts(state_dir: Path) -> frozenset[str]:
    """Hosts whose certificate is refused, though it is not over: `kilonova host revoke` names them."""
    file = state_dir / "revoked-hosts.json"
    return frozenset(json.loads(file.read_text())) if file.exists() else frozenset()


def set_revoked(state_dir: Path, host: str, revoked: bool) -> None:
    known = revoked_hosts(state_dir) - {host}
    write_private(state_dir / "revoked-hosts.json", json.dumps(sorted(known | {host} if revoked else known)))


def path(state_dir: Path) -> Path:
    return state_dir / "credentials.json"


def load(state_dir: Path) -> dict[str, str]:
    file = path(state_dir)
    return json.loads(file.read_text()) if file.exists() else {}


def ensure(state_dir: Path, hosts: Iterable[str] = ()) -> dict[str, str]:
    """Passwords of all cloud users, made on the first call. Safe to call again: existing ones are kept."""
    known = load(state_dir)
    missing = [user for user in (*USERS, *map(host_user, hosts)) if user not in known]
    if missing:
        known |= {user: secrets.token_urlsafe(18) for user in missing}
        write_private(path(state_dir), json.dumps(known, indent=1))
    return known


def write_private(file: Path, text: str) -> None:
    """Replace `file` atomically by one that only its owner may read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    except OSError:  # of a full disk, for one
        temporary.unlink(missing_ok=True)
        raise
