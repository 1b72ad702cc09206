"""Payload codec: what workflows and steps exchange lies encrypted (AES-256-GCM, with a key id) in Temporal's history.

Bare JSON strings, numbers and null stay readable: step summaries and current details, which name no secret, so that
the Web UI tells the story even without the codec server. Models, which carry tokens and passwords, are all encrypted.
"""

import base64
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from infra.credentials import write_private

ENCODING = b"binary/encrypted"
NONCE_BYTES = 12


class KeyRing:
    """Keys by id, one of them current. File (mode 0600): {"current": id, "keys": {id: base64 of 32 bytes}}.

    A ring that was loaded from a file follows it: a rotation is noticed without a restart."""

    def __init__(self, current: str, keys: dict[str, bytes], file: Path | None = None) -> None:
        self._current = current
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._file, self._seen = file, _stamp(file)

    @classmethod
    def load(cls, file: Path) -> "KeyRing":
        """The ring in `file`; makes a first key when there is no file."""
        if not file.exists():
            cls.rotate(file)
        return cls(*_read(file), file)

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

    @property
    def current(self) -> str:
        self._follow()
        return self._current

    def _follow(self, *, anyway: bool = False) -> None:
        seen = _stamp(self._file)
        if self._file is not None and seen and (anyway or seen != self._seen):
            current, keys = _read(self._file)
            self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
            self._current, self._seen = current, seen

    def encrypt(self, clear: bytes) -> tuple[str, bytes]:
        nonce = os.urandom(NONCE_BYTES)
        key_id = self.current
        return key_id, nonce + self._ciphers[key_id].encrypt(nonce, clear, None)

    def decrypt(self, key_id: str, sealed: bytes) -> bytes:
        if key_id not in self._ciphers:
            self._follow(anyway=True)
        return self._ciphers[key_id].decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)

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


def _read(file: Path) -> tuple[str, dict[str, bytes]]:
    stored = json.loads(file.read_text())
    return stored["current"], {key_id: base64.b64decode(key) for key_id, key in stored["keys"].items()}


def _add(stored: dict[str, Any]) -> str:
    key_id = f"k{len(stored['keys']) + 1}"
    stored["keys"][key_id] = base64.b64encode(AESGCM.generate_key(256)).decode()
    return key_id


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """One rotation at a time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file.with_name(f".{file.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600), "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _is_plain(payload: Payload) -> bool:
    return not payload.data or payload.data[:1] not in b"{["


class EncryptingCodec(PayloadCodec):
    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [payload if _is_plain(payload) else self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._open(p) if p.metadata.get("encoding") == ENCODING else p for p in payloads]

    def _seal(self, payload: Payload) -> Payload:
        key_id, sealed = self._ring.encrypt(payload.SerializeToString())
        return Payload(metadata={"encoding": ENCODING, "key-id": key_id.encode()}, data=sealed)

    def _open(self, payload: Payload) -> Payload:
        clear = Payload()
        clear.ParseFromString(self._ring.decrypt(payload.metadata["key-id"].decode(), payload.data))
        return clear
