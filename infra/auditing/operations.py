"""The operations on servers as an audit sees them: whether one runs, and a repair as one of them; and hosts' own."""

import uuid
from datetime import timedelta

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import TemporalError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from infra import logs
from infra.contracts.audit import RepairReport, RepairRequest
from infra.contracts.hypervisor import HostRef
from infra.temporal import CONTROL_QUEUE, compute_queue, server_workflow_id

REPAIR = "RepairInstance"
AT_MOST = timedelta(minutes=30)
SYNC_AT_MOST = timedelta(minutes=2)
log = logs.get(__name__)


class ServerOperations:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def runs(self, instance_id: str) -> bool:
        """Whether an operation runs under the server's workflow id. When Temporal does not say: yes."""
        try:
            found = await self._client.get_workflow_handle(server_workflow_id(instance_id)).describe()
        except RPCError as error:
            return error.status != RPCStatusCode.NOT_FOUND
        return found.status == WorkflowExecutionStatus.RUNNING

    async def repair(self, want: RepairRequest) -> RepairReport:
        """Run RepairInstance under the server's own workflow id; nothing is done while another operation runs."""
        try:
            handle = await self._client.start_workflow(
                REPAIR,
                want,
                id=server_workflow_id(want.instance_id),
                task_queue=CONTROL_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                execution_timeout=AT_MOST,
                result_type=RepairReport,
                static_summary=f"repair {want.instance_id}",
            )
            done: RepairReport | None = await handle.result()
        except WorkflowAlreadyStartedError:
            return RepairReport()
        except (WorkflowFailureError, RPCError, TimeoutError) as error:
            log.warning("repair failed", instance_id=want.instance_id, error=str(error))
            return RepairReport()
        if done is None:  # a delete took over, which ends what was stuck
            ended = [each.model_copy(update={"repaired": True}) for each in want.findings if each.kind == "stuck"]
            return RepairReport(findings=ended)
        return done

    async def sync_network(self, host: str) -> None:
        """Have a host look after its own network now. One that does not answer does so when it is back."""
        try:
            await self._client.execute_activity(
                "sync_network",
                HostRef(host=host),
                id=f"audit-sync_network-{host}-{uuid.uuid4()}",
                task_queue=compute_queue(host),
                schedule_to_close_timeout=SYNC_AT_MOST,
            )
        except (TemporalError, RPCError) as error:
            log.warning("network not repaired", host=host, error=str(error))
