"""The origin of a URL: it may be chosen by the flow's text and vars alone."""

import re
from typing import Final

from hookline.flows.elements.expressions import Template

_VAR: Final = r"\{\{\s*vars(?:\.\w+)+\s*\}\}"
#: A text whose beginning has the whole origin: up to the slash after the host, with no user in front of the host.
_FIXED: Final = re.compile(rf"(?:https?://(?:[^{{}}/?#@\\\s]|{_VAR})+[/?#]|{_VAR}(?:[?#]|/(?!/)))", re.IGNORECASE)


def has_fixed_origin(template: Template) -> bool:
    """Return true if no message can choose the scheme, the host or the port of a URL."""
    if template.constant or reads_vars_alone(template):
        return True
    sources = [expression.source for _, expression in template.parts()]
    return len(sources) == 1 and template.either is None and _FIXED.match(sources[0]) is not None


def reads_vars_alone(template: Template) -> bool:
    """Return true if only the flow's vars decide on the value."""
    # An expression without references may read anything: `$..url` searches the whole scope.
    return all(
        expression.references and all(reference.path[:1] == ("vars",) for reference in expression.references)
        for _, expression in template.parts()
    )
