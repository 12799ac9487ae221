"""The page to which a service redirects the browser after somebody has authorized a credential: `GET /oauth/callback`.

The request isn't authenticated: the redirect's `state` is valid once, and only the admin API issues one.
"""

from hookline.credentials.oauth_authorization import Authorization, Authorizations
from hookline.kernel.errors import AuthorizationUnknown, FlowUnknown, MethodNotAllowed
from hookline.sdk.http_client import HttpClient
from hookline.service.hook_request_and_response import HookRequest, HookResponse
from hookline.service.hooks.headers_and_masks import Headers
from hookline.service.hooks.rejection import RejectionHandler, RequestContext, respond
from hookline.service.html_page import text_page


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
            return text_page(400, "Not authorized", error.message)
        return result_page(done)


def result_page(done: Authorization) -> HookResponse:
    """The page that shows the result of an authorization."""
    if done.state == "done":
        return text_page(200, "Authorized", f"{done.message}. You can close this window.")
    return text_page(400, "Not authorized", done.message or "")
