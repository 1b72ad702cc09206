"""A resize to another host, confirmed and reverted, with the processes of both hosts killed in the middle."""

import asyncio
from typing import Any

import pytest

from tests.chaos.acts import LARGER
from tests.resilience.processes import Processes

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def act(real: Processes, server_id: str, body: dict[str, Any], ends: str) -> dict[str, Any]:
    answer = await real.ask("POST", f"/servers/{server_id}/action", json=body)
    assert answer.status_code in (202, 204), answer.text
    return await at_rest(real, server_id, ends)


async def at_rest(real: Processes, server_id: str, status: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(180):
        found = (await real.as_admin("GET", f"/servers/{server_id}")).json()["server"]
        if found["status"] == status and found["OS-EXT-STS:task_state"] is None:
            return found
        await asyncio.sleep(0.5)
    raise AssertionError(f"not {status} but {found['status']}, {found['OS-EXT-STS:task_state']}")


async def enabled(real: Processes, host: str, status: str) -> None:
    services = (await real.as_admin("GET", "/os-services?binary=nova-compute")).json()["services"]
    (id,) = (service["id"] for service in services if service["host"] == host)
    answer = await real.as_admin("PUT", f"/os-services/{id}", json={"status": status})
    assert answer.status_code == 200, answer.text


async def test_a_resize_leaves_a_disabled_host_and_comes_back_whoever_dies(real: Processes) -> None:
    """Mechanisms: the claim of a migration on the host that is left (fence, verdict and audit know it), and steps that
    may be repeated."""
    server_id = await real.boot("mover")
    home = (await at_rest(real, server_id, "ACTIVE"))["OS-EXT-SRV-ATTR:host"]
    resize: dict[str, Any] = {"resize": {"flavorRef": LARGER}}
    await enabled(real, home, "disabled")
    try:
        for ending, points in (
            ("revertResize", ("leave_host.after", "upload_snapshot.after", "arrive.before", "come_back.after")),
            ("confirmResize", ("part_ports.before", "fetch_to_host.after", "arrive.after", "clean_up.before")),
        ):
            armed = real.fail_at(*points)
            moved = await act(real, server_id, resize, "VERIFY_RESIZE")
            assert moved["OS-EXT-SRV-ATTR:host"] != home and moved["flavor"]["original_name"] == LARGER
            assert (await real.told_of_leaks()).returncode == 0, "what a resize keeps is no leak"
            ended = await act(real, server_id, {ending: None}, "ACTIVE")
            assert not [point.name for point in armed if point.exists()], "each of them died"
            there = home if ending == "revertResize" else moved["OS-EXT-SRV-ATTR:host"]
            assert ended["OS-EXT-SRV-ATTR:host"] == there
            assert (ended["flavor"]["original_name"] == LARGER) == (ending == "confirmResize")
            assert (await real.told_of_leaks()).returncode == 0
        listed = (await real.as_admin("GET", f"/os-migrations?instance_uuid={server_id}")).json()["migrations"]
        assert [each["status"] for each in listed] == ["confirmed", "reverted"]
        assert {(each["source_compute"], each["dest_compute"]) for each in listed} == {(home, there)}
        assert (await real.ask("DELETE", f"/servers/{server_id}")).status_code == 204
    finally:
        await enabled(real, home, "enabled")
