"""What a browser shows at the URL of a step that waits: a page that asks, since mail scanners follow links too."""

from html import escape
from typing import Final

from hookline.flows.blocks.webhook_wait import WaitNode
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.model.webhook import takes
from hookline.service.types import HookReply

_FORM: Final = "application/x-www-form-urlencoded"
_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    # The URL is a secret: no other site may show the page, be told where a visitor came from, or be sent the form.
    (b"content-security-policy", b"default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex"),
)
_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body>
<h1>{title}</h1>
<p>This flow waits at its step <strong>{step}</strong>.</p>
{asks}
</body>
</html>
"""
_BUTTON: Final = '<form method="post"><button type="submit">Go on</button></form>'
_ELSEWHERE: Final = "<p>It waits for a call from another system: nothing can be done about it here.</p>"


def page(flow: CompiledFlow, node: WaitNode) -> HookReply:
    """The page of a step, with a button that calls it, where an empty form is a call that it takes."""
    settings = node.settings
    by_form = (
        node.scheme is None
        and "POST" in settings.methods
        and (settings.media_types is None or takes(settings.media_types, _FORM))
    )
    text = _PAGE.format(
        title=escape(flow.document.title or flow.id), step=escape(node.id), asks=_BUTTON if by_form else _ELSEWHERE
    )
    return HookReply(200, _HEADERS, text.encode())
