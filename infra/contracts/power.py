"""Inputs and results of the steps that switch a guest on and off. Each carries the claim's number, which the host asks
after before it acts."""

from pydantic import BaseModel

from infra.contracts.step import Done


class Guarded(BaseModel):
    """A step on the guest that claim `attempt` of this instance holds."""

    instance_id: str
    attempt: int


class PowerOff(Guarded):
    """`timeout_s`: how long the guest may take to shut itself down; None: the host's setting; 0: ended at once."""

    timeout_s: int | None = None


class PowerOn(Guarded):
    pass


class Reboot(Guarded):
    """`request_id` tells a repeat of this step from another reboot: the guest is rebooted once."""

    soft: bool
    request_id: str


class Power(Done):
    power_state: int  # in Nova's numbers
