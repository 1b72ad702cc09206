"""The domain itself: config drive, define, start, seen running (seed step 29)."""

from typing import TYPE_CHECKING

from pydantic import BaseModel
from temporalio import activity

from activities.image import DiskOnHost
from activities.network import Vif
from activities.step import Done
from activities.volume import VolumeConnection

if TYPE_CHECKING:
    from infra.hypervisor.driver import Driver


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


class GuestConfig(BaseModel):
    """What the config drive tells the guest. Secrets: the payload that carries it is encrypted in the history."""

    hostname: str
    admin_pass: str | None = None
    user_data: str | None = None  # base64, as the API got it
    key_name: str | None = None
    public_key: str | None = None
    metadata: dict[str, str] = {}
    availability_zone: str = "nova"
    launch_index: int = 0
    project_id: str = ""


class DomainRef(BaseModel):
    instance_id: str  # also the domain's UUID


class DomainSpec(DomainRef):
    attempt: int  # of the claim: the host checks that it still holds this one before the guest runs
    name: str
    project_id: str
    user_id: str
    flavor: FlavorFacts
    image_id: str = ""
    disk: DiskOnHost | None = None  # None: boots from a volume
    vifs: list[Vif] = []
    volumes: list[VolumeConnection] = []
    guest: GuestConfig


class Spawned(Done):
    power_state: int = 1
    virt_type: str = ""


class Hypervisor:
    """Runs on the queue of the chosen host."""

    def __init__(self, driver: "Driver") -> None:
        self._driver = driver

    @activity.defn
    def spawn(self, spec: DomainSpec) -> Spawned:
        """Make the config drive, define and start the domain, return once libvirt says that it runs.

        Idempotent: the instance id is the domain's UUID; defining again updates, and a domain that runs is left
        alone. Before the guest's first instruction the host checks that the claim (instance, attempt) is still its
        own. Raises Hopeless for a domain no host would accept, HostCannot when this one cannot start it."""
        return self._driver.spawn(spec, activity.heartbeat)

    @activity.defn
    def destroy(self, spec: DomainRef) -> None:
        """Undo of `spawn`: stop and undefine; console log, config drive and sockets go. Absent is success."""
        self._driver.destroy(spec.instance_id)
