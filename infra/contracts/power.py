"""Inputs and results of the steps that switch a guest on and off. Each carries the claim's number, which the host asks
after before it acts."""

from infra.contracts.guarded import Guarded
from infra.contracts.hypervisor import DomainSpec
from infra.contracts.step import Done


class PowerOff(Guarded):
    """`timeout_s`: how long the guest may take to shut itself down; None: the host's setting; 0: ended at once.
    `comes_back`: it is started again, now or when what follows fails, so that it is not ended where it could not be."""

    timeout_s: int | None = None
    comes_back: bool = False


class PowerOn(Guarded):
    """`spec`: what the records say of the guest, which is made anew by them first. `old_drive`: they say that what its
    config drive tells of its ports is not so any more."""

    old_drive: bool = False
    spec: DomainSpec | None = None


class Reboot(Guarded):
    """`request_id` tells a repeat of this step from another reboot: once for each. `spec`: as in PowerOn."""

    soft: bool
    request_id: str
    spec: DomainSpec | None = None


class Power(Done):
    power_state: int  # in Nova's numbers
    lacking: str = ""  # why the guest could not be started as its host keeps it
