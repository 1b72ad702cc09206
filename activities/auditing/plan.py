"""How the findings of one server are mended: the inputs of a repair's steps."""

from infra.contracts.audit import Finding, RepairPlan, Server
from infra.contracts.instance import DeletePlan
from infra.contracts.network import PortRequest, PortsOnHost
from infra.contracts.requests import DeleteRequest, Fault, Requester
from infra.contracts.states import DELETING, Lost, lost
from infra.contracts.volume import VolumeRequest

ON_HOST = ("domain", "disk", "host_port")
REPLUG = ("unplugged", "tap", "filter")
SYNC = ("filter", "dhcp_entry")
ENDED = "The operation on this server was ended from outside; what it had made is undone."


def plan(server: Server, findings: list[Finding]) -> RepairPlan:
    """Nothing that no finding names. Of a server whose operation is lost, no other step is needed: it is undone as a
    whole, or, once it ran, says again what it is, and the next audit finds what differs."""
    if any(finding.kind == "stuck" for finding in findings):
        gone = [finding for finding in findings if finding.kind == "stuck"]
        if lost(server.vm_state, server.task_state) is Lost.PUT_BACK:
            return RepairPlan(findings=gone, forget=gone)
        return RepairPlan(findings=gone, abandon=_abandon(server))
    return RepairPlan(
        findings=findings,
        clean=sorted({finding.host for finding in findings if finding.kind in ON_HOST}),
        release=_release(server, findings),
        images=[finding.what for finding in findings if finding.kind == "image"],
        forget=[finding for finding in findings if finding.kind in ("allocation", "console_token")],
        sync=sorted({finding.host for finding in findings if finding.kind in SYNC}),
        host=server.host,
        plug=_plug(server, sorted({finding.what for finding in findings if finding.kind in REPLUG})),
    )


def _release(server: Server, findings: list[Finding]) -> DeletePlan | None:
    ports = {finding.what: finding.kind == "port" for finding in findings if finding.kind in ("port", "binding")}
    volumes = [
        VolumeRequest(volume_id=finding.volume_id, attachment_id=finding.what)
        for finding in findings
        if finding.kind == "attachment"
    ]
    volumes += [
        VolumeRequest(volume_id=finding.what, attachment_id="", create=True)
        for finding in findings
        if finding.kind == "volume"
    ]
    if not ports and not volumes:
        return None
    return DeletePlan(instance_id=server.id, project_id=server.project_id, port_ids=ports, volumes=volumes, failed=True)


def _plug(server: Server, ports: list[str]) -> PortsOnHost | None:
    """As ports that exist: one that is gone in the network service is not made anew behind a running guest's back."""
    if not ports:
        return None
    return PortsOnHost(
        instance_id=server.id,
        project_id=server.project_id,
        hostname=server.hostname,
        ports=[PortRequest(port_id=port, mine=False) for port in ports],
        attempt=server.known.held.get(server.host, 0),
    )


def _abandon(server: Server) -> DeleteRequest:
    """A delete that was lost is done again; anything else leaves the record, in ERROR."""
    requester = Requester(token="", user_id=server.user_id, project_id=server.project_id, request_id=server.request_id)
    fault = None if server.task_state == DELETING else Fault(message=ENDED)
    return DeleteRequest(requester=requester, instance_id=server.id, keep_as=fault)
