"""The same invariants with the records on PostgreSQL: production's shape of the store."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest

from infra.database import Database
from tests.frame import test_builds as builds
from tests.frame import test_places as places
from tests.frame.cloud import FrameCloud as Cloud
from tests.ports import free_offset
from tests.postgres import postgres

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("on_postgresql", "quick")]
INVARIANTS: dict[str, Callable[[Cloud], Awaitable[None]]] = {
    "a failure at any step unwinds": partial(
        builds.test_a_failure_at_any_step_unwinds, when="fail_before", run_twice=False
    ),
    "so does one where all is done twice": partial(
        builds.test_a_failure_at_any_step_unwinds, when="fail_before", run_twice=True
    ),
    "every step may run twice": builds.test_every_step_may_run_twice,
    "a delete at any step gets through": builds.test_a_delete_at_any_step_gets_through,
    "a host that cannot is left for the next": builds.test_a_host_that_cannot_is_left_for_the_next,
    "many at once keep apart": places.test_many_at_once_keep_apart,
}


@pytest.fixture(scope="module")
def on_postgresql(cloud: Cloud) -> Iterator[None]:
    """The cloud's records are there. Its workers go on: who has the store has its connections from now on."""
    store, went = vars(cloud.database), cloud.went
    was = dict(store)
    with postgres(5432 + free_offset()) as server:
        theirs = Database("compute", server.databases().format(service="compute"))
        theirs.migrate()
        store.update(vars(theirs))
        cloud.went = set()
        try:
            cloud.prepare()
            yield
        finally:
            store.update(was)
            cloud.went = went
            theirs.engine.dispose()


@pytest.mark.turns
@pytest.mark.parametrize("invariant", INVARIANTS)
async def test_holds(cloud: Cloud, invariant: str) -> None:
    assert cloud.database.engine.dialect.name == "postgresql"
    await INVARIANTS[invariant](cloud)
    with cloud.database.read() as session:
        assert "PostgreSQL" in str(session.connection().exec_driver_sql("SELECT version()").scalar())
