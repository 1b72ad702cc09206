"""Unknown is not absent: with a store away nothing that was there is 404, or missing from a list. Field scenario 16."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from tests.compute.conftest import HTTP, Api, Cloud
from tests.edge import malformed, things
from tests.edge.described import NEWEST
from tests.edge.test_callers import SERVICES


def told(answer: httpx.Response) -> str:
    """Without the moments at which something was looked at."""
    return re.sub(r"20\d\d-\d\d-\d\dT[\d:.]+", "", answer.text)


@contextmanager
def stores_away() -> Iterator[None]:
    """As SQLAlchemy tells of a database that does not answer, on every statement of this process."""

    def refuse(*_: Any) -> None:
        raise OperationalError("", {}, OSError("server closed the connection unexpectedly"))

    event.listen(Engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", refuse)


@pytest.mark.turns
@pytest.mark.parametrize("service", SERVICES)
def test_with_its_store_away_nothing_is_said_to_be_absent(cloud: Cloud, admin: Api, fresh: Api, service: str) -> None:
    """Mechanism: api.common.failures.AWAY. Every GET that succeeds is asked again; it says the same or 503."""
    ids = things.made_by(cloud, fresh)[service]
    newest = NEWEST[service]
    wrong, away = [], 0
    for who in (fresh, admin):
        headers = {"X-Auth-Token": who.token, "OpenStack-API-Version": newest}
        with httpx.Client(base_url=cloud.settings.url(service), headers=headers, **HTTP) as http:
            openapi = http.get("/openapi.json").json()
            urls = [route.filled(ids) for route in malformed.routes(openapi) if route.method == "GET"]
            known = {url: answer for url in urls if (answer := http.get(url)).is_success}
            with stores_away():
                for url, before in known.items():
                    answer = http.get(url)
                    away += answer.status_code == 503
                    if answer.status_code != 503 and (answer.status_code, told(answer)) != (200, told(before)):
                        wrong.append(f"{url}: {before.status_code}, then {answer.status_code} {answer.text[:200]}")
            again = {url: http.get(url).status_code for url in known}
        assert again == {url: before.status_code for url, before in known.items()}
    print(f"{service}: {away} answers 503")
    assert not wrong, "\n".join(wrong)
    assert away > (5 if service == "placement" else 20)
