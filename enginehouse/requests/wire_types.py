"""Numeric types of requests, bounded by what the tensor contract, Triton and MLflow can carry.

Every integer of a request has one of these types or its own bounds; a test checks all request
models. An unbounded integer would fail late, where the field's name is unknown.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StrictInt
from pydantic_core import PydanticCustomError

from enginehouse.generation import (
    LARGEST_REPETITION_PENALTY,
    LARGEST_SHARE,
    SMALLEST_REPETITION_PENALTY,
)

INT32_MAX = 2**31 - 1
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1
_DECIMAL = re.compile(r"-?[0-9]{1,20}")

#: A count of at least one, sent as INT32.
PositiveCount = Annotated[int, Field(ge=1, le=INT32_MAX)]
#: A count that may be 0, sent as INT32.
Count = Annotated[int, Field(ge=0, le=INT32_MAX)]
#: A count that -1 switches off, as in other servers of this API.
CountOrOff = Annotated[int, Field(ge=-1, le=INT32_MAX)]
#: The contract's seed is UINT64; a negative seed, which OpenAI permits, becomes its complement.
Seed = Annotated[int, Field(ge=_INT64_MIN, le=_UINT64_MAX)]
#: A token id is INT32; whether the model has it is checked after routing.
TokenId = Annotated[StrictInt, Field(ge=0, le=INT32_MAX)]
#: A model's version, as numbered by MLflow's database and Triton.
Version = Annotated[int, Field(ge=1, le=INT32_MAX)]


def _decimal(value: Any) -> Any:
    """Keys of JSON objects are text; only plain digits are accepted, so that keys are unique."""
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise PydanticCustomError("token_id", "the key is not a token id: give an integer")
        return int(value)
    return value


#: Numbers sent as float32: values that it cannot hold are rejected or have an equivalent.
Temperature = Annotated[float, Field(ge=0.0, le=2.0)]
TopP = Annotated[float, Field(ge=0.0, le=1.0)]
MinP = Annotated[float, Field(ge=0.0, le=LARGEST_SHARE)]
Penalty = Annotated[float, Field(ge=-2.0, le=2.0)]
RepetitionPenalty = Annotated[
    float, Field(ge=SMALLEST_REPETITION_PENALTY, le=LARGEST_REPETITION_PENALTY)
]

#: A token id as the key of a JSON object.
TokenKey = Annotated[int, Field(ge=0, le=INT32_MAX), BeforeValidator(_decimal)]
