"""Parts that several bodies share: text that every store can hold, flags, links to other resources."""

import json
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictStr, model_validator


def _storable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("contains a character that cannot be stored")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Text = Annotated[StrictStr, AfterValidator(_storable), Field(max_length=16384)]
Id = Annotated[StrictStr, AfterValidator(_storable), Field(min_length=1, max_length=64)]
Name = Annotated[StrictStr, AfterValidator(_storable), AfterValidator(_not_blank), Field(min_length=1, max_length=255)]
ShortName = Annotated[Name, Field(max_length=64)]
Secret = Annotated[StrictStr, AfterValidator(_storable), Field(max_length=4096)]
Flag = StrictBool
READ_ONLY = {"id", "links"}


class Body(BaseModel):
    """A body whose unknown members are ignored."""

    model_config = ConfigDict(hide_input_in_errors=True)

    def given(self) -> dict[str, Any]:
        """The declared members that the caller sent."""
        return {name: getattr(self, name) for name in self.model_fields_set if name in type(self).model_fields}


class OpenBody(Body):
    """A body whose unknown members are kept with the resource, as Keystone does for users, projects and domains."""

    model_config = ConfigDict(hide_input_in_errors=True, extra="allow")

    @model_validator(mode="after")
    def _free_members_are_storable(self) -> Self:
        free = {**(self.model_extra or {}), "options": getattr(self, "options", {})}
        text = json.dumps(free, ensure_ascii=False, allow_nan=False)
        _storable(text.replace("\\u0000", "\x00"))
        return self

    def extras(self) -> dict[str, Any]:
        return {name: value for name, value in (self.model_extra or {}).items() if name not in READ_ONLY}
