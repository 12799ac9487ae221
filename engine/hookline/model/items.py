"""What an action is given item by item, however much there is: a setting annotated `Items[…]`."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")


class Items(Generic[T]):
    """The items of a list, or of a stream: `async for item in items`, as often as one likes.

    An action says `rows: Items[dict[str, JsonValue]]`, and takes what an expression gives as a stream without having
    all of it in memory. The items of a list are checked before; what those of a stream are is the action's to check.
    """

    __slots__ = ("_open", "count")

    def __init__(self, open: Callable[[], AsyncIterator[T]], count: int) -> None:
        self._open = open
        self.count = count
        """How many there are."""

    @classmethod
    def of(cls, values: list[T]) -> "Items[T]":
        """Those of a list."""

        async def each() -> AsyncIterator[T]:
            for value in values:
                yield value

        return cls(each, len(values))

    def __aiter__(self) -> AsyncIterator[T]:
        return self._open()

    def __repr__(self) -> str:
        return f"<{self.count:,} items>"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        given = get_args(source)
        item = handler.generate_schema(given[0]) if given else core_schema.any_schema()
        return core_schema.no_info_wrap_validator_function(_read, core_schema.list_schema(item))


def _read(value: Any, listed: Callable[[Any], list[Any]]) -> "Items[Any]":
    return value if isinstance(value, Items) else Items.of(listed(value))
