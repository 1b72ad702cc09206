"""What other services hold for a server, from the control worker's side."""

from datetime import timedelta
from typing import Any, cast

import pytest
from temporalio.testing import ActivityEnvironment

from activities.services import Services
from activities.step import step
from infra.contracts.instance import DeletePlan


def test_of_a_server_that_holds_nothing_no_service_is_asked() -> None:
    services, plan = Services(cast(Any, None), cast(Any, None)), DeletePlan(instance_id="i")
    for do in (services.reserve_named, services.release_services):
        ActivityEnvironment().run(do, plan)


def test_two_steps_of_one_name_would_be_taken_for_each_other() -> None:
    def spawn(_self: Any, _want: Any) -> None: ...

    with pytest.raises(ValueError, match="two steps are called spawn"):
        step(budget=timedelta(minutes=1))(spawn)
