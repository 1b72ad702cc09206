"""A guest's vCPUs, memory and disk. Runs on the queue of its host."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.power import Power
from infra.contracts.resize import ShapeOnHost

if TYPE_CHECKING:
    from infra.host.shapes import Shapes


class Shape:
    def __init__(self, shapes: "Shapes") -> None:
        self._shapes = shapes

    @step(resource="domain", budget=timedelta(minutes=30))
    def reshape(self, want: ShapeOnHost) -> None:
        """Give the guest, which is off, the flavor's vCPUs and memory, and a disk of at least its size.

        Safe to repeat. Raises HostCannot when this host has lost the server."""
        self._shapes.change(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=1))
    def check_shape(self, want: ShapeOnHost) -> Power:
        """Whether the guest runs. Reads only; Hopeless (409) when its definition is not of this flavor."""
        return self._shapes.check(want)
