"""The table of actions on servers. From a row come the route's check of body and policy, the 409 in Nova's words, the
workflow's start, the guarded transition in the record, the audit's idea of a passing state, the API's support table."""

from datetime import timedelta

from infra.contracts.operation import Transition
from infra.contracts.states import SOFT_DELETED
from workflows.action import Action
from workflows.change_password import ChangePassword, ChangePasswordBody
from workflows.confirm_resize import ConfirmResize
from workflows.crash_dump_instance import CrashDumpBody, CrashDumpInstance
from workflows.create_backup import CreateBackup
from workflows.create_image import CreateBackupBody, CreateImage, CreateImageBody
from workflows.device_actions import DEVICES
from workflows.offload_instance import OFFLOAD, OffloadInstance
from workflows.pause_instance import PauseInstance
from workflows.reboot_instance import RebootBody, RebootInstance
from workflows.rebuild_instance import RebuildBody, RebuildInstance
from workflows.rescue_instance import RescueBody, RescueInstance
from workflows.resize_instance import ResizeBody, ResizeInstance
from workflows.resizing import CONFIRM
from workflows.restore_instance import RestoreInstance
from workflows.resume_instance import ResumeInstance
from workflows.revert_resize import RevertResize
from workflows.shelve_instance import ShelveInstance
from workflows.start_instance import StartInstance
from workflows.stop_instance import StopInstance
from workflows.suspend_instance import SuspendInstance
from workflows.unpause_instance import UnpauseInstance
from workflows.unrescue_instance import UnrescueInstance
from workflows.unshelve_instance import UnshelveBody, UnshelveInstance

COPIED = frozenset(("active", "stopped", "paused", "suspended"))
"""vm_states of a server whose disk can be made an image."""

REBOOTABLE = frozenset(("rebooting", "rebooting_hard", "pausing", "unpausing", "suspending", "resuming"))
"""task_states of what gives way to a hard reboot. Source: Nova's ALLOW_REBOOT."""

ACTIONS: dict[str, Action] = {
    row.name: row
    for row in (
        Action(
            "os-stop",
            "servers:stop",
            StopInstance,
            Transition(event="stop", verb="stop", allowed=frozenset(("active", "error")), doing="powering-off"),
            ends=("stopped",),
        ),
        Action(
            "os-start",
            "servers:start",
            StartInstance,
            Transition(event="start", verb="start", allowed=frozenset(("stopped",)), doing="powering-on"),
            ends=("active",),
        ),
        Action(
            "reboot",
            "servers:reboot",
            RebootInstance,
            Transition(
                event="reboot", verb="reboot", allowed=frozenset(("active",)), doing="rebooting", shows="REBOOT"
            ),
            body=RebootBody,
            by_body=(
                (
                    "type",
                    "HARD",
                    Transition(
                        event="reboot",
                        verb="reboot",
                        allowed=frozenset(("active", "stopped", "paused", "suspended", "error")),
                        doing="rebooting_hard",
                        during=REBOOTABLE,
                        shows="HARD_REBOOT",
                        shows_from=frozenset(("active",)),
                    ),
                ),
            ),
            ends=("active",),
        ),
        Action(
            "pause",
            "os-pause-server:pause",
            PauseInstance,
            Transition(event="pause", verb="pause", allowed=frozenset(("active",)), doing="pausing"),
            ends=("paused",),
        ),
        Action(
            "unpause",
            "os-pause-server:unpause",
            UnpauseInstance,
            Transition(event="unpause", verb="unpause", allowed=frozenset(("paused",)), doing="unpausing"),
            ends=("active",),
        ),
        Action(
            "suspend",
            "os-suspend-server:suspend",
            SuspendInstance,
            Transition(event="suspend", verb="suspend", allowed=frozenset(("active",)), doing="suspending"),
            ends=("suspended",),
        ),
        Action(
            "resume",
            "os-suspend-server:resume",
            ResumeInstance,
            Transition(event="resume", verb="resume", allowed=frozenset(("suspended",)), doing="resuming"),
            ends=("active",),
        ),
        Action(
            "trigger_crash_dump",
            "servers:trigger_crash_dump",
            CrashDumpInstance,
            Transition(
                event="trigger_crash_dump",
                verb="trigger_crash_dump",
                allowed=frozenset(("active", "paused", "rescued", "resized", "error")),
                doing="crash-dumping",
            ),
            body=CrashDumpBody,
            since=17,
        ),
        Action(
            "changePassword",
            "os-admin-password",
            ChangePassword,
            Transition(
                event="changePassword",
                verb="changePassword",
                allowed=frozenset(("active",)),
                doing="updating_password",
            ),
            body=ChangePasswordBody,
            deadline=timedelta(minutes=5),
        ),
        Action(
            "createImage",
            "servers:create_image",
            CreateImage,
            Transition(event="createImage", verb="createImage", allowed=COPIED, doing="image_snapshot"),
            body=CreateImageBody,
            deadline=timedelta(hours=2),
        ),
        Action(
            "createBackup",
            "os-create-backup",
            CreateBackup,
            Transition(event="createBackup", verb="createBackup", allowed=COPIED, doing="image_backup"),
            body=CreateBackupBody,
            deadline=timedelta(hours=2),
        ),
        Action(
            "rebuild",
            "servers:rebuild",
            RebuildInstance,
            Transition(
                event="rebuild",
                verb="rebuild",
                allowed=frozenset(("active", "stopped", "error")),
                doing="rebuilding",
                shows="REBUILD",
            ),
            body=RebuildBody,
            deadline=timedelta(hours=1),
            ends=("active", "stopped"),
        ),
        Action(
            "rescue",
            "os-rescue",
            RescueInstance,
            Transition(
                event="rescue", verb="rescue", allowed=frozenset(("active", "stopped", "error")), doing="rescuing"
            ),
            body=RescueBody,
            deadline=timedelta(hours=1),
            ends=("rescued",),
        ),
        Action(
            "unrescue",
            "os-unrescue",
            UnrescueInstance,
            Transition(event="unrescue", verb="unrescue", allowed=frozenset(("rescued",)), doing="unrescuing"),
            ends=("active",),
        ),
        Action(
            "resize",
            "servers:resize",
            ResizeInstance,
            Transition(
                event="resize",
                verb="resize",
                allowed=frozenset(("active", "stopped")),
                doing="resize_prep",
                shows="RESIZE",
            ),
            body=ResizeBody,
            deadline=timedelta(hours=1),
            ends=("resized",),
        ),
        Action(
            "confirmResize",
            "servers:confirm_resize",
            ConfirmResize,
            CONFIRM,
            status=204,
            ends=("active", "stopped"),
        ),
        Action(
            "revertResize",
            "servers:revert_resize",
            RevertResize,
            Transition(
                event="revertResize",
                verb="revertResize",
                allowed=frozenset(("resized",)),
                doing="resize_reverting",
                shows="REVERT_RESIZE",
            ),
            ends=("active", "stopped"),
        ),
        Action(
            "shelve",
            "os-shelve:shelve",
            ShelveInstance,
            Transition(event="shelve", verb="shelve", allowed=COPIED, doing="shelving"),
            ends=("shelved",),
            deadline=timedelta(hours=2),
        ),
        Action(
            "shelveOffload",
            "os-shelve:shelve_offload",
            OffloadInstance,
            OFFLOAD,
            ends=("shelved_offloaded",),
            admin=True,
        ),
        Action(
            "unshelve",
            "os-shelve:unshelve",
            UnshelveInstance,
            Transition(
                event="unshelve",
                verb="unshelve",
                allowed=frozenset(("shelved", "shelved_offloaded")),
                doing="unshelving",
                without_host=True,
            ),
            ends=("active",),
            body=UnshelveBody,
            deadline=timedelta(hours=1),
        ),
        Action(
            "restore",
            "os-deferred-delete:restore",
            RestoreInstance,
            Transition(event="restore", verb="restore", allowed=frozenset((SOFT_DELETED,)), doing="restoring"),
            ends=("active",),
        ),
        *DEVICES,
    )
}
