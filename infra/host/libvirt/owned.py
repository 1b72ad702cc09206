"""The second look at a guest of which an event tells: whose it is, by its owner tag, and what it is by now."""

from typing import Any

from infra.contracts.power_states import SHUTDOWN
from infra.host.libvirt.connection import Connection
from infra.host.libvirt.looks import find, marks_of, power_of


class Owned:
    def __init__(self, connection: Connection, host: str) -> None:
        self._libvirt, self._host = connection, host

    def state(self, instance_id: str) -> int | None:
        """Power state in Nova's numbers; None for a domain without this host's tag, which is none of ours. Of one that
        is gone, what libvirt says positively: nothing runs. Raises LibvirtDown: then nothing is known."""

        def work(connection: Any) -> int | None:
            domain = find(connection, instance_id)
            if domain is None:
                return SHUTDOWN
            marks = marks_of(domain)
            return power_of(domain) if marks is not None and marks[0] == self._host else None

        return self._libvirt.call(work)
