"""The fields of an image: which there are, who may set them, which values they take."""

import re
from typing import Any

from api.common.errors import ServiceError
from api.image.errors import forbidden, invalid, too_many

VISIBILITIES = ("community", "public", "private", "shared")
CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "ploop", "iso", "gpt")
READ_ONLY: tuple[str, ...] = (
    "id",
    "created_at",
    "updated_at",
    "status",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "size",
)
READ_ONLY += ("virtual_size", "direct_url", "self", "file", "schema", "stores")
SETTABLE: tuple[str, ...] = ("name", "visibility", "protected", "os_hidden", "owner", "container_format", "disk_format")
SETTABLE += ("min_disk", "min_ram", "tags")
ID = re.compile(r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$")
MAX_PROPERTIES = MAX_TAGS = MAX_MEMBERS = 128
MAX_TEXT = 255
MAX_NUMBER = 2**31 - 1


def checked(name: str, value: Any) -> Any:
    """`value` as it is kept for the field or property `name`; 400 or 413 when it can't be, 403 when not settable."""
    refuse_reserved(name)
    problem = _problem(name, value)
    if problem:
        raise mismatch(name, problem)
    if name == "tags":
        unique = list(dict.fromkeys(value))
        if len(unique) > MAX_TAGS:
            raise too_many("image tags", MAX_TAGS)
        return unique
    return value


def refuse_reserved(name: str) -> None:
    if name in READ_ONLY:
        raise forbidden(f"Attribute '{name}' is read-only.")
    if name == "locations":
        raise forbidden("It's not allowed to add locations if locations are invisible.")
    if name.startswith("os_glance_"):
        raise forbidden(f"Attribute '{name}' is reserved.")


def mismatch(name: str, problem: str) -> ServiceError:
    return invalid(f"Provided object does not match schema 'image': {name[:MAX_TEXT]}: {problem}")


def check_id(value: Any) -> str:
    if not isinstance(value, str) or not ID.match(value):
        raise mismatch("id", "it is not a UUID")
    return value.lower()


def check_property_count(count: int) -> None:
    if count > MAX_PROPERTIES:
        raise too_many("image properties", MAX_PROPERTIES)


def _problem(name: str, value: Any) -> str:
    """What is wrong with the value; empty when nothing is."""
    match name:
        case "name" | "owner":
            return "" if value is None else _text_problem(value)
        case "visibility":
            return _choice_problem(value, VISIBILITIES)
        case "protected" | "os_hidden":
            return "" if isinstance(value, bool) else "it is not a boolean"
        case "container_format":
            return "" if value is None else _choice_problem(value, CONTAINER_FORMATS)
        case "disk_format":
            return "" if value is None else _choice_problem(value, DISK_FORMATS)
        case "min_disk" | "min_ram":
            whole = isinstance(value, int) and not isinstance(value, bool)
            return "" if whole and 0 <= value <= MAX_NUMBER else f"it is not a whole number from 0 to {MAX_NUMBER}"
        case "tags":
            if not isinstance(value, list):
                return "it is not a list"
            return next((found for tag in value if (found := _text_problem(tag))), "")
        case _:
            return _property_problem(name, value)


def _text_problem(value: Any) -> str:
    if not isinstance(value, str):
        return "it is not a string"
    if "\0" in value:
        return "it has a character that cannot be kept"
    return "" if len(value) <= MAX_TEXT else f"it is longer than {MAX_TEXT} characters"


def _choice_problem(value: Any, choices: tuple[str, ...]) -> str:
    return "" if value in choices else f"it is not one of {', '.join(choices)}"


def _property_problem(name: str, value: Any) -> str:
    if not name or len(name) > MAX_TEXT:
        return f"a property's name has 1 to {MAX_TEXT} characters"
    if not isinstance(value, str):
        return "it is not a string"
    if "\0" in value + name:
        return "it has a character that cannot be kept"
    return "" if len(value) <= 65535 else "it is longer than 65535 characters"
