"""What is secret in a credential."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr


def secret_values(value: Any) -> Iterator[str]:
    """The values that a credential's type declares secret, wherever they stand in it."""
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case SecretBytes():
            yield value.get_secret_value().decode("utf-8", "replace")
        case BaseModel():
            for name in type(value).model_fields:
                yield from secret_values(getattr(value, name))
        case dict():
            for item in value.values():
                yield from secret_values(item)
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from secret_values(item)
        case _:
            pass
