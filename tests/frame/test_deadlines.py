"""By when an operation is to be over is told with its first step, while it runs and afterwards."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import col, select

from infra.contracts.step import DEADLINE
from infra.tables.compute import ActionEvent
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.test_actions import drop
from tests.workflows.acting import do, server
from tests.workflows.servers import instance_of
from workflows.operation import Operation

pytestmark = pytest.mark.asyncio(loop_scope="session")


def events(cloud: Cloud, instance_id: str) -> list[ActionEvent]:
    with cloud.database.read() as session:
        mine = select(ActionEvent).where(col(ActionEvent.instance_id) == instance_id).order_by(col(ActionEvent.id))
        return list(session.exec(mine).all())


def moment(details: str | None) -> datetime:
    assert details is not None and details.startswith(DEADLINE)
    return datetime.fromisoformat(details.removeprefix(DEADLINE))


async def test_a_build_s(cloud: Cloud) -> None:
    boot = await cloud.boot(cloud.request(deadline_s=1234), hold="spawn")
    await cloud.faults.held.wait()
    first, *others = await boot.query(Operation.steps)
    left = moment(first.details) - datetime.now(UTC)
    assert timedelta(seconds=1100) < left <= timedelta(seconds=1234)
    assert [step.details for step in others if step.details] == []
    cloud.faults.release.set()
    assert await cloud.end(boot) is None
    kept = [event for event in events(cloud, instance_of(boot)) if event.details]
    assert [(event.event, event.details) for event in kept] == [(first.event, first.details)]
    await drop(cloud, boot)


async def test_an_action_s(cloud: Cloud) -> None:
    handle = await server(cloud, "os-stop")
    before = len(events(cloud, instance_of(handle)))
    assert await do(cloud, handle, "os-stop") is None
    told = events(cloud, instance_of(handle))[before:]
    assert [event.event for event in told if event.details] == ["begin_action"]
    assert moment(next(event.details for event in told if event.details)) > datetime.now(UTC)
    await drop(cloud, handle)
