"""The web application: the hook in front, and Quart behind it for the admin API and the console."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Protocol

import structlog
from quart import Blueprint, Quart, Response
from werkzeug.exceptions import HTTPException

from hookline.catalog.catalog import Catalog
from hookline.credentials.oauth_authorization import Authorizations
from hookline.executions.waiting_callers import History, Replies
from hookline.intake.body_checker import BodyChecker
from hookline.intake.callbacks import Callbacks
from hookline.intake.intake import Intake
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import HooklineError, RequestRejected
from hookline.kernel.ids import Ids
from hookline.sdk.http_client import HttpClient
from hookline.secrets.redaction import Redaction
from hookline.service.capturing import CapturingHook
from hookline.service.hook_request_and_response import HookResponse
from hookline.service.hooks.callbacks import CallbackHandler
from hookline.service.hooks.hook_endpoint import Hook, HookOptions
from hookline.service.hooks.receive import RequestReceiver
from hookline.service.hooks.rejection import RejectionHandler
from hookline.service.hooks.reply_wait import ReplyWaiter
from hookline.service.hooks.resume import ResumeEndpoint
from hookline.service.hooks.small_json_hook import DirectHook
from hookline.service.hooks.verification import CredentialSource
from hookline.service.oauth_callback import OAuthCallback
from hookline.service.problem_documents import MEDIA_TYPE, describe_code, problem_body, rejection_response
from hookline.service.sandbox_headers import POLICY, POLICY_HEADER
from hookline.service.server.hook_application import HOOK, OAUTH, RESUME, Endpoint, HookApplication, PrefixRouter
from hookline.sources.subscription_store import SubscriptionStore
from hookline.storage.blobs import Blobs
from hookline.storage.cluster import Membership
from hookline.telemetry.captures import CaptureRecord
from hookline.telemetry.metrics import Metrics
from hookline.telemetry.rejections import RejectionRecord
from hookline.telemetry.store_problem import StoreProblem

_RETRY_AFTER: Final = 5
"""Seconds after which a client should try again after a defect."""
_log: Final = structlog.get_logger("hookline.service")


class HookDependencies(Protocol):
    """The parts of an engine that the hook uses."""

    @property
    def intake(self) -> Intake: ...
    @property
    def callbacks(self) -> Callbacks: ...
    @property
    def credentials(self) -> CredentialSource: ...
    @property
    def subscriptions(self) -> SubscriptionStore: ...
    @property
    def blobs(self) -> Blobs: ...
    @property
    def http(self) -> HttpClient: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def ids(self) -> Ids: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def rejections(self) -> RejectionRecord: ...
    @property
    def captures(self) -> CaptureRecord: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def store_problem(self) -> StoreProblem: ...
    @property
    def replies(self) -> Replies: ...
    @property
    def store(self) -> History: ...
    @property
    def redaction(self) -> Redaction: ...
    @property
    def authorizations(self) -> Authorizations: ...
    @property
    def membership(self) -> Membership: ...
    @property
    def body_checker(self) -> BodyChecker: ...


class Endpoints(NamedTuple):
    """The endpoints for requests from outside, and the parts that they share."""

    hook: Hook
    capturing: CapturingHook
    """The hook for requests to its URL, which are captured."""
    direct: DirectHook
    resume: ResumeEndpoint
    callback: OAuthCallback
    receiver: RequestReceiver
    rejections: RejectionHandler

    def application(self, **options: Any) -> HookApplication:
        """The ASGI application of the endpoints. `options`: those of `HookApplication`."""
        endpoints: Mapping[str, Endpoint] = {HOOK: self.hook, RESUME: self.resume, OAUTH: self.callback}
        return HookApplication(endpoints, capturing=self.capturing, **options)


def create_endpoints(engine: HookDependencies, options: HookOptions) -> Endpoints:
    rejections = RejectionHandler(engine.metrics, engine.rejections, engine.clock, engine.store_problem)
    receiver = RequestReceiver(
        credentials=engine.credentials,
        subscriptions=engine.subscriptions,
        blobs=engine.blobs,
        http=engine.http,
        clock=engine.clock,
        options=options,
        body_checker=engine.body_checker,
    )
    callbacks = CallbackHandler(
        waiting=engine.callbacks, receiver=receiver, redaction=engine.redaction, clock=engine.clock, ids=engine.ids
    )
    hook = Hook(
        intake=engine.intake,
        receiver=receiver,
        callbacks=callbacks,
        clock=engine.clock,
        ids=engine.ids,
        reply_waiter=ReplyWaiter(engine.replies, engine.store, engine.blobs, engine.redaction, engine.membership),
        rejections=rejections,
    )
    capturing = CapturingHook(
        hook,
        captures=engine.captures,
        intake=engine.intake,
        receiver=receiver,
        catalog=engine.catalog,
        rejections=rejections,
        clock=engine.clock,
        ids=engine.ids,
    )
    direct = DirectHook(
        intake=engine.intake,
        receiver=receiver,
        clock=engine.clock,
        ids=engine.ids,
        rejections=rejections,
        captures=engine.captures,
    )
    resume = ResumeEndpoint(waiting=engine.callbacks, callbacks=callbacks, receiver=receiver, rejections=rejections)
    callback = OAuthCallback(authorizations=engine.authorizations, http=engine.http, rejections=rejections)
    return Endpoints(hook, capturing, direct, resume, callback, receiver, rejections)


def create_app(
    engine: HookDependencies, options: HookOptions, *, blueprints: Iterable[Blueprint] = (), explains: bool = True
) -> Quart:
    """Create the application of an engine, which the caller starts and stops. `explains`: see `create_pages`.

    Requests to `/hook/…`, `/resume/…` and `/oauth/…` don't pass through Quart: a route of Quart costs as much as all
    the rest of accepting a message.
    """
    app = create_pages(blueprints, explains=explains)
    # Quart documents this way of wrapping an application; its types are those of one framework, and ours of none.
    rest: Any = app.asgi_app
    endpoints = create_endpoints(engine, options)
    app.asgi_app = PrefixRouter(endpoints.application(), rest)  # type: ignore[method-assign,assignment]  # as said above
    app.direct = endpoints.direct
    return app


class Pages(Quart):
    """The web application."""

    direct: DirectHook | None = None
    """The way of small messages that doesn't pass through ASGI, if there is a hook."""


def create_pages(blueprints: Iterable[Blueprint] = (), *, explains: bool = True) -> Pages:
    """Create an application with everything except the hook, for `admin_bind`.

    `explains`: serve the pages under `/problems`, which explain the codes of problems.
    """
    app = Pages("hookline", static_folder=None)
    # A path with two slashes in a row is not found, instead of being redirected.
    app.url_map.merge_slashes = False
    for blueprint in blueprints:
        app.register_blueprint(blueprint)

    @app.after_request
    async def keep_apart(response: Response) -> Response:
        # Responses of the API contain data of senders.
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault(POLICY_HEADER.decode(), POLICY)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    async def explain_problem(code: str) -> Response:
        text = describe_code(code)
        if text is None:
            return _problem(404, "request.not_found", "Nothing is here.", f"no problem has the code {code!r}")
        return Response(text + "\n", content_type="text/plain; charset=utf-8")

    if explains:
        app.get("/problems/<code>")(explain_problem)

    @app.errorhandler(HTTPException)
    async def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        title = f"{HTTPStatus(status).phrase}."
        response = _problem(status, f"http.{status}", title, error.description)
        for name, value in error.get_headers():
            if name.lower() in ("allow", "retry-after", "www-authenticate"):
                response.headers[name] = value
        return response

    @app.errorhandler(HooklineError)
    async def hookline_error(error: HooklineError) -> Response:
        if isinstance(error, RequestRejected):
            return _from_reply(rejection_response(error))
        title = (type(error).__doc__ or "").partition("\n")[0]
        return _problem(type(error).status, error.code, title, error.message)

    @app.errorhandler(Exception)
    async def defect(error: Exception) -> Response:
        _log.error("a defect rejects a request", exc_info=error)
        return _problem(503, HooklineError.code, "Something went wrong.")

    return app


def _problem(status: int, code: str, title: str, detail: str | None = None) -> Response:
    headers = {"Retry-After": str(_RETRY_AFTER)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Response(problem_body(status, code, title, detail), status, headers, content_type=MEDIA_TYPE.decode())


def _from_reply(reply: HookResponse) -> Response:
    headers: dict[str, Any] = {name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers}
    return Response(reply.body, reply.status, headers)
