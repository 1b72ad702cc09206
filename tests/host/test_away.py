"""Neighbours that do not answer: what waits for them says so, and what was not seen counts as not seen."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.looking import Looker
from activities.services import RESERVE_TRIES, Services
from infra.auditing.hosts import AuditedHosts
from infra.auditing.services import AuditedServices
from infra.contracts.errors import NeighbourAway
from infra.contracts.instance import DeletePlan
from infra.contracts.volume import VolumeMark
from infra.host.network.ports import PortPlugger
from infra.host.services.volumes import VolumeConnector
from infra.openstack import service_session
from infra.settings import Settings
from infra.stores.audited import AuditedRecords
from tests.host.cloud import Cloud, new_id

NOBODY = "127.0.0.1:9"


@pytest.fixture
def away(host: Settings) -> Settings:
    return host.model_copy(update={"auth_url": f"http://{NOBODY}/v3"})


def tried(times: int) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(environment.info, attempt=times)
    return environment


def test_who_waits_for_an_answer_gets_one_after_some_tries(away: Settings) -> None:
    """Mechanism: `answering`. A request is held by a reservation; an undo has nobody who waits, and tries on."""

    def services() -> Services:  # a session each: those of one wait for each other
        session = service_session(away)
        return Services(PortPlugger(away, session, None, fenced=False), VolumeConnector(away, session, fenced=False))

    mark = VolumeMark(instance_id=new_id(), volume_id=new_id(), goes=True, went=False)
    plan = DeletePlan(instance_id=mark.instance_id, project_id="p", port_ids={new_id(): True})
    waited: list[tuple[Callable[[Services, Any], None], Any]] = [
        (Services.reserve_named, plan),
        (Services.mark_volume, mark),
    ]

    def waits(times: int, step: Callable[[Services, Any], None], want: Any) -> None:
        with pytest.raises(NeighbourAway):
            tried(times).run(step.__get__(services()), want)

    def refused(step: Callable[[Services, Any], None], want: Any) -> None:
        with pytest.raises(ApplicationError) as error:
            tried(RESERVE_TRIES).run(step.__get__(services()), want)
        assert error.value.details == ({"code": 503},)

    with ThreadPoolExecutor() as pool:  # each try waits for seconds
        going = [pool.submit(waits, 1, *each) for each in waited] + [pool.submit(refused, *each) for each in waited]
        going.append(pool.submit(waits, RESERVE_TRIES, Services.unmark_volume, mark))
    for each in going:
        each.result()


async def test_what_does_not_answer_is_named_by_the_audit(cloud: Cloud, away: Settings) -> None:
    client = await Client.connect(NOBODY, lazy=True)
    services = AuditedServices(away, service_session(away))
    world = await Looker(AuditedRecords(cloud.compute), AuditedHosts(client, lambda: []), services).look()
    assert sorted(world.unreachable) == ["block-storage", "image", "network"]
    assert not world.has_ports and not world.has_volumes
