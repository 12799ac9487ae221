"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Sends requests to any HTTP server, with the features that the engine's client has for every connector: pooled
connections, time limits, protection against requests to internal addresses, waits as long as the server asks for, and
masked secrets.
"""

ERRORS: Final[Mapping[str, str]] = {
    "http.<status>": "The server answered with a status of 400 or above. The statuses 408, 425, 429 and those from "
    "500 can be retried.",
    "http.body": "Several bodies are given, or the response claims to be JSON and isn't.",
    "http.connect": "No connection could be made. It can be retried.",
    "http.credential_host": "The credential may not be sent to this host: see its `hosts`.",
    "http.disconnected": "The connection was lost before the response was complete. It can be retried.",
    "http.egress": "The address is internal, and HOOKLINE_EGRESS_ALLOW doesn't name it.",
    "http.file": "`file` matches no attachment of the message, or several.",
    "http.header": "A header can't be set: it is malformed, or the body or the credential determines it.",
    "http.redirect": "There were more redirects than `redirects` allows, or one to a URL that is not HTTP.",
    "http.timeout": "It took longer than `timeout`. It can be retried.",
    "http.tls": "The server's certificate isn't trusted, or TLS failed. It can be retried.",
    "http.too_large": "The response has more bytes than `max_bytes` allows, or more values than a JSON body may have.",
    "http.url": "The URL is invalid, or names no host.",
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
