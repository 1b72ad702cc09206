"""Inputs and results of the scheduling steps."""

from pydantic import BaseModel


class ClaimRequest(BaseModel):
    instance_id: str
    zone: str | None = None
    forced_host: str | None = None  # skips the filters
    requested_host: str | None = None
    same_host: list[str] = []  # servers, as in BootRequest
    different_host: list[str] = []
    tried: dict[str, str] = {}  # hosts that could not, and why


class Claimed(BaseModel):
    host: str
    zone: str = "nova"
    attempt: int  # grows with every new claim of this instance; the host checks it before the guest runs


class HostRef(BaseModel):
    host: str
