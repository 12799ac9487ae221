"""Letting pages of other origins send from a browser (the Fetch standard's CORS protocol)."""

from collections.abc import Mapping

from hookline.model.webhook import Cors, WebhookSettings
from hookline.service.exchange import HookReply


def options(webhook: WebhookSettings, headers: Mapping[str, str]) -> HookReply:
    """The answer to OPTIONS: a browser's preflight, or somebody's question what the hook takes."""
    methods = ", ".join(("HEAD", "OPTIONS", *webhook.methods)).encode()
    cors, origin = webhook.cors, headers.get("origin")
    if cors is None or origin is None or "access-control-request-method" not in headers:
        return HookReply(204, ((b"allow", methods),))
    if _allowed(cors, origin) is None:
        # Without the headers that allow it, the browser does not send.
        return HookReply(204, ((b"vary", b"Origin"),))
    return HookReply(
        204,
        (
            (b"access-control-allow-methods", ", ".join(webhook.methods).encode()),
            (b"access-control-allow-headers", ", ".join(cors.headers).encode()),
            (b"access-control-max-age", b"%d" % cors.max_age.total_seconds()),
        ),
    )


def allowing(reply: HookReply, webhook: WebhookSettings, origin: str | None) -> HookReply:
    """An answer that a page of that origin may read, where the hook lets it: refusals too, which it has to show."""
    cors = webhook.cors
    if cors is None or origin is None:
        return reply
    allowed = _allowed(cors, origin)
    headers = reply.headers if (b"vary", b"Origin") in reply.headers else (*reply.headers, (b"vary", b"Origin"))
    if allowed is not None:
        headers = (
            *headers,
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", b"Hookline-Execution-Id, Retry-After"),
        )
    return HookReply(reply.status, headers, reply.body, reply.file, reply.chunks)


def _allowed(cors: Cors, origin: str) -> bytes | None:
    if "*" in cors.origins:
        return b"*"
    return origin.encode("latin-1") if origin in cors.origins else None
