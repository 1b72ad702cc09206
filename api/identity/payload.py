"""What a token says, packed into a few bytes: user, scope, methods, times, epochs, audit ids."""

import base64
import secrets
import struct
from dataclasses import dataclass
from typing import Literal

ScopeKind = Literal["unscoped", "project", "domain"]
METHODS = ("password", "token", "application_credential")
SCOPES: tuple[ScopeKind, ...] = ("unscoped", "project", "domain")
HEAD = struct.Struct(">BBBQQI")
FORMAT = 1
HEX = frozenset("0123456789abcdef")


class Malformed(Exception):
    """Not a payload that this version wrote."""


@dataclass(frozen=True)
class Scope:
    kind: ScopeKind = "unscoped"
    id: str = ""


@dataclass(frozen=True)
class Payload:
    """Times in microseconds since 1970. `stamp` is the sum of the epochs under which the token was issued.

    `audit_ids` holds the token's own id and, for a token made from another, that of the first of its chain."""

    user_id: str
    scope: Scope
    methods: tuple[str, ...]
    issued_us: int
    expires_us: int
    stamp: int
    audit_ids: tuple[str, ...]
    application_credential_id: str = ""

    def pack(self) -> bytes:
        methods = sum(1 << METHODS.index(name) for name in self.methods)
        head = HEAD.pack(
            FORMAT, SCOPES.index(self.scope.kind), methods, self.issued_us, self.expires_us, self.stamp & 0xFFFFFFFF
        )
        ids = (self.user_id, self.scope.id, self.application_credential_id)
        audits = b"".join(base64.urlsafe_b64decode(audit + "==") for audit in self.audit_ids)
        return head + b"".join(map(_pack_id, ids)) + audits

    @classmethod
    def unpack(cls, packed: bytes) -> "Payload":
        """Raises Malformed."""
        try:
            version, kind, methods, issued, expires, stamp = HEAD.unpack_from(packed)
            if version != FORMAT:
                raise Malformed
            user_id, rest = _take_id(packed[HEAD.size :])
            scope_id, rest = _take_id(rest)
            credential_id, rest = _take_id(rest)
            audits = tuple(_audit_text(rest[at : at + 16]) for at in range(0, len(rest), 16))
            names = tuple(name for bit, name in enumerate(METHODS) if methods >> bit & 1)
            return cls(user_id, Scope(SCOPES[kind], scope_id), names, issued, expires, stamp, audits, credential_id)
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise Malformed from error


def new_audit_id() -> str:
    """16 random bytes as 22 characters of URL-safe base 64."""
    return _audit_text(secrets.token_bytes(16))


def _audit_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _pack_id(text: str) -> bytes:
    """One length byte, then the id; 32 hex digits shrink to 16 bytes and are marked by the high bit."""
    if len(text) == 32 and HEX.issuperset(text):
        return b"\x90" + bytes.fromhex(text)
    raw = text.encode()
    if len(raw) > 0x7F:
        raise ValueError("id too long for a token")
    return bytes([len(raw)]) + raw


def _take_id(packed: bytes) -> tuple[str, bytes]:
    length = packed[0] & 0x7F
    raw, rest = packed[1 : 1 + length], packed[1 + length :]
    return (raw.hex() if packed[0] & 0x80 else raw.decode()), rest
