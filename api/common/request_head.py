"""The head of a request, made unambiguous before anything reads it: headers, query, and the address it came to."""

import ipaddress
import re
from collections.abc import Sequence
from contextvars import ContextVar
from urllib.parse import unquote_to_bytes, urlsplit

from starlette.types import Scope

from api.common.errors import ServiceError
from infra.http_bounds import HEAD_BYTES, QUERY_PARAMETERS

Pairs = list[tuple[bytes, bytes]]
_public: ContextVar[str] = ContextVar("public", default="")
HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")
TOKEN = re.compile(rb"[\x21-\x7e]{1,16384}")


def joined(headers: Sequence[tuple[bytes, bytes]]) -> Pairs:
    """Headers with one line per name: lines of the same name are joined by a comma (RFC 9110, section 5.3)."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = found[key] + b"," + value if key in found else value
    return list(found.items())


def tidy(scope: Scope, url: str, proxies: Sequence[str]) -> None:
    """Join headers, refuse what cannot be meant, and let `url` (where clients reach this service) stand as the
    request's own address, unless one of the trusted `proxies` says what address its client asked.

    Raises ServiceError 400, 404 and 431."""
    if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES:
        raise ServiceError(431, "The request's headers are too large.")
    headers = dict(joined(scope["headers"]))
    if "\0" in scope["path"]:
        raise ServiceError(404, "The resource could not be found.")
    query = scope["query_string"]
    if b"\0" in unquote_to_bytes(query):
        raise ServiceError(400, "Invalid input for query parameters. A character of it is not allowed")
    if query.count(b"&") >= QUERY_PARAMETERS:
        raise ServiceError(400, "Invalid input for query parameters. There are too many of them")
    scheme, host = _address(scope, headers, url, proxies)
    headers[b"host"] = host.encode("ascii")
    scope["scheme"] = scheme
    _public.set(f"{scheme}://{host}")
    scope["headers"] = list(headers.items())


def public_url(path: str) -> str:
    """Absolute address of `path` (quoted already) as the client of the request that is being answered reaches it."""
    return _public.get() + path


def token(scope: Scope) -> str:
    """The X-Auth-Token; "" when there is none or what is there can be none."""
    given = next((value for name, value in scope["headers"] if name == b"x-auth-token"), b"").strip()
    return given.decode("ascii") if TOKEN.fullmatch(given) else ""


def _address(scope: Scope, headers: dict[bytes, bytes], url: str, proxies: Sequence[str]) -> tuple[str, str]:
    """(scheme, host[:port]) that answers shall name."""
    own = urlsplit(url)
    if not _trusted(scope.get("client"), proxies):
        return own.scheme, own.netloc
    scheme = _first(headers.get(b"x-forwarded-proto", b"")).lower()
    host = _first(headers.get(b"x-forwarded-host", b""))
    port = _first(headers.get(b"x-forwarded-port", b""))
    if scheme not in ("", "http", "https") or (host and not HOST.fullmatch(host)):
        raise ServiceError(400, "The proxy's X-Forwarded headers are malformed.")
    host = host or own.netloc
    if re.fullmatch(r"[0-9]{1,5}", port) and headers.get(b"x-forwarded-host") and not re.search(r":[0-9]+$", host):
        host = f"{host}:{port}"
    return scheme or own.scheme, host


def _first(value: bytes) -> str:
    """The entry of the proxy that the client spoke to: later proxies append theirs."""
    return value.split(b",")[0].strip().decode("latin-1")


def _trusted(client: Sequence[object] | None, proxies: Sequence[str]) -> bool:
    if not client or not proxies:
        return False
    try:
        address = ipaddress.ip_address(str(client[0]))
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(proxy, strict=False) for proxy in proxies)
