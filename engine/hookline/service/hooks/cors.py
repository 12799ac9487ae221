"""CORS: requests from pages of other origins (the Fetch standard's CORS protocol)."""

from collections.abc import Mapping
from typing import Final

from hookline.model.webhook import Cors, RequestSettings
from hookline.service.hook_request_and_response import HookResponse


def allow(settings: RequestSettings) -> str:
    """The value of `Allow` in responses to OPTIONS and to other methods; HEAD and OPTIONS run nothing."""
    return ", ".join((*settings.methods, "HEAD", "OPTIONS"))


_OURS: Final = (b"vary", b"access-control-allow-origin")


def options(webhook: RequestSettings, headers: Mapping[str, str]) -> HookResponse:
    """The response to OPTIONS, whether it is the preflight of a browser or not."""
    cors, origin = webhook.cors, headers.get("origin")
    if cors is None or origin is None or "access-control-request-method" not in headers:
        return HookResponse(204, ((b"allow", allow(webhook).encode()),))
    if _allowed(cors, origin) is None:
        # Without the headers that allow it, the browser does not send the request.
        return HookResponse(204, ((b"vary", b"Origin"),))
    return HookResponse(
        204,
        (
            (b"access-control-allow-methods", ", ".join(webhook.methods).encode()),
            (b"access-control-allow-headers", ", ".join(cors.headers).encode()),
            (b"access-control-max-age", b"%d" % cors.max_age.total_seconds()),
        ),
    )


def allowing(reply: HookResponse, webhook: RequestSettings, origin: str | None) -> HookResponse:
    """Let a page of that origin read a response, if the hook allows the origin; rejections too, so that the page can
    show them."""
    cors = webhook.cors
    if cors is None or origin is None:
        return reply
    allowed = _allowed(cors, origin)
    # A flow's reply may have set the header: a browser rejects a response that allows two origins.
    headers = [header for header in reply.headers if header[0] not in _OURS]
    varies = [value for name, value in reply.headers if name == b"vary"]
    if b"*" not in varies and not any(b"origin" in _listed(value) for value in varies):
        varies.append(b"Origin")
    headers.append((b"vary", b", ".join(varies)))
    if allowed is not None:
        headers += [
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", b"Hookline-Execution-Id, Retry-After"),
        ]
    return HookResponse(reply.status, tuple(headers), reply.body, reply.file, reply.chunks)


def _listed(value: bytes) -> list[bytes]:
    return [one.strip() for one in value.lower().split(b",")]


def _allowed(cors: Cors, origin: str) -> bytes | None:
    if "*" in cors.origins:
        return b"*"
    return origin.encode("latin-1") if origin in cors.origins else None
