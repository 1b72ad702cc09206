"""What an audit is asked for, what it looks at, and what it finds."""

from dataclasses import dataclass, field

from pydantic import BaseModel

from infra.contracts.hypervisor import HostFacts
from infra.contracts.instance import DeletePlan
from infra.contracts.left import Standing
from infra.contracts.network import PortsOnHost
from infra.contracts.requests import DeleteRequest
from infra.contracts.states import at_rest
from infra.contracts.verdict import Known
from infra.hostnet.topology import Topology

RESIZE = "resize"
"""What a finding of an allocation names that a resize holds beside the server's own."""


class AuditRequest(BaseModel):
    repair: bool = False


class Finding(BaseModel):
    """One disagreement. `kind` is a short fixed name (metrics count by it). `proof` says what was established before
    anything may be repaired; without it the finding is only told. `repaired`: it is mended."""

    kind: str
    instance_id: str
    host: str = ""
    what: str = ""  # id of the leaked or missing thing
    problem: str = ""  # with it, of a host's network: missing, too many, out of date
    volume_id: str = ""  # of an attachment
    proof: str = ""
    repaired: bool = False

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        return self.kind, self.instance_id, self.host, self.what, self.problem


class AuditReport(BaseModel):
    """`counts` and `repaired` are by kind and complete; `findings` are the first of them, the log has them all."""

    counts: dict[str, int] = {}
    repaired: dict[str, int] = {}
    findings: list[Finding] = []
    unreachable: list[str] = []  # hosts that did not answer, so that nothing is known about them
    instances: int = 0  # records looked at

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def left(self) -> int:
        return self.total - sum(self.repaired.values())


class RepairRequest(BaseModel):
    """What an audit found of one server, to be looked at again under the server's workflow id."""

    instance_id: str
    findings: list[Finding] = []

    @property
    def hosts(self) -> set[str]:
        return {host for finding in self.findings for host in finding.host.split(",") if host}

    def things(self, kind: str) -> list[str]:
        return [finding.what for finding in self.findings if finding.kind == kind]


class RepairReport(BaseModel):
    """What a look under the server's own workflow id found, and what of it is mended."""

    findings: list[Finding] = []


class RepairPlan(BaseModel):
    """What that look found, and the inputs of the steps that mend it; a step whose input is missing is not needed."""

    findings: list[Finding] = []
    clean: list[str] = []  # hosts on which all that the server left is undone
    release: DeletePlan | None = None  # ports, attachments and volumes to give back
    forget: list[Finding] = []  # claims and console tokens; what a record says is being done, and nothing does
    images: list[str] = []  # to be deleted
    sync: list[str] = []  # hosts that look after their network again
    host: str = ""  # of the running guest
    plug: PortsOnHost | None = None  # ports to be plugged again on that host
    abandon: DeleteRequest | None = None  # its operation is lost: undo everything, keep the record in ERROR


@dataclass(frozen=True, slots=True)
class PortHeld:
    """A port as a server's record has it."""

    port_id: str
    network_id: str
    addresses: tuple[str, ...]


@dataclass(slots=True)
class Server:
    """What an audit reads of a record: no request, no secret."""

    id: str
    project_id: str
    user_id: str
    request_id: str
    hostname: str
    vm_state: str
    task_state: str | None
    host: str
    known: Known
    ports: tuple[PortHeld, ...] = ()
    attachments: tuple[tuple[str, str], ...] = ()  # (attachment id, volume id)
    resize_on: str = ""  # host on which a resize holds the flavor that was

    @property
    def awaits(self) -> bool:
        """Whether a resize of it may still be confirmed or reverted."""
        return self.busy or self.vm_state == "resized"

    @property
    def busy(self) -> bool:
        """Its workflow answers for it; without one it is stuck."""
        return not self.known.deleted and not at_rest(self.vm_state, self.task_state)

    @property
    def shelved(self) -> bool:
        return not self.known.deleted and self.vm_state in ("shelved", "shelved_offloaded")

    @property
    def keeps(self) -> bool:
        """Whether anything may hang on it: it runs, ran, or is about to. A build that failed gave all of it back."""
        return not self.known.deleted and (self.vm_state != "error" or self.known.launched)


@dataclass(frozen=True, slots=True)
class PortSeen:
    """A server's port in the network service. `mark`: the server for which we bound it, by its binding profile."""

    device_id: str
    host: str = ""
    name: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class AttachmentSeen:
    """`asked_for`: its id follows from a request to attach the volume, as the server's record has it."""

    instance_id: str
    volume_id: str
    asked_for: bool = False


@dataclass(frozen=True, slots=True)
class VolumeSeen:
    """A volume that nothing uses, with what its metadata say: the server for which a build made it, and whether it is
    to go with that server."""

    made_for: str
    goes_with_it: bool


@dataclass
class World:
    """One look at everything, or (`only`) at what concerns one server. `hosts`: those that answered."""

    servers: dict[str, Server] = field(default_factory=dict)  # live ones, and the deleted that something hangs on
    claims: dict[str, Known] = field(default_factory=dict)  # of ids without a record
    hosts: dict[str, HostFacts] = field(default_factory=dict)
    unreachable: list[str] = field(default_factory=list)
    ports: dict[str, PortSeen] = field(default_factory=dict)
    attachments: dict[str, AttachmentSeen] = field(default_factory=dict)
    volumes: dict[str, VolumeSeen] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)  # made to shelve a server → that server
    consoles: set[str] = field(default_factory=set)  # ids of servers with a console token
    left: dict[str, dict[str, Standing]] = field(default_factory=dict)  # host → server → what operations left there
    told: dict[str, Topology] = field(default_factory=dict)  # host → what the network service told it
    has_ports: bool = False  # the network service answered: only then an absence means anything
    has_volumes: bool = False  # so did the volume service
    only: str = ""

    @property
    def live(self) -> dict[str, Server]:
        return {id: server for id, server in self.servers.items() if not server.known.deleted}

    def known(self, instance_id: str) -> Known | None:
        server = self.servers.get(instance_id)
        return server.known if server else self.claims.get(instance_id)
