"""The page to which a service redirects the browser after somebody has authorized a credential: `GET /oauth/callback`.

The request isn't authenticated: the redirect's `state` is valid once, and only the admin API issues one.
"""

from html import escape
from typing import Final

from hookline.credentials.oauth_authorization import Authorization, Authorizations
from hookline.kernel.errors import AuthorizationUnknown, FlowUnknown, MethodNotAllowed
from hookline.sdk.http import HttpClient
from hookline.service.hooks.masking import Headers
from hookline.service.hooks.rejection import RejectionHandler, RequestContext, respond
from hookline.service.types import HookRequest, HookResponse

_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    # The URL contains a code: no other site may see it as a referrer, and no cache may keep the page.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
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
<p>{text}</p>
</body>
</html>
"""


class OAuthCallback:
    """The endpoint for requests to `/oauth/…`."""

    def __init__(self, *, authorizations: Authorizations, http: HttpClient, rejections: RejectionHandler) -> None:
        self._authorizations = authorizations
        self._http = http
        self._rejections = rejections

    async def handle(self, request: HookRequest) -> HookResponse:
        """Return the response to a request. Raises SenderGone, and nothing else."""
        return await respond(request, self._rejections, self._handle)

    async def _handle(self, request: HookRequest, headers: Headers, context: RequestContext) -> HookResponse:
        context.path = "/oauth/…"
        if request.path != "callback":
            raise FlowUnknown("Nothing is here.")
        if request.method != "GET":
            raise MethodNotAllowed(headers=[("allow", "GET")])
        try:
            done = await self._authorizations.finish(request.query.decode("latin-1"), self._http)
        except AuthorizationUnknown as error:
            return html_page(400, "Not authorized", error.message)
        return result_page(done)


def result_page(done: Authorization) -> HookResponse:
    """The page that shows the result of an authorization."""
    if done.state == "done":
        return html_page(200, "Authorized", f"{done.message}. You can close this window.")
    return html_page(400, "Not authorized", done.message or "")


def html_page(status: int, title: str, text: str) -> HookResponse:
    """A page with a title and one sentence."""
    return HookResponse(status, _HEADERS, _PAGE.format(title=escape(title), text=escape(text)).encode())
