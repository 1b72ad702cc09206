"""What single actions need of the API beside their row: names resolved with the caller's token, answers worded."""

from collections.abc import Callable
from typing import Any

from fastapi import Response
from sqlalchemy import RowMapping

from api.compute.acting import groups, images, rebuild, rescue, resize, restore, shelve
from api.compute.call import ComputeCall
from workflows.requests import Accepted

PREPARED: dict[str, Callable[[ComputeCall, RowMapping, dict[str, Any]], dict[str, Any]]] = {
    "createImage": images.prepare_image,
    "createBackup": images.prepare_backup,
    "rebuild": rebuild.prepare,
    "addSecurityGroup": groups.prepare,
    "removeSecurityGroup": groups.prepare,
    "rescue": rescue.prepare,
    "resize": resize.prepare,
    "restore": restore.prepare,
    "shelve": shelve.prepare_shelve,
    "unshelve": shelve.prepare_unshelve,
}
"""Action → what makes of its checked body what the workflow gets. Reads only; may wait on other services."""

ANSWERED: dict[str, Callable[[ComputeCall, Accepted, dict[str, Any]], Response]] = {
    "createImage": images.answer,
    "createBackup": images.answer,
    "rebuild": rebuild.answer,
    "rescue": rescue.answer,
}
"""Action → its answer, where that is more than the workflow's own answer; the body is the prepared one."""
