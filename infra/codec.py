"""The keys of encrypted payloads and columns: AES-256-GCM, each sealed text bound to its purpose.

What one compute host and the controllers tell each other is sealed by a key of that host, which follows from the
controllers' key by HKDF (RFC 5869). Such a key's id is `<controllers' key id>@<host>`; a host holds no other keys."""

import base64
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from infra.credentials import write_private

NONCE_BYTES = 12


@dataclass(frozen=True)
class Keys:
    """`bound`: ids of the keys that were only ever used with a purpose. `host`: whose ring it is; "" of controllers."""

    current: str
    secrets: dict[str, bytes]
    bound: frozenset[str]
    host: str

    def cipher(self, key_id: str, host: str) -> AESGCM:
        """KeyError for what this ring does not hold: a host's has its own host's keys, and the controllers' none."""
        if self.host and host != self.host:
            raise KeyError(key_id)
        secret = self.secrets[key_id]
        return _aesgcm(secret if self.host or not host else _derived(secret, host))


class KeyRing:
    """Keys by id, one of them current. File (mode 0600): {"current": id, "keys": {id: base64 of 32 bytes}, "bound":
    [ids of the keys whose payloads all name a purpose], "host": whose keys they are; missing in the controllers'}.

    A ring that was loaded from a file follows it: a rotation is noticed without a restart."""

    def __init__(self, keys: Keys, file: Path | None = None) -> None:
        self._keys = keys
        self._file, self._seen = file, _stamp(file)

    @classmethod
    def load(cls, file: Path) -> "KeyRing":
        """The ring in `file`; makes a first key when there is no file."""
        if not file.exists():
            cls.rotate(file)
        return cls(_read(file), file)

    @classmethod
    def rotate(cls, file: Path) -> str:
        """Make the newest staged key current, or a new one when none is staged; old ones stay, since histories need
        them. Returns the current key's id."""
        with _locked(file):
            stored = json.loads(file.read_text()) if file.exists() else {"keys": {}}
            newest = f"k{len(stored['keys'])}"
            if newest == stored.get("current") or newest not in stored["keys"]:
                newest = _add(stored)
            stored["current"] = newest
            write_private(file, json.dumps(stored, indent=1))
        return newest

    @classmethod
    def stage(cls, file: Path) -> str:
        """Add a key that opens but does not seal yet, so that every machine can have it before `rotate`. Its id."""
        with _locked(file):
            stored = json.loads(file.read_text())
            key_id = _add(stored)
            write_private(file, json.dumps(stored, indent=1))
        return key_id

    @classmethod
    def give(cls, file: Path, host: str, target: Path) -> None:
        """Write into `target` the keys of `host` that follow from the controllers' ring in `file`."""
        known = _read(file)
        keys = {key_id: base64.b64encode(_derived(key, host)).decode() for key_id, key in known.secrets.items()}
        write_private(target, json.dumps({"current": known.current, "keys": keys, "host": host}, indent=1))

    @property
    def current(self) -> str:
        self._follow()
        return self._keys.current

    def bound(self, key_id: str) -> bool:
        """Whether everything that this key sealed names its purpose; not so for keys of older versions."""
        return "@" in key_id or key_id in self._keys.bound

    def secrets_for(self, what: str) -> list[bytes]:
        """32 bytes from each of the controllers' keys, the current one first, for nothing but `what`."""
        self._follow()
        ids = sorted(self._keys.secrets, key=lambda key_id: key_id != self._keys.current)
        return [_derived(self._keys.secrets[key_id], what, "kilonova") for key_id in ids]

    def _follow(self, *, anyway: bool = False) -> None:
        seen = _stamp(self._file)
        if self._file is not None and seen and (anyway or seen != self._seen):
            self._keys, self._seen = _read(self._file), seen

    def encrypt(self, clear: bytes, purpose: bytes = b"", host: str = "") -> tuple[str, bytes]:
        """Key id and sealed bytes; only the same `purpose` opens them again. With `host` by that host's key.

        KeyError on a host for whatever is not its own."""
        nonce = os.urandom(NONCE_BYTES)
        key_id = self.current
        sealed = self._keys.cipher(key_id, host).encrypt(nonce, clear, purpose)
        return f"{key_id}@{host}" if host else key_id, nonce + sealed

    def decrypt(self, key_id: str, sealed: bytes, purpose: bytes = b"") -> bytes:
        """KeyError for an unknown key, InvalidTag for altered bytes or another purpose."""
        name, _, host = key_id.partition("@")
        if name not in self._keys.secrets:
            self._follow(anyway=True)
        return self._keys.cipher(name, host).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], purpose)

    def seal(self, text: str) -> str:
        """Text for a database column: `<key id>:<base64>`."""
        key_id, sealed = self.encrypt(text.encode())
        return f"{key_id}:{base64.b64encode(sealed).decode()}"

    def unseal(self, text: str) -> str:
        key_id, _, sealed = text.partition(":")
        return self.decrypt(key_id, base64.b64decode(sealed)).decode()


def _stamp(file: Path | None) -> tuple[int, int]:
    """Changes whenever the file is replaced; (0, 0) while there is none."""
    try:
        state = file.stat() if file else None
    except FileNotFoundError:
        return 0, 0
    return (state.st_mtime_ns, state.st_ino) if state else (0, 0)


def _read(file: Path) -> Keys:
    stored = json.loads(file.read_text())
    secrets = {key_id: base64.b64decode(key) for key_id, key in stored["keys"].items()}
    return Keys(stored["current"], secrets, frozenset(stored.get("bound", ())), stored.get("host", ""))


@lru_cache(maxsize=4096)
def _derived(secret: bytes, name: str, kind: str = "kilonova host") -> bytes:
    return HKDF(hashes.SHA256(), 32, None, f"{kind}\n{name}".encode()).derive(secret)


@lru_cache(maxsize=4096)
def _aesgcm(secret: bytes) -> AESGCM:
    return AESGCM(secret)


def _add(stored: dict[str, Any]) -> str:
    key_id = f"k{len(stored['keys']) + 1}"
    stored["keys"][key_id] = base64.b64encode(AESGCM.generate_key(256)).decode()
    stored["bound"] = [*stored.get("bound", ()), key_id]
    return key_id


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """One rotation at a time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file.with_name(f".{file.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600), "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
