"""Inputs and results of the domain steps."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

from infra.contracts.guarded import Guarded
from infra.contracts.image import DiskOnHost, ImageOnHost
from infra.contracts.injected_files import InjectedFile
from infra.contracts.local_disks import LocalDisk
from infra.contracts.network import Vif
from infra.contracts.step import Done
from infra.contracts.volume import VolumeConnection
from infra.hostnet.models import HostNetInventory


class FlavorFacts(BaseModel):
    """Memory and swap in MiB, disks in GiB."""

    id: str
    name: str
    vcpus: int
    ram: int
    disk: int = 0
    ephemeral: int = 0
    swap: int = 0
    extra_specs: dict[str, str] = {}


def local_gb(root_gb: int, flavor: Mapping[str, Any], image_ref: str | None) -> int:
    """What a server takes of its host's disk, in GiB; the root disk of one that boots from a volume, which is known by
    no image, is on no host. Source: Nova's DISK_GB."""
    return (root_gb if image_ref else 0) + int(flavor.get("ephemeral", 0)) + -(-int(flavor.get("swap", 0)) // 1024)


class GuestConfig(BaseModel):
    """What the config drive tells the guest. Secrets: the payload that carries it is encrypted in the history."""

    hostname: str
    admin_pass: str | None = None
    user_data: str | None = None  # base64, as the API got it
    injected_files: list[InjectedFile] = []
    key_name: str | None = None
    public_key: str | None = None
    metadata: dict[str, str] = {}
    availability_zone: str = "nova"
    launch_index: int = 0
    project_id: str = ""


class DomainRef(BaseModel):
    instance_id: str  # also the domain's UUID
    attempt: int = 0  # an undo leaves the guest of a later attempt alone; 0: whichever


class DomainSpec(DomainRef):
    attempt: int  # of the claim: the host checks that it still holds this one before the guest runs
    name: str
    project_id: str
    user_id: str
    flavor: FlavorFacts
    image_id: str = ""
    image_properties: dict[str, str] = {}
    disk: DiskOnHost | None = None  # None: boots from a volume
    lays: ImageOnHost | None = None  # that disk, where no step before has made it: the host has its image already
    local_disks: list[LocalDisk] = []
    vifs: list[Vif] = []
    volumes: list[VolumeConnection] = []
    guest: GuestConfig


class Spawned(Done):
    power_state: int = 1
    virt_type: str = ""


class InstanceRef(BaseModel):
    instance_id: str


class HostRef(BaseModel):
    host: str


class ConsoleOutputRequest(BaseModel):
    instance_id: str
    length: int | None = None  # lines from the end; None is the whole log


class ConsoleOutput(BaseModel):
    text: str = ""


class ConsoleRequest(BaseModel):
    instance_id: str
    kind: Literal["vnc", "serial"] = "vnc"


class ConsoleTarget(BaseModel):
    target: str  # host:port, or unix_socket:PATH


class HostFacts(BaseModel):
    """What lies on a host, by server id: domains with their power state, directories, plugged ports.

    `attempts`: of the claim that made each domain. `plugs`: whether the host plugs ports itself; only then the rest
    says anything: interface names in `taps` and `filters`, `dhcp`: ids of networks whose DHCP server runs, `answered`:
    ports that it answers, `served`: network id → ports that it has to answer, `network`: the rest of it."""

    host: str
    domains: dict[str, int] = {}
    attempts: dict[str, int] = {}
    waiting: dict[str, list[str]] = {}  # guests that are paused until a disk answers, with devices
    instance_dirs: list[str] = []
    left: dict[str, dict[str, str]] = {}  # see `contracts.left`
    ports: dict[str, str] = {}  # port id -> server id
    plugs: bool = False
    taps: list[str] = []
    filters: list[str] = []
    dhcp: list[str] = []
    answered: list[str] = []
    served: dict[str, list[str]] = {}
    network: HostNetInventory | None = None


class NicsOnHost(BaseModel):
    """Interfaces that a running guest is to have."""

    instance_id: str
    vifs: list[Vif]


class NicOnGuest(Guarded):
    """One plugged port, and the guest that is to have it, or not to have it any more. `anew`: it is given by this very
    operation; should that be undone the port goes, and a guest that keeps it does not start with it again."""

    vif: Vif
    anew: bool = False
