"""Bodies of requests. A field that is not named here is refused, as Cinder's own schemas refuse it.

Only the creation of a volume lets unknown fields pass before 3.53, as Cinder does."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

ITEMS = 128  # per object; Cinder's quota `metadata_items`
UUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
TRUE, FALSE = ("1", "t", "true", "on", "y", "yes"), ("0", "f", "false", "off", "n", "no")


def _metadata(value: dict[str, str]) -> dict[str, str]:
    for key in value:
        if not 1 <= len(key) <= 255:
            raise ValueError("a key must have 1 to 255 characters")
    return value


def _flag(value: object) -> object:
    """As Cinder's schemas take booleans: also the usual words for them."""
    if isinstance(value, str) and value.lower() in TRUE + FALSE:
        return value.lower() in TRUE
    if value in (0, 1):
        return bool(value)
    return value


def _whole(value: object) -> object:
    """A number, also written as text; a boolean is none."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value.strip()):
        return int(value)
    if isinstance(value, bool):
        raise ValueError("a number is expected")
    return value


Id = Annotated[str, StringConstraints(pattern=UUID, to_lower=True)]
Text = Annotated[str, Field(max_length=255)]
Name = Annotated[str, Field(min_length=1, max_length=255)]
Flag = Annotated[bool, Field(strict=True), BeforeValidator(_flag)]
Metadata = Annotated[
    dict[str, Annotated[str, Field(max_length=255)]], AfterValidator(_metadata), Field(max_length=ITEMS)
]
Specs = Metadata
Size = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=2**31 - 1, strict=True)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewVolume(BaseModel):
    """`id`, `project_id`, `user_id`: only services and administrators may choose them."""

    model_config = ConfigDict(extra="allow")
    id: Id | None = None
    project_id: Text | None = None
    user_id: Text | None = None
    size: Size | None = None
    name: Text | None = None
    description: Text | None = None
    display_name: Text | None = None
    display_description: Text | None = None
    imageRef: Text | None = None
    image_id: Text | None = None
    snapshot_id: Id | None = None
    source_volid: Id | None = None
    backup_id: Text | None = None
    consistencygroup_id: Text | None = None
    group_id: Text | None = None
    metadata: Metadata | None = None
    availability_zone: Text | None = None
    volume_type: Text | None = None
    multiattach: Flag | None = None


class VolumeCreate(Body):
    volume: NewVolume
    hints: dict[str, Any] | None = Field(default=None, alias="OS-SCH-HNT:scheduler_hints")


class Changes(Body):
    name: Text | None = None
    description: Text | None = None
    display_name: Text | None = None
    display_description: Text | None = None

    def values(self) -> dict[str, Any]:
        """What was given, under the names of the columns."""
        given = self.model_dump(exclude_unset=True)
        return {name.removeprefix("display_"): value for name, value in given.items()}


class VolumeChanges(Changes):
    metadata: Metadata | None = None


class VolumeUpdate(Body):
    volume: VolumeChanges


class SnapshotUpdate(Body):
    snapshot: Changes


class NewSnapshot(Body):
    id: Id | None = None
    volume_id: Id | None  # of null: 404, as Cinder has it
    name: Text | None = None
    display_name: Text | None = None
    description: Text | None = None
    force: Flag | None = None
    metadata: Metadata | None = None


class SnapshotCreate(Body):
    snapshot: NewSnapshot


class MetadataBody(Body):
    metadata: Metadata


class MetaItem(Body):
    meta: Metadata


class NewAttachment(Body):
    """`connector`: facts about the host that will use the volume; without it the volume is only reserved."""

    id: Id | None = None
    volume_uuid: Id
    instance_uuid: Id | None = None
    connector: dict[str, Any] | None = None
    mode: str | None = Field(default=None, pattern="^(rw|ro|null)$")


class AttachmentCreate(Body):
    attachment: NewAttachment


class Connected(Body):
    connector: dict[str, Any] = Field(min_length=1)


class AttachmentUpdate(Body):
    attachment: Connected


class QuotaUpdate(Body):
    quota_set: dict[str, Any] = Field(min_length=1)


class QuotaClassUpdate(Body):
    quota_class_set: dict[str, Any] = Field(min_length=1)


class NewType(Body):
    name: Name
    description: Text | None = None
    extra_specs: Specs | None = None
    is_public: Flag = Field(default=True, alias="os-volume-type-access:is_public")


class TypeCreate(Body):
    volume_type: NewType


class TypeChanges(Body):
    name: Text | None = None
    description: Text | None = None
    is_public: Flag | None = None


class TypeUpdate(Body):
    volume_type: TypeChanges


class ExtraSpecs(Body):
    extra_specs: Specs


class DefaultTypeChoice(Body):
    volume_type: Name


class DefaultTypeBody(Body):
    default_type: DefaultTypeChoice


class NewTransfer(Body):
    """`no_snapshots` since 3.55."""

    volume_id: Id
    name: Text | None = None
    no_snapshots: Flag = False


class TransferCreate(Body):
    transfer: NewTransfer


class Acceptance(Body):
    auth_key: Annotated[str, Field(max_length=255)] | int


class TransferAccept(Body):
    accept: Acceptance
