"""Bodies about server groups and host aggregates (Compute API reference, each by its own chapter)."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from api.compute.validation import Host, Name, Positive, Strict, Uuid
from workflows.body import Since
from workflows.fields import Value, checked_keys

Policy = Literal["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]
SOFT_SINCE = 15


class Rules(Strict):
    max_server_per_host: Positive = 1


class ServerGroupCreate(Strict):
    name: Name
    policies: Annotated[list[Policy] | None, Since(1, 63), Field(min_length=1, max_length=1)] = None
    policy: Annotated[Policy | None, Since(64)] = None
    rules: Annotated[Rules | None, Since(64)] = None


def _zone(text: str) -> str:
    if ":" in text:
        raise ValueError("The name of an availability zone has no ':'.")
    return text


Zone = Annotated[Name, AfterValidator(_zone)]


class AggregateCreate(Strict):
    NULLABLE: ClassVar = {"availability_zone"}

    name: Name
    availability_zone: Zone | None = None


class AggregateUpdate(Strict):
    NULLABLE: ClassVar = {"availability_zone"}

    name: Annotated[Name, BeforeValidator(lambda text: text.strip() if isinstance(text, str) else text)] = ""
    availability_zone: Zone | None = None


class HostOfAggregate(Strict):
    host: Host


class AggregateMetadata(Strict):
    """null takes a key away."""

    metadata: Annotated[dict[str, Value | None], AfterValidator(checked_keys)]


class CachedImage(Strict):
    id: Uuid


class CacheImages(Strict):
    cache: Annotated[list[CachedImage], Field(min_length=1)]
