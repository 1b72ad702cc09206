"""Temporal's data converter for pydantic models, made once.

The SDK asks for a converter with another context some four times for each payload, and its own answers with new
converters whose caches of pydantic's validators are empty.
"""

import copy
from typing import Self

from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
)

_SHARED = tuple(PydanticPayloadConverter().converters.values())
"""They keep no state but the validators of the types that were seen."""


class Models(CompositePayloadConverter):
    """`PydanticPayloadConverter`, whose parts all workflows and steps share."""

    def __init__(self) -> None:
        super().__init__(*_SHARED)


class Converter(DataConverter):
    """Only its codec has a context; all else of it is shared by the copies that `with_context` makes."""

    def with_context(self, context: SerializationContext) -> Self:
        if not isinstance(self.payload_codec, WithSerializationContext):
            return self
        bound = copy.copy(self)
        object.__setattr__(bound, "payload_codec", self.payload_codec.with_context(context))
        return bound


def of(codec: PayloadCodec) -> Converter:
    return Converter(payload_converter_class=Models, payload_codec=codec)
