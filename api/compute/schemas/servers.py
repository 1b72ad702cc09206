"""Bodies about servers (Compute API reference, "Servers"); younger attributes are unknown to older microversions."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from api.common import parsers
from api.compute import limits
from api.compute.validation import (
    Address,
    AddressV4,
    AddressV6,
    Base64,
    Boolean,
    Description,
    Host,
    Metadata,
    Name,
    Natural,
    Positive,
    Strict,
    Tag,
    Tags,
    Uuid,
)
from workflows.body import Since
from workflows.fields import InjectedFileBody, TrustedCertificates

FlavorRef = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
Hostname = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-._]*$")]
"""A fully qualified name, as from 2.94 on; `validation.require_hostname` is stricter before."""
BootIndex = Annotated[int, Field(ge=-(2**31), le=2**31)]
Ignored = Any


def _one_or_ids(value: Any) -> Any:
    """Nova's schema of `same_host`: one of any text, or a list of ids."""
    if isinstance(value, list) and not all(isinstance(one, str) and parsers.is_uuid(one) for one in value):
        raise ValueError("It is not a 'uuid'")
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[str], BeforeValidator(_one_or_ids)]
DEVICE_NAME = StringConstraints(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._\-r/]*$")
ServerIds = Annotated[list[Uuid], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class NetworkWish(Strict):
    NULLABLE: ClassVar = {"port"}

    uuid: str | None = None
    port: Uuid | None = None
    fixed_ip: Address | None = None
    tag: Annotated[Tag | None, Since(32, 36), Since(42)] = None


class GroupWish(Strict):
    name: Name | None = None


class Disk(Strict):
    """One entry of block_device_mapping_v2. Sizes in GiB."""

    NULLABLE: ClassVar = {"boot_index", "volume_type"}

    source_type: Literal["volume", "image", "snapshot", "blank"] | None = None
    destination_type: Literal["local", "volume"] | None = None
    uuid: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._-]*$")] | None = None
    boot_index: BootIndex | None = None
    volume_size: Natural | Literal[""] | None = None
    volume_type: Annotated[Annotated[str, StringConstraints(max_length=255)] | None, Since(67)] = None
    delete_on_termination: Boolean = False
    device_name: Annotated[str, DEVICE_NAME] | None = None
    guest_format: str | None = None
    device_type: str | None = None
    disk_bus: str | None = None
    no_device: Ignored = None
    tag: Annotated[Tag | None, Since(32, 32), Since(42)] = None
    # other ways of Nova to say what `uuid` says, and what only its older syntax used
    image_id: Uuid | None = None
    volume_id: Uuid | None = None
    snapshot_id: Uuid | None = None
    virtual_name: Ignored = None
    connection_info: Ignored = None


class Hints(BaseModel):
    """Scheduler hints that Nova's schema knows; others are anybody's own, and pass."""

    group: Uuid | None = None
    same_host: Texts | None = None
    different_host: ServerIds | None = None
    query: str | dict[str, Any] | None = None
    target_cell: Name | None = None
    different_cell: str | list[str] | None = None
    build_near_host_ip: Address | None = None
    cidr: Annotated[str, StringConstraints(pattern=r"^/[0-9a-f.:]+$", max_length=64)] | None = None


class ServerCreate(Strict):
    BESIDE: ClassVar = ("os:scheduler_hints", "OS-SCH-HNT:scheduler_hints")
    NULLABLE: ClassVar = {"description", "trusted_image_certificates"}

    name: Name
    flavor_ref: FlavorRef = Field(alias="flavorRef", min_length=1)
    image_ref: Uuid | Literal[""] | None = Field(None, alias="imageRef")
    admin_pass: str | None = Field(None, alias="adminPass")
    metadata: Metadata = {}
    networks: list[NetworkWish] | Literal["auto", "none"] | None = None
    disk_config: Literal["AUTO", "MANUAL"] | None = Field(None, alias="OS-DCF:diskConfig")
    access_ip_v4: AddressV4 | None = Field(None, alias="accessIPv4")
    access_ip_v6: AddressV6 | None = Field(None, alias="accessIPv6")
    personality: Annotated[list[InjectedFileBody], Since(1, 56)] = []
    availability_zone: Name | None = None
    block_device_mapping: list[Any] = []
    block_device_mapping_v2: list[Disk] = []
    config_drive: Boolean | None = None
    key_name: Name | None = None
    min_count: Positive = 1
    max_count: Positive | None = None
    return_reservation_id: Boolean = False
    security_groups: Annotated[list[GroupWish], Field(max_length=limits.SECURITY_GROUPS)] | None = None
    user_data: Base64 | None = None
    description: Annotated[Description | None, Since(19)] = None
    tags: Annotated[Tags, Since(52)] = []
    trusted_image_certificates: Annotated[TrustedCertificates | None, Since(63)] = None
    host: Annotated[Host | None, Since(74)] = None
    hypervisor_hostname: Annotated[Host | None, Since(74)] = None
    hostname: Annotated[Hostname | None, Since(90)] = None


class ServerUpdate(Strict):
    NULLABLE: ClassVar = {"description", "pinned_availability_zone"}

    name: Name | None = None
    disk_config: Literal["AUTO", "MANUAL"] | None = Field(None, alias="OS-DCF:diskConfig")
    access_ip_v4: AddressV4 | None = Field(None, alias="accessIPv4")
    access_ip_v6: AddressV6 | None = Field(None, alias="accessIPv6")
    description: Annotated[Description | None, Since(19)] = None
    hostname: Annotated[Hostname | None, Since(90)] = None
    pinned_availability_zone: Annotated[Name | None, Since(104)] = None


class MetadataBody(Strict):
    """Body of the metadata routes as a whole."""

    metadata: Metadata


class MetaBody(Strict):
    meta: Annotated[Metadata, Field(min_length=1, max_length=1)]


class TagsBody(Strict):
    tags: Tags
