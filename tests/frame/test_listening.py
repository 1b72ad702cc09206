"""A host is silent only to an API that listens: what nobody could hear ends no build and refuses none."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, update
from sqlmodel import col

from activities.scheduling.liveness import is_up
from infra.contracts.placement import Ear
from infra.database import Database
from infra.stores.listening import LISTENER, ears, listen
from infra.tables.compute import Service, now
from tests.frame.cloud import FrameCloud
from tests.frame.test_outages import TWO_LOOKS_S
from tests.workflows.servers import HOSTS

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATIENCE = timedelta(seconds=60)
NOON = datetime(2026, 11, 27, 12)


@contextmanager
def an_api_that_listens(database: Database, since: datetime) -> Iterator[None]:
    """On a machine of its own."""
    with database.transaction() as store:
        listen(store, "edge", PATIENCE)
        store.execute(update(Service).where(col(Service.binary) == LISTENER).values(updated_at=since))
    try:
        yield
    finally:
        with database.transaction() as store:
            store.execute(delete(Service).where(col(Service.binary) == LISTENER))


async def test_no_host_is_given_up_and_none_refused_before_the_api_could_hear_it(cloud: FrameCloud) -> None:
    boot = await cloud.boot(hold="spawn")
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    before = cloud.claim(boot)
    with an_api_that_listens(cloud.database, since=now()):
        cloud.silence(*HOSTS)
        await asyncio.sleep(TWO_LOOKS_S)
        cloud.faults.hold = None
        cloud.faults.release.set()
        assert await cloud.end(boot) is None
        assert cloud.claim(boot) == before, "the same attempt"
        another = await cloud.boot()
        assert await cloud.end(another) is None
    with an_api_that_listens(cloud.database, since=now() - timedelta(days=1)):
        refused = await cloud.boot()
        assert "ComputeFilter: 0" in str(await cloud.end(refused))


def seen(seconds: float) -> Service:
    return Service(id="s", binary="nova-compute", host="h", last_seen=NOON + timedelta(seconds=seconds))


def ear(since: float, until: float) -> Ear:
    return Ear(NOON + timedelta(seconds=since), NOON + timedelta(seconds=until))


@pytest.mark.parametrize(
    ("last", "heard", "up"),
    [
        (-59, [], True),
        (-61, [], False),
        (-61, [ear(-900, 0)], False),  # it listened all the time
        (-61, [ear(-59, 0)], True),  # it came back since
        (-900, [ear(-59, 0)], True),
        (-900, [ear(-61, 0)], False),  # and waited long enough
        (-900, [ear(-1800, -850)], True),  # it is away itself
        (-900, [ear(-1800, -830)], False),  # it heard the silence before it went
        (-900, [ear(-1800, -850), ear(-900, 0)], False),  # one machine's is away, another's listens
        (-900, [ear(-1800, -850), ear(-10, 0)], True),
    ],
)
async def test_only_a_silence_that_was_heard_counts(last: float, heard: list[Ear], up: bool) -> None:
    assert is_up(seen(last), NOON, PATIENCE, heard) is up
    assert not is_up(Service(id="s", binary="b", host="h"), NOON, PATIENCE, heard), "it never reported"


async def test_an_api_that_was_away_listens_anew_and_one_that_was_not_listens_on(cloud: FrameCloud) -> None:
    cloud.silence(*HOSTS)
    begun = now()
    with an_api_that_listens(cloud.database, since=begun - timedelta(days=1)):
        with cloud.database.transaction() as store:
            listen(store, "edge", PATIENCE)
            (on,) = ears(store)
            store.execute(update(Service).where(col(Service.host) == "edge").values(last_seen=begun - 2 * PATIENCE))
            listen(store, "edge", PATIENCE)
            (anew,) = ears(store)
        assert on.since < begun <= on.until
        assert anew.since == anew.until >= on.until


async def test_an_api_without_notes_that_took_a_report_since_is_believed(cloud: FrameCloud) -> None:
    """One of an older release: hosts are silent by its reports alone, as ever."""
    cloud.silence(*HOSTS)
    with an_api_that_listens(cloud.database, since=now()), cloud.database.transaction() as store:
        assert len(ears(store)) == 1
        later = now() + timedelta(minutes=5)
        store.execute(update(Service).where(col(Service.host) == HOSTS[0]).values(last_seen=later))
        assert ears(store) == ()
