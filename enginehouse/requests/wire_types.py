"""Numbers of requests, bounded to what carries them further: the tensor contract, Triton, MLflow.

Every integer of a request has one of these types or bounds of its own; a test walks all request
models and asks for it. An unbounded integer fails late, in a place that knows no field.
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
#: A count where -1 stands for none, as other servers of this API have it.
CountOrOff = Annotated[int, Field(ge=-1, le=INT32_MAX)]
#: The contract's seed is UINT64; a negative one, which OpenAI's type allows, is its complement.
Seed = Annotated[int, Field(ge=_INT64_MIN, le=_UINT64_MAX)]
#: A token id is INT32; whether the model has it is known only when the request is routed.
TokenId = Annotated[StrictInt, Field(ge=0, le=INT32_MAX)]
#: A model's version, as MLflow's database and Triton number them.
Version = Annotated[int, Field(ge=1, le=INT32_MAX)]


def _decimal(value: Any) -> Any:
    """Keys of JSON objects are text: only plain digits are a number, so no two keys are one id."""
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise PydanticCustomError("token_id", "the key is not a token id: give an integer")
        return int(value)
    return value


#: Numbers that travel as float32: what it cannot hold is refused, or means the same as what it can.
Temperature = Annotated[float, Field(ge=0.0, le=2.0)]
TopP = Annotated[float, Field(ge=0.0, le=1.0)]
MinP = Annotated[float, Field(ge=0.0, le=LARGEST_SHARE)]
Penalty = Annotated[float, Field(ge=-2.0, le=2.0)]
RepetitionPenalty = Annotated[
    float, Field(ge=SMALLEST_REPETITION_PENALTY, le=LARGEST_REPETITION_PENALTY)
]

#: A token id as the key of a JSON object.
TokenKey = Annotated[int, Field(ge=0, le=INT32_MAX), BeforeValidator(_decimal)]
