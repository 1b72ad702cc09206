"""Answers at a microversion: which attributes an object has is data on fields of its description, as in requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel

from workflows.body import models_in, spans_of

Value = TypeVar("Value")


class Shown(BaseModel):
    """An object of an answer, described as far as its attributes come and go: `Since` on a field says when. It is never
    made; an attribute that it does not name is there at every microversion."""


@dataclass(frozen=True)
class Trimming:
    """What an object has not at one microversion, and how the objects inside of it are trimmed."""

    gone: frozenset[str]
    inside: Mapping[str, "Trimming"]

    def __bool__(self) -> bool:
        return bool(self.gone or self.inside)


def at(version: int, shown: type[Shown], value: Value) -> Value:
    """`value`, an object or a list of them, as it is at 2.`version`; trimmed in place."""
    _trim(value, _trimming(shown, version))
    return value


@cache
def _trimming(shown: type[BaseModel], version: int) -> Trimming:
    gone, inside = set(), {}
    for name, info in shown.model_fields.items():
        wire, spans = info.alias or name, spans_of(info)
        if spans and not any(span.first <= version <= span.last for span in spans):
            gone.add(wire)
        for model in models_in(info.annotation):
            if trimming := _trimming(model, version):
                inside[wire] = trimming
    return Trimming(frozenset(gone), inside)


def _trim(value: Any, trimming: Trimming) -> None:
    if isinstance(value, list):
        for each in value:
            _trim(each, trimming)
    elif isinstance(value, dict):
        for name in trimming.gone:
            value.pop(name, None)
        for name, below in trimming.inside.items():
            if name in value:
                _trim(value[name], below)
