"""The domain itself: config drive, define, start, seen running (seed step 29)."""

from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.hypervisor import (
    ConsoleOutput,
    ConsoleOutputRequest,
    ConsoleTarget,
    DomainRef,
    DomainSpec,
    HostFacts,
    HostRef,
    InstanceRef,
    Spawned,
)

if TYPE_CHECKING:
    from infra.host.driver import Driver


class Hypervisor:
    """Runs on the queue of the chosen host."""

    def __init__(self, driver: "Driver") -> None:
        self._driver = driver

    @step
    def spawn(self, spec: DomainSpec) -> Spawned:
        """Make the config drive, define and start the domain, return once libvirt says that it runs.

        Idempotent: the instance id is the domain's UUID; defining again updates, and a domain that runs is left
        alone. Before the guest's first instruction the host checks that the claim (instance, attempt) is still its
        own. Raises Hopeless for a domain no host would accept, HostCannot when this one cannot start it."""
        return self._driver.spawn(spec, activity.heartbeat)

    @step
    def destroy(self, spec: DomainRef) -> None:
        """Undo of `spawn`: stop and undefine; console log, config drive and sockets go. Absent is success; the guest of
        a later attempt stays."""
        self._driver.destroy(spec.instance_id, spec.attempt)

    @step
    def console_output(self, want: ConsoleOutputRequest) -> ConsoleOutput:
        """The end of the guest's serial log, at most 100 KiB. Reads only."""
        return ConsoleOutput(text=self._driver.console_output(want.instance_id, want.length))

    @step
    def console_target(self, ref: InstanceRef) -> ConsoleTarget:
        """Where the guest's VNC server listens. Reads only; Hopeless (409) when the guest does not run."""
        return ConsoleTarget(target=self._driver.console_target(ref.instance_id))

    @step
    def host_facts(self, ref: HostRef) -> HostFacts:
        """What lies on this host, for the audit. Reads only."""
        return self._driver.facts()

    @step
    def clean_up(self, ref: InstanceRef) -> None:
        """Undo whatever one server left on this host: domain, ports, disk. Absent is success."""
        self._driver.clean_up(ref.instance_id)
