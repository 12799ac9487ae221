"""Tags: values by which people find executions, evaluated when a message is accepted."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hookline.flows.elements.expressions import Template
from hookline.kernel.errors import ExpressionError
from hookline.kernel.json import by_value, encode
from hookline.model.message import MAX_TAG


@dataclass(frozen=True, slots=True)
class Tags:
    """The compiled tags of a flow."""

    templates: Mapping[str, Template]

    def of(self, scope: Mapping[str, Any]) -> dict[str, str]:
        """Return the tags of a message. One without a value is left out, since a tag must not reject a message."""
        found = ((name, _text(template, scope)) for name, template in self.templates.items())
        return {name: text for name, text in found if text}


def _text(template: Template, scope: Mapping[str, Any]) -> str | None:
    try:
        value = template.evaluate(scope)
    except ExpressionError:
        return None
    if isinstance(value, bool | int | float | Decimal):
        value = encode(by_value(value)).decode()
    # PostgreSQL has no NUL in texts.
    return value.replace("\0", "\ufffd")[:MAX_TAG] if isinstance(value, str) else None
