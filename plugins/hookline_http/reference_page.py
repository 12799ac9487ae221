"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Asks any HTTP server, with what the engine's client does for every connector: pooled connections, time limits, the guard
against requests to inside addresses, waiting as long as the server says, and secrets masked.
"""

ERRORS: Final[Mapping[str, str]] = {
    "http.<status>": "The server answered with a status of 400 or above. 408, 425, 429 and those from 500 on can be "
    "tried again.",
    "http.body": "Several bodies are given, or the response says that it is JSON and isn't.",
    "http.connect": "No connection came about; it can be tried again.",
    "http.credential_host": "A message names the host, and neither the flow's text, its vars nor the credential's "
    "`hosts` do.",
    "http.disconnected": "The connection broke before the response was whole; it can be tried again.",
    "http.egress": "The address is an inside one, and HOOKLINE_EGRESS_ALLOW doesn't name it.",
    "http.file": "`file` names no attachment of the message, or several.",
    "http.header": "A header can't be sent: it is malformed, or follows from the body or the credential.",
    "http.redirect": "There were more redirects than `redirects` allows, or one to what is no HTTP URL.",
    "http.timeout": "It took longer than `timeout`; it can be tried again.",
    "http.tls": "The server's certificate isn't trusted, or TLS failed; it can be tried again.",
    "http.too_large": "The response has more bytes than `max_bytes` allows, or more values than a body of JSON may "
    "have.",
    "http.url": "The URL can't be read, or names no host.",
}

EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "orders-to-erp",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "bearer", "credential": "shop"}}},
    "steps": [
        {
            "id": "create",
            "use": "http.request",
            "with": {"url": "https://erp.example/orders", "method": "POST", "json": "$.body"},
            "credential": "erp",
            "retry": {"attempts": 5, "wait": "2s", "factor": 2, "cap": "5m"},
        },
        {"id": "created", "use": "filter", "with": {"keep": "{{ steps.create.status == 201 }}"}},
        {"id": "note", "use": "log", "with": {"message": "order {{ body.id }} was created"}},
    ],
}
