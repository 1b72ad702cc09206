"""Rows of the table of actions: what is put into a server or taken out, and what its ports and volumes are told."""

from datetime import timedelta

from infra.contracts.operation import Transition
from infra.contracts.states import RESTING, SOFT_DELETED
from workflows.action import Action
from workflows.add_security_group import AddSecurityGroup
from workflows.attach_interface import AttachInterface, AttachInterfaceBody
from workflows.attach_volume import AttachVolume, AttachVolumeBody
from workflows.changing_groups import GroupBody
from workflows.detach_interface import DetachInterface, DetachInterfaceBody
from workflows.detach_volume import DetachVolume, DetachVolumeBody
from workflows.extend_volume import ExtendVolume, ExtendVolumeBody
from workflows.refresh_network import RefreshNetwork
from workflows.remove_security_group import RemoveSecurityGroup
from workflows.swap_volume import SwapVolume, SwapVolumeBody
from workflows.update_attachment import UpdateAttachment, UpdateAttachmentBody

PLUGGABLE = frozenset(("active", "paused", "stopped"))
"""vm_states of a server whose guest can be given a device, or has to give one back."""
HELD = frozenset(("resized", SOFT_DELETED, "shelved", "shelved_offloaded"))
"""Its volumes can be changed, too: it has them, or starts with them, whatever becomes of it."""
EXISTING = frozenset(RESTING) - {"deleted"}

DEVICES = (
    Action(
        "attach_volume",
        "os-volumes-attachments:create",
        AttachVolume,
        Transition(
            event="attach_volume",
            verb="attach_volume",
            allowed=PLUGGABLE | HELD,
            doing="attaching",
            without_host=True,
        ),
        body=AttachVolumeBody,
        route="POST /servers/{server_id}/os-volume_attachments",
    ),
    Action(
        "detach_volume",
        "os-volumes-attachments:delete",
        DetachVolume,
        Transition(
            event="detach_volume",
            verb="detach_volume",
            allowed=PLUGGABLE | HELD,
            doing="detaching",
            without_host=True,
        ),
        body=DetachVolumeBody,
        route="DELETE /servers/{server_id}/os-volume_attachments/{volume_id}",
    ),
    Action(
        "addSecurityGroup",
        "os-security-groups:add",
        AddSecurityGroup,
        Transition(
            event="addSecurityGroup",
            verb="addSecurityGroup",
            allowed=EXISTING,
            doing="updating",
            without_host=True,
        ),
        body=GroupBody,
    ),
    Action(
        "removeSecurityGroup",
        "os-security-groups:remove",
        RemoveSecurityGroup,
        Transition(
            event="removeSecurityGroup",
            verb="removeSecurityGroup",
            allowed=EXISTING,
            doing="updating",
            without_host=True,
        ),
        body=GroupBody,
    ),
    Action(
        "refresh_network",
        "os-server-external-events:create",
        RefreshNetwork,
        Transition(
            event="refresh_network",
            verb="refresh_network",
            allowed=EXISTING,
            doing="updating",
            without_host=True,
        ),
        admin=True,
        route="POST /os-server-external-events",
    ),
    Action(
        "extend_volume",
        "os-server-external-events:create",
        ExtendVolume,
        Transition(
            event="extend_volume",
            verb="extend_volume",
            allowed=EXISTING - {"shelved_offloaded"},
            doing="updating",
        ),
        body=ExtendVolumeBody,
        admin=True,
        since=51,
        route="POST /os-server-external-events",
    ),
    Action(
        "update_attachment",
        "os-volumes-attachments:update",
        UpdateAttachment,
        Transition(
            event="update_volume_attachment",
            verb="update_volume_attachment",
            allowed=EXISTING,
            doing="updating",
            without_host=True,
        ),
        body=UpdateAttachmentBody,
        since=85,
        route="PUT /servers/{server_id}/os-volume_attachments/{volume_id}",
    ),
    Action(
        "swap_volume",
        "os-volumes-attachments:swap",
        SwapVolume,
        Transition(
            event="swap_volume",
            verb="swap_volume",
            allowed=frozenset(("active", "paused", "resized")),
            doing="updating",
        ),
        body=SwapVolumeBody,
        admin=True,
        route="PUT /servers/{server_id}/os-volume_attachments/{volume_id}",
        deadline=timedelta(hours=4),
    ),
    Action(
        "attach_interface",
        "os-attach-interfaces:create",
        AttachInterface,
        Transition(
            event="attach_interface",
            verb="attach_interface",
            allowed=PLUGGABLE,
            doing="attaching",
        ),
        body=AttachInterfaceBody,
        route="POST /servers/{server_id}/os-interface",
    ),
    Action(
        "detach_interface",
        "os-attach-interfaces:delete",
        DetachInterface,
        Transition(
            event="detach_interface",
            verb="detach_interface",
            allowed=PLUGGABLE,
            doing="detaching",
        ),
        body=DetachInterfaceBody,
        route="DELETE /servers/{server_id}/os-interface/{port_id}",
    ),
)
