"""The admin API: `/api/v1/`, and what watches the server: `/healthz`, `/readyz`, `/metrics`.

All under `/api/v1/` but its description asks for the bearer token. Health, readiness and metrics don't: they hold
nothing but counts and the names of flows, and are for probes that have no token.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from quart import Blueprint, Response, current_app, request

from hookline.errors import (
    CannotSign,
    CredentialError,
    ExecutionNotFound,
    FlowInvalid,
    FlowNotFound,
    HooklineError,
    IllegalStateChange,
    Malformed,
    NotExplained,
    NothingKept,
    NotReplayable,
    NotVerified,
    Problem,
    RedactedUnreadable,
    RequestRefused,
    StoreError,
    UnpublishedChanges,
)
from hookline.jsontypes import decode
from hookline.model.message import Message
from hookline.ports import Duplicate
from hookline.runtime.engine import Engine
from hookline.runtime.metrics import CONTENT_TYPE
from hookline.service import openapi, problems, views
from hookline.service.api_messages import PAGE, answer, decoded, limit_of, paged, query
from hookline.service.components import ComponentView, component_views
from hookline.service.deploys import add_deploys
from hookline.service.kept import add_kept
from hookline.service.openapi import operation
from hookline.service.readiness import Readiness
from hookline.service.recordings import add_recordings
from hookline.service.repairs import FILTERS, chosen_by, repair_routes
from hookline.service.signing import Signed, Unsigned, credential_of, hook_url, sign_for_others
from hookline.service.storage import add_storage


class PutCredentialRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A credential's type and its values."""

    type: str
    values: dict[str, Any]


class StartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The message that starts a flow."""

    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Any JSON value; null where it is left out."""
    headers: dict[str, str] = {}
    dedupe_key: str | None = None
    """A message with the same key starts nothing within 7 days."""


class Started(msgspec.Struct, frozen=True):
    """An execution that a message has started, or had started before."""

    execution_id: str
    flow_id: str
    status: str
    """`queued`, or `duplicate`."""


class ResumeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call in place of one that doesn't come."""

    step: str
    """The path of the step that waits, or its id where only one of that id waits."""
    body: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))
    """Any JSON value: what the call brings."""


class Rotated(msgspec.Struct, frozen=True):
    """How many credentials were encrypted anew."""

    rotated: int


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the server is."""

    status: str
    reason: str | None = None
    """What is wrong, for those who send the admin token: it may name files and servers."""


class _CredentialMissing(CredentialError):
    """There is no such credential."""


def blueprints(engine: Engine, token: str) -> tuple[Blueprint, ...]:
    """The admin API of an engine. `token`: the one bearer token that it takes."""
    return _api(engine, token), _watch(engine, token)


def _api(engine: Engine, token: str) -> Blueprint:
    api = Blueprint("api", __name__, url_prefix="/api/v1")

    @api.errorhandler(HooklineError)
    async def refused(error: HooklineError) -> Response:
        return _problem(error)

    @api.before_request
    async def authorise() -> None:
        if not _bears(token):
            raise NotVerified("Send the admin token: Authorization: Bearer <token>.")

    _flows(api, engine)
    add_deploys(api, engine)
    add_kept(api, engine)
    add_recordings(api, engine)
    add_storage(api, engine)
    _executions(api, engine)
    repair_routes(api, engine)
    _credentials(api, engine)
    return api


def _flows(api: Blueprint, engine: Engine) -> None:
    @api.get("/flows")
    @operation(views.PageView[views.FlowView])
    async def list_flows() -> Response:
        """The flows, sorted by id, broken ones with what is wrong."""
        url = engine.options.public_url
        entries = sorted(engine.catalog.entries.items())
        shown = [views.flow_view(entry, url, engine.sources.status(entry.id), engine.states) for _, entry in entries]
        return answer(views.PageView(shown, None))

    @api.post("/flows/<flow_id>/start")
    @operation(Started, request=StartRequest, status=202)
    async def start_flow(flow_id: str) -> Response:
        """Start a flow by hand, whatever its trigger."""
        given = decoded(await request.get_data(as_text=False), StartRequest)
        flow = engine.intake.flow(flow_id)
        headers = {name.lower(): value for name, value in given.headers.items()}
        try:
            body = None if given.body is msgspec.UNSET else decode(bytes(given.body), exact=flow.exact)
        except ValueError as error:
            raise Malformed(f"The message's body is wrong: {error}.") from None
        message = Message(body, headers)
        result = await engine.starting.start(flow, message, by="admin token", dedupe_key=given.dedupe_key)
        if isinstance(result, Duplicate):
            return answer(Started(result.execution_id, flow_id, "duplicate"))
        return answer(Started(result.execution_id, flow_id, "queued"), 202)

    @api.post("/flows/<flow_id>/sign")
    @operation(Signed, request=Unsigned)
    async def sign_message(flow_id: str) -> Response:
        """Sign a message as its provider would: what `hookline send` then sends.

        Nothing that it gives shows a secret; schemes whose headers do are refused.
        """
        message = decoded(await request.get_data(as_text=False), Unsigned)
        entry = engine.catalog.entries.get(flow_id)
        if entry is None or entry.flow is None:
            raise FlowNotFound(f"there is no flow {flow_id!r} that serves")
        credential = credential_of(entry.flow, engine.credentials.get)
        url = hook_url(engine.options.public_url, flow_id, message)
        return answer(sign_for_others(entry.flow, credential, message, url, engine.clock.now()))

    @api.get("/flows/<flow_id>/refused")
    @operation(views.PageView[views.RefusedView], query=PAGE)
    async def list_refused_by_flow(flow_id: str) -> Response:
        """Requests that a flow refused, newest first; `-` is those to flows that there aren't."""
        given = query("cursor", "limit")
        found = engine.store.refused(flow_id=flow_id, cursor=given.get("cursor"), limit=limit_of(given.get("limit")))
        return answer(views.refused_view(await paged(found)))

    @api.get("/refused")
    @operation(views.PageView[views.RefusedView], query=PAGE)
    async def list_refused() -> Response:
        """Requests that were refused, of all flows, newest first."""
        given = query("cursor", "limit")
        found = engine.store.refused(cursor=given.get("cursor"), limit=limit_of(given.get("limit")))
        return answer(views.refused_view(await paged(found)))

    @api.get("/components")
    @operation(views.PageView[ComponentView])
    async def list_components() -> Response:
        """What flows can use: actions, triggers, schemes, mappers, types of credentials."""
        return answer(views.PageView(component_views(engine.registry), None))


def _executions(api: Blueprint, engine: Engine) -> None:
    @api.get("/executions")
    @operation(
        views.PageView[views.SummaryView],
        query={**FILTERS, **PAGE},
    )
    async def list_executions() -> Response:
        """Executions, newest first."""
        given = query(*FILTERS, "cursor", "limit")
        page = await paged(
            engine.store.executions(**chosen_by(given), cursor=given.get("cursor"), limit=limit_of(given.get("limit")))
        )
        return answer(views.page_view(page))

    @api.get("/executions/<execution_id>")
    @operation(views.ExecutionView)
    async def get_execution(execution_id: str) -> Response:
        """An execution with the latest attempt at each of its steps."""
        view = await views.execution_view(engine.store, execution_id, engine.resume_url)
        if view is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        return answer(view)

    @api.get("/executions/<execution_id>/steps")
    @operation(views.PageView[views.StepView], query=PAGE)
    async def list_steps(execution_id: str) -> Response:
        """Each attempt at each step of an execution, in order."""
        given = query("cursor", "limit")
        if await engine.store.execution(execution_id) is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        limit = limit_of(given.get("limit"))
        return answer(await paged(views.steps_view(engine.store, execution_id, given.get("cursor"), limit)))

    @api.post("/executions/<execution_id>/retry")
    @operation(views.ExecutionView, status=202)
    async def retry_execution(execution_id: str) -> Response:
        """Run a failed execution again: what it has done stays done."""
        await engine.retry(execution_id)
        return answer(await views.execution_view(engine.store, execution_id, engine.resume_url), 202)

    @api.post("/executions/<execution_id>/resume")
    @operation(views.ExecutionView, request=ResumeRequest, status=202)
    async def resume_execution(execution_id: str) -> Response:
        """Call a step that waits, in place of whoever doesn't call it."""
        given = decoded(await request.get_data(as_text=False), ResumeRequest)
        await engine.resume(execution_id, given.step, bytes(given.body))
        return answer(await views.execution_view(engine.store, execution_id, engine.resume_url), 202)

    @api.post("/executions/<execution_id>/release")
    @operation(views.ExecutionView)
    async def release_execution(execution_id: str) -> Response:
        """Let the next execution with its order key run, although this one has failed and holds the key."""
        await engine.release(execution_id)
        return answer(await views.execution_view(engine.store, execution_id, engine.resume_url))


def _credentials(api: Blueprint, engine: Engine) -> None:
    def found(name: str) -> views.CredentialView:
        for info in engine.credentials.list():
            if info.name == name:
                return views.credential_view(info)
        raise _CredentialMissing(f"There is no credential {name!r}.")

    @api.get("/credentials")
    @operation(views.PageView[views.CredentialView])
    async def list_credentials() -> Response:
        """The credentials, without their secrets."""
        return answer(views.PageView([views.credential_view(info) for info in engine.credentials.list()], None))

    @api.get("/credentials/<name>")
    @operation(views.CredentialView)
    async def get_credential(name: str) -> Response:
        """A credential, without its secrets."""
        return answer(found(name))

    @api.put("/credentials/<name>")
    @operation(views.CredentialView, request=PutCredentialRequest)
    async def put_credential(name: str) -> Response:
        """Make or replace a credential."""
        given = decoded(await request.get_data(as_text=False), PutCredentialRequest)
        await engine.credentials.put(name, given.type, given.values)
        return answer(found(name))

    @api.post("/credentials/rotate")
    @operation(Rotated)
    async def rotate_credentials() -> Response:
        """Encrypt with the first key what is under another."""
        return answer(Rotated(await engine.credentials.rotate()))

    @api.delete("/credentials/<name>")
    @operation(status=204)
    async def drop_credential(name: str) -> Response:
        """Remove a credential."""
        found(name)
        await engine.credentials.drop(name)
        return Response(status=204)


def _watch(engine: Engine, token: str) -> Blueprint:
    watch = Blueprint("watch", __name__)
    readiness = Readiness(engine.store, engine.blobs, engine.clock, engine.log, engine.intake.full)

    @watch.get("/healthz")
    @operation(Status, open=True)
    async def healthz() -> Response:
        """Whether the process works; where it doesn't, it is to be started anew."""
        return answer(Status("failed"), 503) if engine.failed.is_set() else answer(Status("ok"))

    @watch.get("/readyz")
    @operation(Status, open=True)
    async def readyz() -> Response:
        """Whether requests should come here: not before the start is done, nor once the server stops.

        Nor while messages or their files can't be stored; with the admin token it says why.
        """
        if not engine.ready:
            return answer(Status("not ready"), 503)
        trouble = await readiness.trouble()
        if trouble is not None:
            return answer(Status(trouble.status, trouble.reason if _bears(token) else None), 503)
        return answer(Status("ready"))

    @watch.get("/api/v1/openapi.json")
    async def description() -> Response:
        return answer(openapi.document(current_app))

    @watch.get("/metrics")
    @operation(str, open=True, media_type="text/plain")
    async def metrics() -> Response:
        """What Prometheus scrapes."""
        try:
            await engine.update_gauges()
        except StoreError as error:
            # The counters are worth having all the more.
            engine.log.warning("queue depths can't be read", error=error.message)
        return Response(engine.metrics.exposition(), content_type=CONTENT_TYPE)

    return watch


def _problem(error: HooklineError) -> Response:
    status = _status(error)
    title = (type(error).__doc__ or "").partition("\n")[0]
    listed: Sequence[Problem] = getattr(error, "problems", ())
    code = getattr(error, "error_code", error.code)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "5"} if status == 503 else {}
    body = problems.problem_body(status, code, title, error.message, listed)
    return Response(body, status, headers, content_type=problems.MEDIA_TYPE.decode())


def _status(error: HooklineError) -> int:
    if isinstance(error, RequestRefused):
        return error.status
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            return status
    return 500


_STATUS: Final[Mapping[type[HooklineError], int]] = {
    ExecutionNotFound: 404,
    FlowNotFound: 404,
    NothingKept: 404,
    FlowInvalid: 422,
    IllegalStateChange: 409,
    UnpublishedChanges: 409,
    NotReplayable: 409,
    RedactedUnreadable: 409,
    NotExplained: 404,
    CannotSign: 422,
    _CredentialMissing: 404,
    CredentialError: 422,
    StoreError: 503,
}


def _bears(token: str) -> bool:
    """Whether the request has the admin token."""
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    # Compared also where the kind is wrong, so that every refusal takes as long.
    right = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
    return right and kind.lower() == "bearer"
