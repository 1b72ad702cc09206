"""What is wrong with a value, in the words of JSON Schema, by which OpenStack's services tell it; without the value,
which may be a secret."""

from typing import Any

TYPES = {
    "string_type": "string",
    "int_type": "integer",
    "int_parsing": "integer",
    "int_from_float": "integer",
    "float_type": "number",
    "float_parsing": "number",
    "bool_type": "boolean",
    "bool_parsing": "boolean",
    "list_type": "array",
    "dict_type": "object",
    "model_type": "object",
    "model_attributes_type": "object",
    "none_required": "null",
}
WORDS = {
    "string_too_long": "It is too long",
    "too_long": "It is too long",
    "string_too_short": "It is too short",
    "too_short": "It is too short",
    "string_pattern_mismatch": "It does not match '{pattern}'",
    "greater_than": "It is less than or equal to the minimum of {gt}",
    "greater_than_equal": "It is less than the minimum of {ge}",
    "less_than_equal": "It is greater than the maximum of {le}",
}


def of(error: Any) -> str:
    """Words for one of pydantic's errors (`ErrorDetails` with its context)."""
    kind, about = error["type"], error.get("ctx") or {}
    if kind in TYPES:
        return f"It is not of type '{TYPES[kind]}'"
    if kind in WORDS:
        return WORDS[kind].format_map(about)
    if kind == "literal_error":
        return f"It is not one of [{about['expected'].replace(' or ', ', ')}]"
    return str(error["msg"].removeprefix("Value error, "))
