"""Bodies of actions, checked where they arrive and carried to the workflow as they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

NEWEST = 1000


@dataclass(frozen=True)
class Since:
    """The microversions 2.first to 2.last at which a field exists; `Annotated[str, Since(32, 36), Since(42)]`."""

    first: int
    last: int = NEWEST


class Body(BaseModel):
    """An action's object: unknown attributes are refused, and so are those of other microversions."""

    model_config = ConfigDict(extra="forbid")
    may_be_null: ClassVar[bool] = False  # null stands for an empty object
    is_null: ClassVar[bool] = False  # nothing else stands for it


@dataclass(frozen=True, slots=True)
class Given:
    """An attribute that a body has: `holder[name]`, which `model` knows as `field`. `place`: of the holder."""

    place: str
    name: str
    holder: dict[str, Any]
    model: type[BaseModel]
    field: FieldInfo


def given(model: type[BaseModel], value: Any, place: str = "") -> Iterator[Given]:
    """What `value` has of `model`, nested ones included."""
    if not isinstance(value, dict):
        return
    for name, info in model.model_fields.items():
        wire = info.alias or name
        if wire in value:
            yield Given(place, wire, value, model, info)
            below = f"{place}/{wire}".strip("/")
            for inner in models_in(info.annotation):
                for each in value[wire] if isinstance(value[wire], list) else [value[wire]]:
                    yield from given(inner, each, below)


def out_of_version(
    model: type[BaseModel], value: Any, version: int, place: str = ""
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(place, name, the object that has it) of each attribute in `value` that `model` does not have at 2.`version`."""
    for each in given(model, value, place):
        spans = spans_of(each.field)
        if spans and not any(span.first <= version <= span.last for span in spans):
            yield each.place, each.name, each.holder


def spans_of(field: FieldInfo) -> list[Since]:
    return [mark for mark in field.metadata if isinstance(mark, Since)]


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Objects that a field's type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)
