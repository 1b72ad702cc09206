"""The agents within guests, asked through libvirt. Source: libvirt's virDomainSetUserPassword, FSFreeze and FSThaw."""

import contextlib
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import libvirt

from infra.host.libvirt.connection import Connection
from infra.host.libvirt.domain_xml import CHANNEL
from infra.host.libvirt.faults import is_missing, is_wrong_state

ANSWER_S = 20
"""An agent that takes a command and never ends it would hold libvirt's job on the guest for ever."""


class AgentAway(Exception):
    """No agent listens in the guest, or the guest does not run. The text names no secret."""


class AgentRefused(Exception):
    """The agent answered that it could not. Its words are not passed on: they may quote what it was given."""


class Agents:
    """All methods raise LibvirtDown as `Connection.call` does."""

    def __init__(self, connection: Connection) -> None:
        self._libvirt = connection

    def enabled(self, instance_id: str) -> bool:
        """Whether the guest, running or not, was given an agent's channel."""

        def work(connection: Any) -> bool:
            try:
                xml = connection.lookupByUUIDString(instance_id).XMLDesc(0)
            except libvirt.libvirtError as error:
                if is_missing(error):
                    return False
                raise
            return has_channel(xml)

        return self._libvirt.call(work)

    def set_password(self, instance_id: str, user: str, password: str) -> None:
        self._ask(instance_id, lambda domain: domain.setUserPassword(user, password, 0))

    def freeze(self, instance_id: str) -> None:
        """Have the guest write out and hold all its file systems."""
        self._ask(instance_id, lambda domain: domain.fsFreeze())

    def thaw(self, instance_id: str) -> None:
        """Let them go on; those that are not frozen are left alone."""
        self._ask(instance_id, lambda domain: domain.fsThaw())

    def _ask(self, instance_id: str, command: Callable[[Any], Any]) -> None:
        def work(connection: Any) -> None:
            domain = connection.lookupByUUIDString(instance_id)
            with contextlib.suppress(libvirt.libvirtError):  # the test driver has no such setting, and no agent
                domain.agentSetResponseTimeout(ANSWER_S)
            command(domain)

        try:
            self._libvirt.call(work, ANSWER_S + 15.0)
        except libvirt.libvirtError as error:
            code = error.get_error_code()
            if code == libvirt.VIR_ERR_AGENT_UNRESPONSIVE or is_wrong_state(error) or is_missing(error):
                raise AgentAway(f"no agent of guest {instance_id} answers (libvirt's error {code})") from None
            raise AgentRefused(f"the agent of guest {instance_id} could not (libvirt's error {code})") from None


def has_channel(xml: str) -> bool:
    path = f"./devices/channel/target[@name='{CHANNEL}']"
    return ElementTree.fromstring(xml).find(path) is not None  # noqa: S314 - libvirt wrote it
