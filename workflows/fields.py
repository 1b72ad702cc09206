"""Field types that bodies of the API and of actions share."""

import base64
import binascii
import ipaddress
import re
import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from workflows.body import Body

KEY = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")


def printable(text: str) -> str:
    for char in text:
        kind = unicodedata.category(char)
        if kind.startswith("C") or kind in ("Zl", "Zp"):
            raise ValueError("Only printable characters are allowed.")
    return text


def _name(text: str) -> str:
    if not text or text != text.strip():
        raise ValueError("The string is empty, or starts or ends with whitespace.")
    return printable(text)


def _address(version: int | None) -> Any:
    def checked(text: str) -> str:
        parsed = ipaddress.ip_address(text)
        if version and parsed.version != version:
            raise ValueError(f"It is not an 'ipv{version}' address")
        return str(parsed)

    return AfterValidator(checked)


def _base64(text: str) -> str:
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError("It is not in 'base64' format") from error
    return text


def not_bool(value: Any) -> Any:
    """For numbers: to Python, as not to JSON Schema, a boolean is one."""
    if isinstance(value, bool):
        raise ValueError("It is not of type 'integer', 'string'")
    return value


def _not_number(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("It is not of type 'boolean', 'string'")
    return value


Boolean = Annotated[bool, BeforeValidator(_not_number)]
"""A boolean, or one of the words for it that Nova knows; no number."""


def _unique(values: list[str]) -> list[str]:
    if len({*values}) != len(values):
        raise ValueError(f"{values} has non-unique elements")
    return values


def checked_keys(value: dict[str, Any]) -> dict[str, Any]:
    """Metadata whose keys are as Nova allows them; ValueError for others."""
    for key in value:
        if not KEY.fullmatch(key):
            raise ValueError(f"'{key[:64]}' does not match any of the regexes: '^{KEY.pattern}$'")
    return value


Name = Annotated[str, StringConstraints(max_length=255), AfterValidator(_name)]
Description = Annotated[str, StringConstraints(max_length=255), AfterValidator(printable)]
Address = Annotated[str, _address(None)]
AddressV4 = Annotated[str, _address(4)]
AddressV6 = Annotated[str, _address(6)]
Base64 = Annotated[str, StringConstraints(max_length=65535), AfterValidator(_base64)]
Value = Annotated[str, StringConstraints(max_length=255)]
Metadata = Annotated[dict[str, Value], AfterValidator(checked_keys)]
FlavorRef = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    StringConstraints(min_length=1, max_length=255),
]
TrustedCertificates = Annotated[
    list[Annotated[str, StringConstraints(min_length=1)]], Field(min_length=1, max_length=50), AfterValidator(_unique)
]
ImageRef = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$")]


class InjectedFileBody(Body):
    """One of `personality`; its lengths are a matter of quotas."""

    path: str
    contents: Annotated[str, AfterValidator(_base64)]
