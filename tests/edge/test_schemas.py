"""Schemathesis on every operation of every service, as a member and as an admin: no 5xx but a documented 501.

The values of test_malformed.py are chosen; these are Hypothesis's own, both what fits the schemas and what does not:
the same at each run, for all operations, or a sixth of them where tests take turns (`tests/effort.py`)."""

from collections import Counter

import httpx
import pytest

from tests import effort
from tests.compute.conftest import HTTP, Api, Cloud
from tests.edge import described, things

SERVICES = ("compute", "placement", "network", "volume")


@pytest.fixture(scope="module")
def ids(cloud: Cloud, demo: Api) -> things.Ids:
    return things.made_by(cloud, demo)


@pytest.mark.parametrize("service", SERVICES)
def test_no_generated_request_is_an_error_of_ours(
    cloud: Cloud, admin: Api, demo: Api, ids: things.Ids, service: str
) -> None:
    from tests.edge import generated

    url, tokens = cloud.settings.url(service), {"member": demo.token, "admin": admin.token}
    openapi = httpx.get(f"{url}/openapi.json", headers={"X-Auth-Token": demo.token}, **HTTP).json()
    operations = effort.of(generated.operations(described.with_everything(openapi, service, ids[service])))
    with generated.sessions(tokens) as callers:
        answers = [
            one
            for operation in operations
            for mode in generated.MODES
            for one in generated.ask(operation, mode, url, callers)
        ]
    for who in tokens:
        counts = Counter(status for caller, status, _ in answers if caller == who)
        print(
            f"{service} {who}: {counts.total()} requests, {len(operations)} operations, {dict(sorted(counts.items()))}"
        )
        assert counts.total() >= 2 * len(operations)
        few = 5 if effort.WHOLE else 0
        assert counts[200] > few or (service, who) == ("placement", "member")  # who is told of no host
    wrong = [text for _, _, text in answers if text]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(answers)}", *wrong[:40]])
