"""What other services hold for a server, from the control worker's side."""

from typing import Any, cast

from temporalio.testing import ActivityEnvironment

from activities.services import Services
from infra.contracts.instance import DeletePlan


def test_of_a_server_that_holds_nothing_no_service_is_asked() -> None:
    services, plan = Services(cast(Any, None), cast(Any, None)), DeletePlan(instance_id="i")
    for do in (services.reserve_named, services.release_services):
        ActivityEnvironment().run(do, plan)
