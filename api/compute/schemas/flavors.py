"""Bodies about flavors (Compute API reference, "Flavors"). Memory and swap in MiB, disks in GiB."""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from api.compute.validation import Boolean, Metadata, Name, Natural, Positive, Printable, Strict
from workflows.body import Since
from workflows.fields import not_bool


def _id(value: Any) -> Any:
    return str(value) if type(value) in (int, float) else value


def _text(value: Any) -> Any:
    """Extra specs may be numbers; they are kept as text."""
    if not isinstance(value, dict):
        return value
    return {k: str(v) if type(v) in (int, float) else v for k, v in value.items()}


def _trimmed(text: str) -> str:
    if text != text.strip():
        raise ValueError("It starts or ends with a space.")
    return text


FlavorId = Annotated[
    str,
    BeforeValidator(_id),
    StringConstraints(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9. _-]+$"),
    AfterValidator(_trimmed),
]
Specs = Annotated[Metadata, BeforeValidator(_text)]
Long = Annotated[Printable, StringConstraints(max_length=65535)]


Factor = Annotated[float, BeforeValidator(not_bool), Field(gt=0, le=3.40282e38, allow_inf_nan=False)]


class FlavorCreate(Strict):
    NULLABLE: ClassVar = {"id", "description"}

    name: Name
    id: FlavorId | None = None
    ram: Positive
    vcpus: Positive
    disk: Natural
    ephemeral: Natural = Field(0, alias="OS-FLV-EXT-DATA:ephemeral")
    swap: Natural = 0
    rxtx_factor: Annotated[Factor, Since(1, 101)] = 1.0
    is_public: Boolean = Field(True, alias="os-flavor-access:is_public")
    description: Annotated[Long | None, Since(55)] = None


class FlavorUpdate(Strict):
    NULLABLE: ClassVar = {"description"}

    description: Long | None


class ExtraSpecs(Strict):
    extra_specs: Specs


class ExtraSpec(Strict):
    spec: Annotated[Specs, Field(min_length=1, max_length=1)]


class TenantAccess(Strict):
    tenant: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-]*$")]
