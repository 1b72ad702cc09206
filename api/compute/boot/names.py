"""Names and ids of servers to be: host names, batch suffixes, ids that a repeated request finds again."""

import hashlib
import json
import re
import secrets
import string
import uuid
from typing import Any

from api.common.application import REQUEST_ID
from api.compute.call import ComputeCall
from api.compute.errors import bad_request

GROUPS = ("23456789", "ABCDEFGHJKLMNPQRSTUVWXYZ", "abcdefghijkmnopqrstuvwxyz")
BASE36 = string.digits + string.ascii_lowercase


def hostname(name: str) -> str:
    """`name` as a host label (RFC 952, RFC 1123), at most 63 characters; "" when nothing of it can stay."""
    label = re.sub(r"[ _.]", "-", name[:63]).lower()
    return re.sub(r"[^a-z0-9-]", "", label).strip("-")


def first_id(call: ComputeCall, body: dict[str, Any]) -> uuid.UUID:
    """Id of the request's first server. A client that sends an `Idempotency-Key`, or the same body again under its
    own X-OpenStack-Request-ID, gets the same id; every other request a new one. Another user's key is another key."""
    asks = f"{call.context.project_id}/{call.context.user_id}/"
    if key := call.request.headers.get("idempotency-key"):
        if len(key) > 255:
            raise bad_request("The Idempotency-Key is longer than 255 characters.")
        return uuid.uuid5(uuid.NAMESPACE_URL, asks + key)
    given = getattr(call.request.state, "client_request_id", "")
    if REQUEST_ID.fullmatch(given):
        # One such id may cover several different creations, as an orchestrator's does: the body tells them apart.
        return uuid.uuid5(uuid.NAMESPACE_URL, asks + given + digest(body))
    return uuid.uuid4()


def is_repeatable(call: ComputeCall) -> bool:
    """Whether a repeat of this request would find the same server."""
    given = getattr(call.request.state, "client_request_id", "")
    return bool(call.request.headers.get("idempotency-key") or REQUEST_ID.match(given))


def digest(body: dict[str, Any]) -> str:
    """SHA-256 of a request's body, by which a repeat is told from another request under the same key."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def nth_id(first: uuid.UUID, n: int) -> str:
    return str(first if n == 0 else uuid.uuid5(first, f"server/{n}"))


def reservation(first: uuid.UUID) -> str:
    """`r-` and eight characters, the same for the same request."""
    number = int.from_bytes(hashlib.sha256(first.bytes).digest()[:8])
    return "r-" + "".join(BASE36[(number // 36**place) % 36] for place in range(8))


def password() -> str:
    """Twelve characters with at least one of each group, none of them easily mistaken for another."""
    chosen = [secrets.choice(group) for group in GROUPS]
    chosen += [secrets.choice("".join(GROUPS)) for _ in range(9)]
    secrets.SystemRandom().shuffle(chosen)
    return "".join(chosen)
