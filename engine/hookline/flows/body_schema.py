"""A flow's `schema`: JSON Schema of the bodies that it takes."""

from typing import Any, Protocol

from hookline.errors import Problem


class BodySchema(Protocol):
    """A compiled JSON Schema."""

    def problems(self, body: Any) -> list[Problem]:
        """Everything that is wrong with a body, each with its JSON pointer; empty where it is right."""
        ...
