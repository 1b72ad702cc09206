"""Bodies of requests. Fields that are not named here are ignored, as Cinder ignores them where it can."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, StringConstraints


def _metadata(value: dict[str, str]) -> dict[str, str]:
    for key in value:
        if not 1 <= len(key) <= 255:
            raise ValueError("a key must have 1 to 255 characters")
    return value


UUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
Id = Annotated[str, StringConstraints(pattern=UUID)]
Text = Annotated[str, Field(max_length=255)]
Metadata = Annotated[dict[str, Annotated[str, Field(max_length=255)]], AfterValidator(_metadata), Field(max_length=128)]
Size = Annotated[int, Field(ge=1, le=2**31 - 1)]


class NewVolume(BaseModel):
    """`id`, `project_id`, `user_id`: only services and administrators may choose them."""

    id: Id | None = None
    project_id: Text | None = None
    user_id: Text | None = None
    size: Size | None = None
    name: Text | None = None
    description: Text | None = None
    imageRef: str | None = None
    snapshot_id: Id | None = None
    source_volid: Id | None = None
    backup_id: str | None = None
    consistencygroup_id: str | None = None
    group_id: str | None = None
    metadata: Metadata | None = None
    availability_zone: Text | None = None
    volume_type: str | None = None
    multiattach: bool | None = None


class VolumeCreate(BaseModel):
    volume: NewVolume


class Changes(BaseModel):
    name: Text | None = None
    description: Text | None = None
    metadata: Metadata | None = None


class VolumeUpdate(BaseModel):
    volume: Changes


class SnapshotUpdate(BaseModel):
    snapshot: Changes


class NewSnapshot(BaseModel):
    id: Id | None = None
    volume_id: Id
    name: Text | None = None
    description: Text | None = None
    force: bool | str | None = None
    metadata: Metadata | None = None


class SnapshotCreate(BaseModel):
    snapshot: NewSnapshot


class MetadataBody(BaseModel):
    metadata: Metadata


class MetaItem(BaseModel):
    meta: Metadata


class NewAttachment(BaseModel):
    """`connector`: facts about the host that will use the volume; without it the volume is only reserved."""

    id: Id | None = None
    volume_uuid: Id
    instance_uuid: Id | None = None
    connector: dict[str, Any] | None = None
    mode: str | None = Field(default=None, pattern="^(rw|ro)$")


class AttachmentCreate(BaseModel):
    attachment: NewAttachment


class Connected(BaseModel):
    connector: dict[str, Any] = Field(min_length=1)


class AttachmentUpdate(BaseModel):
    attachment: Connected


class QuotaUpdate(BaseModel):
    quota_set: dict[str, Any]
