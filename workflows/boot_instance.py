"""POST /servers as a durable workflow. `build` is the whole boot, top to bottom."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.identity import Identity, TokenRef
    from activities.image import Image
    from activities.instance import Instance
    from activities.network import Network
    from activities.placement import Placement
    from activities.services import Services
    from activities.volume import Volume
    from infra.contracts import patience
    from infra.contracts.instance import BuildDone, BuildFailed, InstanceRef
    from infra.contracts.network import Plugged
    from infra.contracts.step import Step
    from infra.contracts.volume import Attached

from workflows.attempt import Attempts, nothing
from workflows.build import Build
from workflows.inputs import (
    claim_request,
    disk_on_host,
    domain_spec,
    first_addresses,
    leftovers,
    named,
    ports_on_host,
    volumes_on_host,
)
from workflows.requests import Accepted, BootRequest, Fault
from workflows.saga import HERE, control, execute


@workflow.defn
class BootInstance(Build):
    counter = "kilonova_builds_total"

    def __init__(self) -> None:
        super().__init__()
        self.began = False
        self.attempt = 0  # its last claim's number, once it is known
        self.addresses: dict[str, str] = {}  # port id -> what it had, to be had again by a retry

    @workflow.run
    async def run(self, req: BootRequest) -> None:
        self.instance_id = req.instance_id
        await self.carry_out(self.build(req), timedelta(seconds=req.deadline_s), lambda fault: self.fail(req, fault))

    async def build(self, req: BootRequest) -> None:
        id = req.instance_id
        async with self.saga() as saga:
            await saga.step(
                Identity.validate_token,
                TokenRef(token=req.requester.token, project_id=req.requester.project_id),
                undo=None,  # reads only
            )
            await saga.step(
                Instance.create_record,
                req,
                undo=None,  # a failed boot stays visible, in ERROR: `fail` ends it
            )
            self.began = True
            if (theirs := named(req)) and workflow.patched("reserve-before-accepted"):
                await saga.step(
                    Services.reserve_named,
                    theirs,
                    undo=Services.release_services,
                    at=control(),
                )
            self.accept(Accepted(instance_id=id, admin_pass=req.admin_pass))
            async for attempt in Attempts(self, req):
                async with attempt as on_host:
                    wanted, self.attempt = claim_request(req, attempt.tried), 0
                    claim = await on_host.step(
                        Placement.claim_host,
                        wanted,
                        undo=Placement.release_host,
                    )
                    wanted.attempt = self.attempt = claim.attempt  # the undo releases this claim, and no later run's
                    host = attempt.move_to(claim.host)
                    flavor = await on_host.step(
                        Instance.fetch_flavor,
                        InstanceRef(instance_id=id),
                        undo=None,  # reads only
                    )
                    lays = disk_on_host(req, claim, flavor) if req.image_id else None
                    if lays and claim.has_image:  # no download to be watched: `spawn` makes the disk along
                        on_host.owes(Image.remove_disk, lays, host)
                    disk, plugged, attached = await on_host.together(
                        on_host.step(
                            Image.fetch_to_host,
                            lays,
                            undo=Image.remove_disk,
                            at=host,
                        )
                        if lays and not claim.has_image
                        else nothing(lays),
                        on_host.step(
                            Network.plug_ports,
                            ports_on_host(req, claim),
                            undo=Network.unplug_ports,
                            at=host,
                        )
                        if req.ports
                        else nothing(Plugged()),
                        on_host.step(
                            Volume.attach_volumes,
                            volumes_on_host(req, claim),
                            undo=Volume.detach_volumes,
                            at=host,
                        )
                        if req.volumes
                        else nothing(Attached()),
                    )
                    self.addresses = first_addresses(plugged)
                    spawned = await on_host.step(
                        Hypervisor.spawn,
                        domain_spec(req, claim, flavor, disk, plugged, attached),
                        undo=Hypervisor.destroy,
                        at=host,
                    )
                    await on_host.step(
                        Instance.mark_active,
                        BuildDone(
                            instance_id=id,
                            request_id=req.requester.request_id,
                            host=claim.host,
                            attempt=claim.attempt,
                            power_state=spawned.power_state,
                            vifs=plugged.vifs,
                            volumes=attached.volumes,
                            steps=self.log.report(),
                            tried=list(self.tried),
                        ),
                        undo=None,  # `fail` covers it
                    )

    async def fail(self, req: BootRequest, fault: Fault) -> None:
        """The one place where a build becomes ERROR, after everything else is undone."""
        if self.left_behind:
            freeing = self.log.begin("release_services", "", undo=True)
            try:
                await execute(
                    Services.release_services, leftovers(req), control(), freeing, within=patience.FOR_AN_UNDO
                )
                self.log.succeed(freeing, None)
            except FailureError as error:
                self.log.fail(freeing, error)
        failed = BuildFailed(
            instance_id=req.instance_id,
            request_id=req.requester.request_id,
            fault=fault,
            steps=self.log.report(),
            began=self.began,
            refused=not self.is_accepted and req.action == "create",
            addresses=self.addresses,
            attempt=self.attempt,
            tried=list(self.tried),
        )
        step = Step(event="fail_record", start_time=workflow.now())
        await execute(Instance.fail_record, failed, HERE, step)
