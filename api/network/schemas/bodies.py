"""Reads `{"port": {…}}` or `{"ports": [{…}, …]}` into schemas, with Neutron's words for what is wrong."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from api.common.errors import ServiceError
from api.network.errors import bad
from api.network.model.kinds import Kind
from api.network.schemas.fields import Attributes

A = TypeVar("A", bound=Attributes)


def parse_create(kind: Kind[Any], schema: type[A], body: Mapping[str, Any]) -> tuple[list[A], bool]:
    """The resources to create, and whether they came as a list."""
    if kind.collection in body:
        items, many = body[kind.collection], True
        if not isinstance(items, list) or not items:
            raise bad(f"'{kind.collection}' must be a list that is not empty")
    elif kind.member in body:
        items, many = [body[kind.member]], False
    else:
        raise bad(f"Unable to find '{kind.member}' in request body")
    return [_parse(kind, schema, item, "Attribute '{}' not allowed in POST") for item in items], many


def parse_update(kind: Kind[Any], schema: type[A], body: Mapping[str, Any]) -> A:
    """The change to make; `model_fields_set` names what was given."""
    if kind.member not in body:
        raise bad(f"Unable to find '{kind.member}' in request body")
    return _parse(kind, schema, body[kind.member], "Cannot update read-only attribute {}")


def parse_action(schema: type[A], body: Mapping[str, Any]) -> A:
    """A body that has its attributes at the top, as those of a router's actions."""
    try:
        return schema.model_validate(body)
    except ValidationError as error:
        raise _translated(None, error, "") from None


def parse_member(member: str, schema: type[A], body: Mapping[str, Any]) -> A:
    """A body whose only resource is named `member`, for resources below another one."""
    if not isinstance(body.get(member), dict):
        raise bad(f"Unable to find '{member}' in request body")
    return parse_action(schema, body[member])


def given(attributes: Attributes, *, only_changes: bool = False) -> list[str]:
    """Names of the attributes that the body had, as the API spells them; `only_changes` leaves out defaults."""
    fields = type(attributes).model_fields
    return [
        fields[name].alias or name
        for name in attributes.model_fields_set
        if not only_changes or getattr(attributes, name) != fields[name].get_default(call_default_factory=True)
    ]


def _parse(kind: Kind[Any], schema: type[A], item: Any, read_only: str) -> A:
    if not isinstance(item, dict):
        raise bad(f"'{kind.member}' must be an object")
    try:
        return schema.model_validate(item)
    except ValidationError as error:
        raise _translated(kind, error, read_only) from None


def _translated(kind: Kind[Any] | None, error: ValidationError, read_only: str) -> ServiceError:
    first = error.errors(include_url=False)[0]
    top = str(first["loc"][0]) if first["loc"] else kind.member if kind else "body"
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return bad(f"Failed to parse request. Required attribute '{top}' not specified")
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        return bad(read_only.format(top) if kind and top in kind.attributes else f"Unrecognized attribute(s) '{top}'")
    place = ".".join(str(part) for part in first["loc"][1:])
    reason = _reason(first)
    return bad(f"Invalid input for {top}. Reason: {f'{place}: ' if place else ''}{reason}")


WORDS = {
    "string_type": "'{}' is not a valid string.",
    "list_type": "'{}' is not a list.",
    "int_type": "'{}' is not an integer.",
    "int_parsing": "'{}' is not an integer.",
    "bool_type": "'{}' cannot be converted to boolean.",
    "bool_parsing": "'{}' cannot be converted to boolean.",
    "dict_type": "'{}' is not a dictionary.",
    "model_type": "'{}' is not a dictionary.",
    "model_attributes_type": "'{}' is not a dictionary.",
    "string_too_long": "'{}' exceeds maximum length of {max_length}.",
}


def _reason(error: Any) -> str:
    """Neutron's words for what is wrong with a value."""
    if words := WORDS.get(error["type"]):
        return words.format(str(error["input"])[:300], **error.get("ctx", {}))
    return str(error["msg"].removeprefix("Value error, "))
