"""Waiting for a build to be parked."""

from typing import Any

from temporalio.client import WorkflowHandle

from infra.tables.compute import Instance
from tests.resilience.processes import until
from tests.workflows.cloud import Cloud


async def parked(cloud: Cloud, boot: WorkflowHandle[Any, Any]) -> Instance:
    """The record, once it says that its build waits for a decision."""

    async def look() -> Instance | None:
        record = cloud.record(boot)
        return record if record and record.parked else None

    found: Instance = await until(look, 30)
    return found
