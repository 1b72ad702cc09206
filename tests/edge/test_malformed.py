"""Malformed inputs of every kind on every route, as a member and as an admin: no 5xx, and an answer each time.

501 is right for what is documented as not built; what it takes to get there is no matter of the input."""

import os
from collections import Counter
from collections.abc import Iterator
from itertools import chain

import httpx
import pytest

from tests import effort
from tests.compute.conftest import HTTP, Api, Cloud
from tests.edge import malformed, raw, templates, things
from tests.edge.described import NEWEST
from tests.edge.malformed import Ask

SERVICES = ("compute", "placement", "network", "volume")
MOST = int(os.environ.get("KILONOVA_MALFORMED", "500"))
"""Requests with bodies per service and caller, of the other kinds three fifths of it; with all that there are, some
70,000, it takes minutes. Of what is chosen all are sent, or a sixth where tests take turns (`tests/effort.py`)."""
KINDS = ("path", "query", "header", "body")


@pytest.fixture(scope="module")
def ids(cloud: Cloud, demo: Api) -> things.Ids:
    return things.made_by(cloud, demo)


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, str], list[Ask]]:
    """Requests by service and kind: the same for each caller, and choosing them takes seconds."""
    return {}


def asks(kind: str, service: str, openapi: dict[str, object], ids: dict[str, str]) -> list[Ask]:
    def of(route: malformed.Route) -> Iterator[Ask]:
        match kind:
            case "path":
                return malformed.in_paths(route, ids)
            case "query":
                return malformed.in_queries(route, ids)
            case "header":
                return malformed.in_headers(route, ids, service)
        return malformed.in_bodies(route, ids, templates.of(service, route.method, route.path, ids))

    every = list(chain.from_iterable(of(route) for route in malformed.routes(openapi)))
    most = MOST if kind == "body" else MOST * 3 // 5
    most = most // 4 if service == "placement" else most  # it has few routes, all read-only
    return effort.of(malformed.spread(every, most))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("who", ["member", "admin"])
@pytest.mark.parametrize("service", SERVICES)
def test_no_malformed_input_is_an_error_of_ours(
    cloud: Cloud,
    admin: Api,
    demo: Api,
    ids: things.Ids,
    known: dict[tuple[str, str], list[Ask]],
    service: str,
    who: str,
    kind: str,
) -> None:
    caller = admin if who == "admin" else demo
    newest = NEWEST[service]
    usual = {"X-Auth-Token": caller.token, "OpenStack-API-Version": newest, "Content-Type": "application/json"}
    found: Counter[int] = Counter()
    wrong: list[str] = []
    with raw.Client(cloud.settings.port(service)) as http:
        if (service, kind) not in known:
            openapi = httpx.get(cloud.settings.url(service, "/openapi.json"), headers=usual, **HTTP).json()
            known[service, kind] = asks(kind, service, openapi, ids[service])
        for ask in known[service, kind]:
            headers = {name.lower(): value.encode("latin-1", "replace") for name, value in usual.items()}
            headers |= {name.lower(): value.encode("utf-8") for name, value in ask.headers.items()}
            answer = http.ask(ask.route.method, ask.url, headers, ask.body)
            found[answer.status] += 1
            if answer.status >= 500 and answer.status != 501:
                wrong.append(f"{answer.status} {ask.route} {ask.place}: {str(ask.body)[:300]}: {answer.text[:200]}")
            assert "x-injected" not in answer.headers
            assert answer.headers["x-openstack-request-id"].startswith("req-")
    print(f"{service} {who} {kind}: {sum(found.values())} requests, {dict(sorted(found.items()))}")
    assert not wrong, "\n".join([f"{len(wrong)} of {sum(found.values())}", *wrong[:40]])
