"""Requests that Schemathesis makes for an operation, sent by each caller.

Imported by the test that sends them: every process of a run loads all tests, and Schemathesis is a seventh of that."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation

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


def operations(openapi: dict[str, Any]) -> list[APIOperation]:
    return [found.ok() for found in schemathesis.openapi.from_dict(openapi).get_all_operations()]
