"""`http.request`: requests to any HTTP server."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_http.request import http


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The HTTP connector."""
    return [http]
