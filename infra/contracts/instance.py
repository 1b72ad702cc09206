"""Inputs and results of the record steps."""

from pydantic import BaseModel

from infra.contracts.network import Vif
from infra.contracts.requests import Fault
from infra.contracts.step import Step
from infra.contracts.volume import VolumeConnection, VolumeRequest


class InstanceRef(BaseModel):
    instance_id: str


class BuildDone(BaseModel):
    instance_id: str
    request_id: str
    host: str
    attempt: int
    power_state: int
    vifs: list[Vif]
    volumes: list[VolumeConnection]
    steps: list[Step]
    tried: list[str] = []  # hosts that could not


class BuildFailed(BaseModel):
    instance_id: str
    request_id: str
    fault: Fault
    steps: list[Step]
    refused: bool = False  # a new server's request was never accepted: there is no server
    began: bool = True  # whether this run wrote the record; else only one that never ran may be its own
    attempt: int = 0  # its last claim; 0 when it had none, or does not know
    addresses: dict[str, str] = {}  # port id -> the address it had, wanted again when the build runs again
    tried: list[str] = []  # hosts that could not


class ParkedAt(BaseModel):
    instance_id: str
    step: str
    reason: str


class DeletePlan(BaseModel):
    """What a server holds, as its record knows it. `host` is "" when it never had one, or lost it. `source`: the other
    host of a resize, which may keep what the server was before, or have what could not be undone; `moved_image` and
    `carried_image`: in which its disk went, and what lay beside it."""

    instance_id: str
    project_id: str = ""
    name: str = ""
    host: str = ""
    attempt: int = 0
    source: str = ""
    moved_image: str = ""
    carried_image: str = ""
    image_id: str = ""
    port_ids: dict[str, bool] = {}  # port id -> ours to delete
    volumes: list[VolumeRequest] = []
    found: bool = True
    shelved_image: str = ""  # what the server waits in while it is shelved
    softly: bool = False  # stop it, and keep all it holds
    in_use: bool = False  # the volumes that are reserved count as attached, though no host has them
    failed: bool = False  # a build that failed: volumes made for it go, whatever they say about termination


class RoomWanted(BaseModel):
    """A server that is to count again. `quota`: limits in force, instances, cores and ram; -1 is unlimited."""

    instance_id: str
    quota: dict[str, int] = {}


class Deleted(BaseModel):
    instance_id: str
    request_id: str
    steps: list[Step]
    softly: bool = False  # it can be restored
    fault: Fault | None = None  # keep the record, in ERROR, instead of deleting it
