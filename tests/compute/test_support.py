"""The support table tells what the routes are."""

from api.compute import support
from api.compute.schemas.actions import NOT_BUILT


def test_every_route_is_described() -> None:
    rows = list(support.routes())
    assert len(rows) > 100
    assert all(what for _methods, _path, _versions, what in rows)
    assert ("GET", "/v2.1/os-hosts", "until 2.42", "Hosts with what they do (until 2.42).") in rows
    assert ("GET", "/v2.1/os-baremetal-nodes", "until 2.35", "not built") in rows


def test_actions_and_their_versions() -> None:
    table = support.table()
    for name in NOT_BUILT:
        assert f"| `{name}` |" in table
    assert "| `trigger_crash_dump` | from 2.17 |" in table
    assert "| `os-getVNCConsole` | until 2.5 | built |" in table
