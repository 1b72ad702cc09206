"""Bodies of the actions that are built, and the names of all that Nova knows."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from api.compute.validation import Strict
from workflows.body import Since
from workflows.fields import not_bool

Length = Annotated[
    int,
    BeforeValidator(lambda value: int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else value),
    BeforeValidator(not_bool),
]


class ConsoleOutput(Strict):
    NULLABLE: ClassVar = {"length"}

    length: Annotated[Length, Field(ge=-1, le=0x7FFFFFFF)] | None = None


class VncConsole(Strict):
    type: Literal["novnc", "xvpvnc"]


class SerialConsole(Strict):
    type: Literal["serial"]


class SpiceConsole(Strict):
    type: Literal["spice-html5"]


class RemoteConsole(Strict):
    protocol: Literal["vnc", "spice", "serial", "mks", "rdp"]
    type: Literal["novnc", "xvpvnc", "spice-html5", "spice-direct", "serial", "webmks", "rdp-html5"]


class ResetState(Strict):
    state: Literal["active", "error"]


class Lock(Strict):
    locked_reason: Annotated[Annotated[str, StringConstraints(min_length=1, max_length=255)] | None, Since(73)] = None


NOT_BUILT: dict[str, tuple[int, int]] = dict.fromkeys(("migrate", "os-migrateLive", "evacuate"), (1, 1000))
"""Nova's actions that answer 501 here, with their first and last microversion."""
