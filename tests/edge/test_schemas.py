"""Schemathesis on every operation of every service, as a member and as an admin: no 5xx but a documented 501.

The values of test_malformed.py are chosen; these are Hypothesis's own, both what fits the schemas and what does not."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation

from tests.compute.conftest import HTTP, Api, Cloud
from tests.edge import described, things

SERVICES = ("compute", "placement", "network", "volume")
EXAMPLES = int(os.environ.get("KILONOVA_SCHEMATHESIS", "2"))
"""Requests per operation, caller and mode (fitting, not fitting)."""
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
BOUNDED = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def ids(cloud: Cloud, demo: Api) -> things.Ids:
    return things.made_by(cloud, demo)


@contextmanager
def sessions(tokens: dict[str, str]) -> Iterator[dict[str, requests.Session]]:
    """One for each caller: its connection is kept, and the environment is not searched for proxies at each request."""
    with ExitStack() as opened:
        found = {who: opened.enter_context(requests.Session()) for who in tokens}
        for who, session in found.items():
            session.trust_env = False
            session.headers["X-Auth-Token"] = tokens[who]
        yield found


def ask(
    operation: APIOperation, mode: GenerationMode, url: str, callers: dict[str, requests.Session]
) -> list[tuple[str, int, str]]:
    """Caller and status of each answer, and what is wrong with it."""
    found: list[tuple[str, int, str]] = []

    @BOUNDED
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: Case) -> None:
        for who, session in callers.items():
            token = {"X-Auth-Token": str(session.headers["X-Auth-Token"])}
            answer = case.call(base_url=url, headers=token, session=session, timeout=20)
            bad = answer.status_code >= 500 and answer.status_code != 501
            about = f"{answer.status_code} {who} {case.as_curl_command()[:900]}: {answer.text[:200]}" if bad else ""
            found.append((who, answer.status_code, about))

    each()
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_no_generated_request_is_an_error_of_ours(
    cloud: Cloud, admin: Api, demo: Api, ids: things.Ids, service: str
) -> None:
    url, tokens = cloud.settings.url(service), {"member": demo.token, "admin": admin.token}
    openapi = httpx.get(f"{url}/openapi.json", headers={"X-Auth-Token": demo.token}, **HTTP).json()
    schema = schemathesis.openapi.from_dict(described.with_everything(openapi, service, ids[service]))
    operations = [found.ok() for found in schema.get_all_operations()]
    with sessions(tokens) as callers:
        answers = [one for operation in operations for mode in MODES for one in ask(operation, mode, url, callers)]
    for who in tokens:
        counts = Counter(status for caller, status, _ in answers if caller == who)
        print(
            f"{service} {who}: {counts.total()} requests, {len(operations)} operations, {dict(sorted(counts.items()))}"
        )
        assert counts.total() >= 2 * len(operations)
        assert counts[200] > 5 or (service, who) == ("placement", "member")  # who is told of no host
    wrong = [text for _, _, text in answers if text]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(answers)}", *wrong[:40]])
