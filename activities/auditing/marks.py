"""Kilonova's own mark: ids that follow from the server's by uuid5, or from it and a request. Nobody else makes such
ids, and nobody sets them by accident; what does not carry the mark is not Kilonova's, whatever else it says."""

from uuid import UUID, uuid5

from infra.contracts.audit import AttachmentSeen, PortSeen, VolumeSeen
from infra.contracts.volume import parted_id

AT_MOST = 64
"""Ports, attachments or volumes of one server."""


def follows(thing: str, instance_id: str, kind: str) -> bool:
    """Whether `thing` is uuid5(server, "<kind>/<n>") for one of the server's ports, attachments or volumes."""
    try:
        server, wanted = UUID(instance_id), UUID(thing)
    except ValueError:
        return False
    return wanted.version == 5 and any(uuid5(server, f"{kind}/{n}") == wanted for n in range(AT_MOST))


def made_port(id: str, seen: PortSeen) -> bool:
    """A network service that takes no chosen ids has ours as the port's name."""
    return follows(id, seen.device_id, "port") or follows(seen.name, seen.device_id, "port")


def bound_port(seen: PortSeen) -> bool:
    """A tenant's port that we bound says so in its binding profile, which tenants cannot write."""
    return bool(seen.mark) and seen.mark == seen.device_id


def made_attachment(id: str, seen: AttachmentSeen) -> bool:
    if seen.asked_for:
        return True
    try:
        return follows(id, seen.instance_id, "attachment") or id == parted_id(seen.instance_id, seen.volume_id)
    except ValueError:  # a server that is no UUID is none of ours
        return False


def made_volume(id: str, seen: VolumeSeen) -> bool:
    """Tenants can write a volume's metadata: the id must follow from the server's, too."""
    return follows(id, seen.made_for, "volume")
