"""Seals token payloads into Fernet text and opens them, with the keys that are in the repository now."""

import threading
import time

from cryptography.fernet import InvalidToken, MultiFernet

from api.identity.payload import Malformed, Payload
from infra.fernet_keys import FernetKeys

LONGEST_TOKEN = 1024
RECHECK_S = 1.0


class Sealer:
    """`version` stands still while the set of keys does, so that opened payloads may be kept for that long."""

    def __init__(self, keys: FernetKeys) -> None:
        self._keys = keys
        self._lock = threading.Lock()
        self._loaded: tuple[int, MultiFernet] | None = None
        self._rechecked = 0.0

    @property
    def version(self) -> int:
        return self._keys.version

    def seal(self, payload: Payload) -> str:
        """Token text; without the trailing `=`, which some clients mangle in headers and URLs."""
        return self._fernet().encrypt(payload.pack()).rstrip(b"=").decode()

    def open(self, text: str) -> Payload | None:
        """The payload of a token that one of the keys sealed; None for anything else."""
        if not text.startswith("gAAAA") or len(text) > LONGEST_TOKEN:
            return None
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        packed = self._open(self._fernet(), padded)
        if packed is None and time.monotonic() - self._rechecked > RECHECK_S:
            self._rechecked = time.monotonic()  # two key changes within one clock tick look like one
            packed = self._open(self._fernet(again=True), padded)
        try:
            return Payload.unpack(packed) if packed is not None else None
        except Malformed:
            return None

    @staticmethod
    def _open(fernet: MultiFernet, text: str) -> bytes | None:
        try:
            return fernet.decrypt(text)
        except (InvalidToken, ValueError):
            return None

    def _fernet(self, *, again: bool = False) -> MultiFernet:
        version = self._keys.version
        loaded = self._loaded
        if loaded is None or loaded[0] != version or again:
            with self._lock:
                loaded = self._loaded = (version, self._keys.load())
        return loaded[1]
