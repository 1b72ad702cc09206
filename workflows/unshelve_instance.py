"""unshelve: a shelved server starts where it is; one that left its host is made again, on whichever has room."""

from typing import Annotated, ClassVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.image_record import ImageRecord
    from activities.instance import Instance
    from activities.placement import Placement
    from infra.contracts.errors import HOST_CANNOT
    from infra.contracts.instance import InstanceRef
    from infra.contracts.network import networks_now
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.placement import ClaimRequest
    from infra.contracts.power import PowerOff
    from infra.contracts.snapshot import ImageRef

from workflows.arriving import MOST_HOSTS, brought
from workflows.body import Body, Since
from workflows.fields import Name
from workflows.inputs import domain_of
from workflows.saga import Saga, control, kind
from workflows.server_operation import ServerOperation
from workflows.steps import explain
from workflows.volume_device import with_devices


class UnshelveBody(Body):
    """Source: Compute API reference, "Unshelve (Restore) Shelved Server"."""

    may_be_null: ClassVar = True

    availability_zone: Annotated[Name | None, Since(77)] = None
    host: Annotated[Name, Since(91)] = ""


class Unshelving(BaseModel):
    """A checked unshelve. `zone`: to which the scheduler keeps. `columns`: what changes of the server's own zone."""

    zone: str | None = None
    host: str | None = None
    columns: dict[str, str | None] = {}
    same_host: list[str] = []  # as in BootRequest
    different_host: list[str] = []


@workflow.defn
class UnshelveInstance(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.unshelve)

    async def unshelve(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        change = await (self.start(server, saga) if server.vm_state == "shelved" else self.make(req, server, saga))
        if server.shelved_image:
            image = ImageRef(image_id=server.shelved_image, instance_id=server.instance_id)
            self.afterwards(ImageRecord.drop_image, image, control())
        return change

    async def start(self, server: InstanceFacts, saga: Saga) -> InstanceChange:
        started = await saga.step(
            Hypervisor.power_on,
            PowerOff(instance_id=server.instance_id, attempt=server.attempt, timeout_s=0),
            undo=Hypervisor.power_off,
            at=self.host_of(server),
        )
        return InstanceChange(vm_state="active", power_state=started.power_state)

    async def make(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        """On the first host that can: what another one could not is undone there first, as a build's attempt is."""
        tried: dict[str, str] = {}
        named = with_devices(server)
        if changed := named != server.volumes:
            server = server.model_copy(update={"volumes": named})
        while True:
            attempt = self.saga()
            try:
                async with attempt:
                    change = await self.make_on_one(req, server, attempt, tried)
            except FailureError as error:
                done = kind(error) != HOST_CANNOT or len(tried) == MOST_HOSTS - 1 or self.interrupted() or attempt.left
                if done or self.place is None or not workflow.patched("unshelve-alternates"):
                    raise
                tried[self.place.host], self.place = explain(error), None
                continue
            saga.adopt(attempt)
            return change.model_copy(update={"volumes": named}) if changed else change

    async def make_on_one(
        self, req: ActionRequest, server: InstanceFacts, saga: Saga, tried: dict[str, str]
    ) -> InstanceChange:
        wish, id = Unshelving.model_validate(req.body), server.instance_id
        wanted = ClaimRequest(
            instance_id=id,
            zone=wish.zone,
            requested_host=wish.host,
            same_host=wish.same_host,
            different_host=wish.different_host,
            tried=dict(tried),
        )
        claim = await saga.step(
            Placement.claim_host,
            wanted,
            undo=Placement.release_host,
        )
        wanted.attempt = claim.attempt  # the undo releases this claim, and no later one
        there = {"host": claim.host, "attempt": claim.attempt, "zone": claim.zone}
        server = server.model_copy(update=there)
        host = self.host_of(server)
        guest = await saga.step(
            Instance.fetch_guest,
            InstanceRef(instance_id=id),
            undo=None,  # reads only
        )
        disk, plugged, attached = await brought(server, server.shelved_image, host, saga)
        spawned = await saga.step(
            Hypervisor.spawn,
            domain_of(server, guest, disk, plugged, attached),
            undo=Hypervisor.destroy,
            at=host,
        )
        return InstanceChange(
            vm_state="active",
            power_state=spawned.power_state,
            networks=networks_now(server.networks, plugged.vifs),
            cleared=[name for name, value in wish.columns.items() if value is None],
            **{name: value for name, value in wish.columns.items() if value is not None},
        )
