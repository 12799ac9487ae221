"""Requests that were refused."""

from dataclasses import dataclass
from typing import Final

from hookline.model.rejection import RefusedRequest

REFUSED_KEPT: Final = 100
"""Refused requests that are kept of a flow."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Requests were refused. Of each flow the newest `REFUSED_KEPT` stay."""

    requests: tuple[RefusedRequest, ...]
