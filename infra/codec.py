"""Payload codec: what workflows and steps exchange lies encrypted (AES-256-GCM, with a key id) in Temporal's history.

Bare JSON strings, numbers and null stay readable: step summaries and current details, which name no secret, so that
the Web UI tells the story even without the codec server. Models, which carry tokens and passwords, are all encrypted.
"""

import base64
import json
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from infra.credentials import write_private

ENCODING = b"binary/encrypted"
NONCE_BYTES = 12


class KeyRing:
    """Keys by id, one of them current. File (mode 0600): {"current": id, "keys": {id: base64 of 32 bytes}}."""

    def __init__(self, current: str, keys: dict[str, bytes]) -> None:
        self.current = current
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}

    @classmethod
    def load(cls, file: Path) -> "KeyRing":
        """The ring in `file`; makes a first key when there is no file."""
        if not file.exists():
            cls.rotate(file)
        stored = json.loads(file.read_text())
        return cls(stored["current"], {k: base64.b64decode(v) for k, v in stored["keys"].items()})

    @staticmethod
    def rotate(file: Path) -> str:
        """Add a key and make it current; old ones stay, since histories need them. Returns the new key's id."""
        stored = json.loads(file.read_text()) if file.exists() else {"keys": {}}
        key_id = f"k{len(stored['keys']) + 1}"
        stored["keys"][key_id] = base64.b64encode(AESGCM.generate_key(256)).decode()
        stored["current"] = key_id
        write_private(file, json.dumps(stored, indent=1))
        return key_id

    def encrypt(self, clear: bytes) -> tuple[str, bytes]:
        nonce = os.urandom(NONCE_BYTES)
        return self.current, nonce + self._ciphers[self.current].encrypt(nonce, clear, None)

    def decrypt(self, key_id: str, sealed: bytes) -> bytes:
        return self._ciphers[key_id].decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)

    def seal(self, text: str) -> str:
        """Text for a database column: `<key id>:<base64>`."""
        key_id, sealed = self.encrypt(text.encode())
        return f"{key_id}:{base64.b64encode(sealed).decode()}"

    def unseal(self, text: str) -> str:
        key_id, _, sealed = text.partition(":")
        return self.decrypt(key_id, base64.b64decode(sealed)).decode()


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
