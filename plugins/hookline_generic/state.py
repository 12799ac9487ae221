"""The actions `state.get` and `state.set`: the values that a flow keeps from one execution to the next."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from hookline.api import MAX_KEY, PASS, Connector, Context, Increment, JsonValue, Signal, StepError, check_key
from hookline_generic.reference_text import STATE, STATE_ERRORS, STATE_EXAMPLE

state = Connector("state", title="State", outside=False, description=STATE, errors=STATE_ERRORS, example=STATE_EXAMPLE)


class _Nothing:
    """Marks a missing setting, because null is a valid value."""


def _number(value: Any) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float | Decimal)):
        raise ValueError("`add` takes a number")
    return value


Key = Annotated[
    str, Field(min_length=1, max_length=MAX_KEY, description=f"The key: printable text of up to {MAX_KEY} characters.")
]

_GIVEN: Any = Field(
    default_factory=_Nothing, description="The value to keep: any JSON value of up to 256 KB. Null removes the key."
)


@state.action(idempotent=True)
async def get(
    ctx: Context[None],
    key: Key,
    default: Annotated[JsonValue, Field(description="The body if nothing is kept under the key.")] = None,
) -> JsonValue:
    """Read what the flow keeps under a key; the body becomes the value."""
    value = await ctx.state.get(key)
    return default if value is None else value


@state.action(name="set", idempotent=True)
async def set_value(
    ctx: Context[None],
    key: Key,
    value: JsonValue = _GIVEN,
    add: Annotated[
        Any,
        AfterValidator(_number),
        WithJsonSchema({"type": "number"}),
        Field(description="Instead of `value`: a number that is added to the stored number, which is 0 at first."),
    ] = None,
) -> Signal | Increment:
    """Keep a value under a key, exactly once; the flow then continues with the same message.

    With `add`, it counts, and the body becomes the new number; no addition is lost if executions run at the same time.
    """
    if isinstance(value, _Nothing) == (add is None):
        raise StepError("state.set needs either `value` or `add`", code="state.settings")
    check_key(key)
    if add is not None:
        return Increment(key, add)
    await ctx.state.set(key, value)
    return PASS
