"""Temporal's data converter for pydantic models, made once.

The SDK asks for a converter with another context some four times for each payload, and its own answers with new
converters whose caches of pydantic's validators are empty.
"""

import copy
from dataclasses import dataclass, field
from typing import Self

from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
)

_SHARED = PydanticPayloadConverter().converters
"""They keep no state but the validators of the types that were seen."""


MOST_BOUND = 256
"""Contexts whose copies are kept: some of each operation that runs."""


class Models(CompositePayloadConverter):
    """`PydanticPayloadConverter`, whose parts all workflows and steps share."""

    def __init__(self) -> None:
        self.converters = _SHARED  # made some four times for each activation of a workflow


@dataclass(frozen=True)
class Converter(DataConverter):
    """Only its codec has a context; all else of it is shared by the copies that `with_context` makes.

    The SDK asks for the same copy again and again: three times for each payload of a workflow, since it looks for
    payloads to be stored elsewhere, too."""

    _bound: dict[SerializationContext, Self] = field(default_factory=dict, init=False, repr=False, compare=False)

    def with_context(self, context: SerializationContext) -> Self:
        if not isinstance(self.payload_codec, WithSerializationContext):
            return self
        known = self._bound.get(context)
        if known is None:
            known = copy.copy(self)
            object.__setattr__(known, "payload_codec", self.payload_codec.with_context(context))
            if len(self._bound) >= MOST_BOUND:
                self._bound.clear()
            self._bound[context] = known
        return known


def of(codec: PayloadCodec) -> Converter:
    return Converter(payload_converter_class=Models, payload_codec=codec)
