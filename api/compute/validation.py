"""Checks of bodies and queries: field types that many resources share, and Nova's words for what is wrong."""

import re
from datetime import datetime, timedelta
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from api.common import parsers, wording
from api.compute.call import ComputeCall
from api.compute.errors import bad_request
from workflows.body import Body, given, out_of_version
from workflows.fields import Address as Address
from workflows.fields import AddressV4 as AddressV4
from workflows.fields import AddressV6 as AddressV6
from workflows.fields import Base64 as Base64
from workflows.fields import Boolean as Boolean
from workflows.fields import Description as Description
from workflows.fields import Metadata as Metadata
from workflows.fields import Name as Name
from workflows.fields import not_bool, printable

Model = TypeVar("Model", bound=BaseModel)
LABEL = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,61}[a-zA-Z0-9]")
"""A host name before 2.94: one label (RFC 1123)."""


class Strict(BaseModel):
    """A body's object: unknown attributes are refused, and so are those of other microversions, which `Since` on the
    field tells (workflows/body.py)."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


def parse(call: ComputeCall, model: type[Model], body: dict[str, Any], key: str) -> Model:
    """`body[key]` as a `model`; 400 with the place and kind of the first problem, never with the value."""
    if key not in body:
        raise bad_request(f"'{key}' is a required property")
    if not isinstance(body[key], dict):
        raise bad_request(f"Invalid input for field/attribute {key}. It is not of type 'object'")
    value = body[key]
    if not call.legacy and (extra := sorted(set(body) - {key} - set(getattr(model, "BESIDE", ())))):
        raise unexpected(extra[0])
    for place, name, holder in list(out_of_version(model, value, call.version, key)):
        if not call.legacy:
            raise unexpected(name, place)
        del holder[name]  # version 2.0 passes over what it does not know
    return check(model, value, key, lenient=True) if call.legacy else check_values(model, value, key)


def check_values(model: type[Model], value: Any, place: str) -> Model:
    """As `check`; null is refused, too, where Nova's schema has none."""
    require_values(model, value, place)
    return check(model, value, place)


def require_values(model: type[BaseModel], value: Any, place: str) -> None:
    """400 for null where Nova's schema has none: an attribute may be left out, and only those in the model's `NULLABLE`
    (names as they are sent) may be null."""
    for each in given(model, value, place):
        may = getattr(each.model, "NULLABLE", ())
        if each.holder[each.name] is None and NoneType in get_args(each.field.annotation) and each.name not in may:
            where = f"{each.place}/{each.name}"
            raise bad_request(f"Invalid input for field/attribute {where}. None is not of a type that it may have")


def action_body(call: ComputeCall, model: type[Body] | None, body: dict[str, Any], key: str) -> dict[str, Any]:
    """`body[key]` of an action, checked against its row's model; {} for an action that takes nothing."""
    value = body[key]
    if model is None:
        return {}  # Nova's schema for these lets anything pass
    if model.is_null and value is not None:
        raise bad_request(f"Invalid input for field/attribute {key}. It is not of type 'null'")
    if value is None and (model.may_be_null or model.is_null):
        value = {}
    if not isinstance(value, dict):
        raise bad_request(f"Invalid input for field/attribute {key}. It is not of type 'object'")
    for place, name, _ in out_of_version(model, value, call.version, key):
        raise unexpected(name, place)
    return check(model, value, key).model_dump(mode="json", exclude_unset=True, by_alias=True)


def check(model: type[Model], value: Any, place: str, *, lenient: bool = False) -> Model:
    """`value` as a `model`; `lenient` passes over what is unknown, as version 2.0 of the API does."""
    try:
        return model.model_validate(value, extra="ignore" if lenient else None)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = parsers.place([place, *first["loc"]]).strip("/")
        holder, _, name = where.rpartition("/")
        if first["type"] == "extra_forbidden":
            raise unexpected(name, holder) from None
        if first["type"] == "missing":
            about = f"Invalid input for field/attribute {holder}. " if holder else ""
            raise bad_request(f"{about}'{name}' is a required property") from None
        raise bad_request(f"Invalid input for field/attribute {where}. {wording.of(first)}") from None


def unexpected(name: str, place: str = "") -> Exception:
    where = f"Invalid input for field/attribute {place}. " if place else ""
    return bad_request(f"{where}Additional properties are not allowed ('{name[:64]}' was unexpected)")


def check_query(call: ComputeCall, *known: str, since: int = 75) -> None:
    """400 for a query parameter that the resource does not know, from the microversion on that is strict."""
    if call.since(since):
        for name in call.request.query_params:
            if name not in known:
                raise bad_request(
                    f"Invalid input for query parameters. Additional properties are not allowed ('{name[:64]}' "
                    "was unexpected)"
                )


def _uuid(text: str) -> str:
    if not parsers.is_uuid(text):
        raise ValueError("It is not a 'uuid'")
    return text


def _tag(text: str) -> str:
    if not text or "/" in text or "," in text:
        raise ValueError("A tag is not empty and contains neither '/' nor ','")
    return text


Uuid = Annotated[str, AfterValidator(_uuid)]
Tag = Annotated[str, StringConstraints(max_length=60), AfterValidator(_tag)]
Tags = Annotated[list[Tag], Field(max_length=50)]
Printable = Annotated[str, AfterValidator(printable)]
Host = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-._]*$")]
Positive = Annotated[int, BeforeValidator(not_bool), Field(ge=1, le=0x7FFFFFFF)]
Natural = Annotated[int, BeforeValidator(not_bool), Field(ge=0, le=0x7FFFFFFF)]


def require_hostname(call: ComputeCall, hostname: str | None) -> None:
    """400 for a name of several labels before 2.94."""
    if hostname is not None and not call.since(94) and not LABEL.fullmatch(hostname):
        raise bad_request(f"Invalid input for field/attribute hostname. It does not match '^{LABEL.pattern}$'")


def boolean(text: str) -> bool:
    """A query's boolean; 400 for anything that is neither."""
    try:
        return parsers.boolean(text)
    except parsers.Malformed:
        known = ", ".join(f"'{word}'" for word in sorted(parsers.TRUE | parsers.FALSE))
        raise bad_request(f"Unrecognized value '{text[:32]}', acceptable values are: {known}") from None


def whole(text: str, name: str) -> int:
    """A query's number, 0 or more; 400 for anything else."""
    try:
        return parsers.whole(text)
    except parsers.Malformed:
        raise bad_request(f"Invalid input for query parameters {name}. It does not match '^[0-9]*$'") from None


SECOND = timedelta(seconds=1)


def until(moment: datetime) -> datetime:
    """What has changed by `moment` has changed before this: times are shown, and kept by Nova, in whole seconds, so
    that a time that was shown names all of its second."""
    return moment.replace(microsecond=0) + SECOND


def timestamp(text: str, name: str) -> datetime:
    """A query's time as UTC without a zone; 400 for anything else."""
    try:
        return parsers.moment(text)
    except parsers.Malformed:
        raise bad_request(f"Invalid input for query parameters {name}. It is not a 'date-time'") from None
