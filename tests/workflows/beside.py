"""A second cloud on the same services, in a Temporal namespace of its own: its workers never meet the session's."""

import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from api.compute.operations import Operations
from infra.temporal import connect
from tests.workflows.cloud import Cloud
from workers.processes import SEARCH_ATTRIBUTES


@asynccontextmanager
async def beside(cloud: Cloud, namespace: str, *, metrics_port: int | None = None) -> AsyncIterator[Cloud]:
    """The same services and hosts, seen through another namespace: its queues are its own."""
    with_own = cloud.settings.model_copy(update={"temporal_namespace": namespace})
    await _make(cloud.client, namespace)
    other = copy.copy(cloud)
    other.settings, other.client = with_own, await connect(with_own, metrics_port=metrics_port)
    other.ops = Operations(other.client, with_own, cloud.database)
    yield other


async def _make(client: Client, namespace: str) -> None:
    wanted = RegisterNamespaceRequest(namespace=namespace)
    wanted.workflow_execution_retention_period.FromTimedelta(timedelta(days=1))
    await client.workflow_service.register_namespace(wanted)
    kinds = dict.fromkeys(SEARCH_ATTRIBUTES, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
    while True:  # the namespace is known everywhere a moment later
        try:
            asked = AddSearchAttributesRequest(search_attributes=kinds, namespace=namespace)
            await client.operator_service.add_search_attributes(asked)
            return
        except RPCError as error:
            if "not found" not in str(error).lower():
                raise
