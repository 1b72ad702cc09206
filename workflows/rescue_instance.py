"""rescue: the guest boots from another image, with its own disks beside it, until it is unrescued."""

from typing import ClassVar, Literal

from pydantic import BaseModel
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.aside import Kept
    from activities.instance import Instance
    from activities.rescue import Rescue
    from infra.contracts.aside import Aside
    from infra.contracts.image import DiskOnHost
    from infra.contracts.instance import InstanceRef
    from infra.contracts.network import networks_now
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.power_states import RUNNING
    from infra.contracts.rescue import RescueDisk, RescueGuest

from workflows.body import Body
from workflows.fields import ImageRef
from workflows.from_records import connected
from workflows.inputs import domain_of
from workflows.requests import Accepted
from workflows.saga import Saga
from workflows.server_operation import ServerOperation


class RescueBody(Body):
    """Source: Compute API reference, "Rescue Server"."""

    may_be_null: ClassVar = True

    adminPass: str = ""
    rescue_image_ref: ImageRef = ""


class Rescuing(BaseModel):
    """A checked rescue. `device`: "" or, for a stable device rescue, what the image is to be to the guest."""

    image_id: str
    admin_pass: str
    device: Literal["", "disk", "cdrom"] = ""
    bus: str = "virtio"


@workflow.defn
class RescueInstance(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.rescue)

    @classmethod
    def answer(cls, req: ActionRequest, server: InstanceFacts) -> Accepted:
        wish = Rescuing.model_validate(req.body)
        return Accepted(instance_id=req.instance_id, admin_pass=wish.admin_pass)

    async def rescue(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        wish, host = Rescuing.model_validate(req.body), self.host_of(server)
        known = await saga.step(
            Instance.fetch_guest,
            InstanceRef(instance_id=server.instance_id),
            undo=None,  # reads only
        )
        await saga.step(
            Rescue.fetch_rescue_disk,
            RescueDisk(
                instance_id=server.instance_id,
                attempt=server.attempt,
                image_id=wish.image_id,
                request_id=req.requester.request_id,
                trusted=server.trusted,
            ),
            undo=Rescue.remove_rescue_disk,
            at=host,
        )
        await saga.step(
            Kept.set_aside,
            kept_for_rescue(server, runs=server.power_state == RUNNING),
            undo=Kept.bring_back,
            at=host,
        )
        told = {port["port_id"]: port.get("told") for port in server.networks}
        plugged, attached = await connected(server, host, saga)
        guest = known.model_copy(update={"admin_pass": wish.admin_pass})
        booted = await saga.step(
            Rescue.boot_rescue,
            RescueGuest(
                instance_id=server.instance_id,
                attempt=server.attempt,
                spec=domain_of(server, guest, DiskOnHost(), plugged, attached),
                device=wish.device,
                bus=wish.bus,
            ),
            undo=None,  # `bring_back` ends it
            at=host,
        )
        return InstanceChange(
            vm_state="rescued",
            power_state=booted.power_state,
            networks=[
                port | {"told": told[port["port_id"]]}  # the drive that an unrescue brings back
                for port in networks_now(server.networks, plugged.vifs)
            ],
        )


def kept_for_rescue(server: InstanceFacts, *, runs: bool) -> Aside:
    """The guest as it was. Not under a request's id: a server is rescued once at a time, and a rescue that could not
    be undone must not have the next one keep what it left."""
    return Aside(
        instance_id=server.instance_id,
        attempt=server.attempt,
        label="rescue",
        request_id=server.instance_id,
        disk="left",
        runs=runs,
    )
