"""Malformed inputs by kind, for every route that a service tells of in its OpenAPI document."""

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.bodies import held, places, replaced

DIGITS, LONG = "9" * 5000, "x" * 3000
TEXTS = [
    "",
    " ",
    "²",
    "٣",
    "-1",
    "1e400",
    "9223372036854775808",
    DIGITS,
    LONG,
    "日本",
    "a\r\nX-Injected: 1",
    "a\tb\x7f\x85",
    "'; DROP TABLE x; --",
    "../../etc/passwd",
    "%",
    "a/b,c",
    "(" * 1000,
    "(a+)+$",
    "\\",
    "nan",
    "{'a': 1}",
    "__import__('os')",
    "[" * 200,
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-01-01T00:00:00+99:99",
    "2026-02-30",
    "2026-W01-1",
]
RAW = ["%ED%A0%80", "%FF%FE", "%00", "%0d%0aa:1", "%C3%28", "%"]
"""Percent-encoded bytes that are no text."""
QUOTED = [*(quote(text, safe="") for text in TEXTS), *RAW]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    [],
    {},
    [None],
    [[]],
    {"": ""},
    {"a": {"b": {}}},
    *TEXTS,
    "\ud800",
    "\0",
    "²²",
    "A" * 70_000,
]
BODIES: list[bytes] = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"7",
    b'"x"',
    b"{}",
    b"\xff\xfe{}",
    b'\xef\xbb\xbf{"a": 1}',
    '{"a": 1}'.encode("utf-16"),
    b'{"a": ' * 200 + b"1" + b"}" * 200,
    b"[" * 50_000,
    b'{"a": 1, "a": 2}',
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b'{"a": ' + b"9" * 5000 + b"}",
    b'{"\\ud800": 1}',
    b'{"\\u0000": 1}',
    b'{"\xed\xa0\x80": 1}',
]
QUERIES = """
limit marker sort_key sort_dir sort offset page_reverse fields all_tenants name status changes-since changes-before
created_at launched_at start end detailed deleted ip ip6 tags tags-any not-tags not-tags-any power_state launch_index
progress locked config_drive image flavor host uuid is_public minRam minDisk user_id tenant_id project_id reserved
hypervisor_hostname_pattern with_servers binary metadata glance_metadata bootable updated_at with_count fixed_ips id
network_id shared mac_address device_id security_groups force cascade usage volume_id migration_type instance_uuid zone
admin_state_up name~ resource_uuid q resources required member_of in_tree associated
""".split()  # noqa: SIM905 - one a line would be a page
IN_QUERIES = [(f"query {name}", f"{quote(name)}={text}") for name in QUERIES for text in QUOTED]


@dataclass(frozen=True)
class Ask:
    """One request. `place` says what about it is malformed."""

    route: "Route"
    url: str
    place: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True)
class Route:
    method: str
    path: str

    @property
    def names(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    def filled(self, ids: dict[str, str], **other: str) -> str:
        """The path with its parameters; a DELETE finds nothing, since others need what there is."""
        url, known = self.path, {} if self.method == "DELETE" else ids
        for name in self.names:
            url = url.replace(f"{{{name}}}", other.get(name) or known.get(name, "unknown"))
        return url


def spread(asks: list[Ask], most: int) -> list[Ask]:
    """At most `most` of them, every time the same ones, taken in turn from each route and place."""
    groups: dict[tuple[Route, str], list[Ask]] = {}
    for ask in asks:
        groups.setdefault((ask.route, ask.place), []).append(ask)
    dice = random.Random(len(asks))
    for group in groups.values():
        dice.shuffle(group)
    turns = list(groups.values())
    dice.shuffle(turns)
    in_turn = (ask for round_ in itertools.zip_longest(*turns) for ask in round_ if ask is not None)
    return list(itertools.islice(in_turn, most))


def routes(openapi: dict[str, Any]) -> list[Route]:
    return [Route(method.upper(), path) for path, methods in openapi["paths"].items() for method in methods]


def in_paths(route: Route, ids: dict[str, str]) -> Iterator[Ask]:
    for name in route.names:
        for text in filter(None, QUOTED):
            body = b"{}" if route.method in ("POST", "PUT") else None
            yield Ask(route, route.filled(ids, **{name: text}), f"path {name}", body=body)


def in_queries(route: Route, ids: dict[str, str]) -> Iterator[Ask]:
    if route.method != "GET":
        return
    url = route.filled(ids)
    for place, query in IN_QUERIES:
        yield Ask(route, f"{url}?{query}", place)
    for name in ("sort_key", "status", "tags", "id", "fields", "sort_dir"):
        yield Ask(route, f"{url}?" + "&".join([f"{name}=id"] * 900), f"query {name} 900 times")
        yield Ask(route, f"{url}?" + "&".join(f"{name}=created_at{n % 7}" for n in range(900)), f"query {name} each")
    yield Ask(route, f"{url}?sort=" + ",".join(["name:asc", "id:desc"] * 400), "query sort 800 keys")
    yield Ask(route, f"{url}?sort_key=" + ",".join(["name"] * 800), "query sort_key 800 keys")


def in_headers(route: Route, ids: dict[str, str], service: str) -> Iterator[Ask]:
    url = route.filled(ids)
    versions = [
        "²",
        "2.²",
        "2." + DIGITS,
        DIGITS,
        "2.1\t",
        "-1.-1",
        "2.1.1",
        "latest,",
        "3.",
        ".",
        "2.0x10",
        "2.\u0661",
    ]
    for text in versions:
        for name, value in (("OpenStack-API-Version", f"{service} {text}"), ("X-OpenStack-Nova-API-Version", text)):
            yield Ask(route, url, f"header {name}", {name: value.strip()})
    for name, value in (
        ("X-Auth-Token", "tök€n".encode().decode("latin-1")),
        ("X-Auth-Token", "x" * 20_000),
        ("X-OpenStack-Request-ID", "req-²"),
        ("Content-Type", "appl\xe4cation/json; charset=²"),
        ("Content-Type", "multipart/form-data"),
        ("Accept", "²/²;q=x"),
        ("Idempotency-Key", "²" * 300),
        ("X-Forwarded-Host", "a\tb"),
        ("Range", "bytes=²-"),
        ("If-Match", "²"),
    ):
        body = b"{}" if route.method in ("POST", "PUT") else None
        yield Ask(route, url, f"header {name}", {name: value}, body)


def in_bodies(route: Route, ids: dict[str, str], templates: list[Any]) -> Iterator[Ask]:
    """Bodies that are no objects, and each template with each of its values and names replaced."""
    if route.method not in ("POST", "PUT", "PATCH"):
        return
    url = route.filled(ids)
    for raw in BODIES:
        yield Ask(route, url, "body", body=raw)
    for template in templates:
        for place, value in itertools.product(places(template), VALUES):
            changed = replaced(template, place, value)
            yield Ask(route, url, f"body {'/'.join(map(str, place))}", body=json.dumps(changed).encode())
        for place in places(template):
            yield Ask(route, url, "body unknown name", body=json.dumps(with_name(template, place)).encode())


def with_name(template: Any, place: tuple[Any, ...]) -> Any:
    """`template` with a name beside `place` that nobody knows."""
    found, inner = held(template, place)
    if isinstance(inner, dict):
        inner["日本\x85"] = 1
    return found
