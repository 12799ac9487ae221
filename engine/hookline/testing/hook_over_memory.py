"""A hook over memory: to try requests, bodies and schemes without a store, a server or time."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import structlog
from pydantic import BaseModel

from hookline.catalog.catalog import Catalog
from hookline.credentials.oauth_authorization import Authorization, Authorizations
from hookline.credentials.stored_credentials import FoundCredential
from hookline.discovery.registry import Registry
from hookline.executions.waiting_callers import Replies
from hookline.flows.compiler.compiled_flow import CompiledFlow, CompiledTrigger, FlowSettings
from hookline.flows.compiler.subscription import subscription_credential
from hookline.flows.elements.message_keys import MessageKey
from hookline.flows.schemas.body_schema import BodySchema
from hookline.intake.body_checker import BodyChecker
from hookline.intake.callbacks import Callbacks, WaitingStep
from hookline.intake.intake import Intake
from hookline.kernel.errors import AuthorizationUnknown, CredentialError, FlowUnknown, StoreError, TokenUnknown
from hookline.kernel.ids import Ids
from hookline.model.access import AuditEntry
from hookline.model.callbacks_and_pages import Page, WaitStatus
from hookline.model.execution import Execution, StepRecord
from hookline.model.flow import FlowDocument
from hookline.model.message import Envelope
from hookline.model.webhook import WebhookSettings
from hookline.sdk.http_client import HttpClient
from hookline.sdk.schemes import Scheme
from hookline.sdk.triggers import RequestTrigger
from hookline.secrets.credential_reach import HostRule
from hookline.secrets.encryption import Vault
from hookline.secrets.redaction import Redaction
from hookline.service.app import create_endpoints
from hookline.service.hook_request_and_response import HookRequest, HookResponse
from hookline.service.hooks.receive import HookOptions
from hookline.sources.subscription_store import SubscriptionStore
from hookline.storage.blobs import Blob, Blobs
from hookline.storage.change_declarations import (
    Accepted,
    CallbackOutcome,
    CallbackRepeated,
    CallbackStored,
    Change,
    CommitResult,
    Duplicate,
    StoreCallback,
)
from hookline.storage.cluster import Alone
from hookline.storage.queue import Stored
from hookline.storage.store import Store
from hookline.telemetry.captures import CaptureRecord
from hookline.telemetry.live_events import Events
from hookline.telemetry.metrics import Metrics
from hookline.telemetry.rejections import RejectionRecord
from hookline.telemetry.store_problem import StoreProblem


class StillClock:
    """Time that stands still until it is moved."""

    def __init__(self, at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = at
        self.at = at

    def now(self) -> datetime:
        """The time."""
        return self.at

    def monotonic(self) -> float:
        """Seconds since the start."""
        return (self.at - self._start).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Move it."""
        self.at += timedelta(seconds=seconds)


class _MemoryWriter:
    def __init__(self, blobs: "MemoryBlobs") -> None:
        self._blobs = blobs
        self._data = bytearray()
        self.size = 0
        blobs.open_writers += 1

    async def write(self, chunk: bytes) -> None:
        self._data += chunk
        self.size += len(chunk)

    async def commit(self) -> Blob:
        self._blobs.open_writers -= 1
        self._blobs.made += 1
        blob = Blob(f"blob-{self._blobs.made}", self.size, hashlib.sha256(self._data).hexdigest())
        self._blobs.kept[blob.id] = bytes(self._data)
        return blob

    async def abort(self) -> None:
        self._blobs.open_writers -= 1


class NoHistory:
    """A store in which nothing has run."""

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """Do nothing: there is no entry to change."""
        return [None for _ in changes]

    async def execution(self, execution_id: str) -> Execution | None:
        """None."""
        return None

    async def envelope(self, execution_id: str) -> Envelope | None:
        """None."""
        return None

    async def journal(self, execution_id: str, after: int = 0, limit: int | None = None) -> Sequence[StepRecord]:
        """No entries."""
        return ()


class MemorySubscriptions(SubscriptionStore):
    """The subscriptions of flows, in dictionaries."""

    def __init__(self) -> None:
        self.secrets: dict[str, list[str]] = {}
        """Of each flow those by which it verifies."""
        self.unsettled: set[str] = set()
        """The flows whose provider is just making its secret."""

    async def verifying(self, flow: CompiledFlow) -> tuple[BaseModel | None, bool]:
        subscribes, scheme = flow.trigger.subscribes, flow.trigger.scheme
        if subscribes is None or scheme is None or flow.id not in self.secrets:
            raise CredentialError(f"flow {flow.id!r} is not subscribed")
        return subscription_credential(subscribes.trigger, scheme, self.secrets[flow.id]), flow.id in self.unsettled


class MemoryBlobs:
    """Blobs in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.open_writers = 0
        self.made = 0

    async def ping(self) -> None:
        """They can always be kept."""

    async def create(self) -> _MemoryWriter:
        """A new blob."""
        return _MemoryWriter(self)

    async def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        """Its bytes."""
        try:
            data = self.kept[blob_id]
        except KeyError:
            raise StoreError(f"there is no blob {blob_id}") from None
        for start in range(0, len(data), chunk_size):
            yield data[start : start + chunk_size]

    async def delete(self, blob_id: str) -> None:
        """Remove it."""
        self.kept.pop(blob_id, None)

    async def older_than(self, at: datetime) -> AsyncIterator[str]:
        """All of them: they have no age."""
        for blob_id in list(self.kept):
            yield blob_id

    async def disk_usage(self) -> int:
        """Memory is no disk."""
        return 0

    async def sizes(self, blob_ids: Collection[str]) -> Mapping[str, int]:
        """Memory is no disk."""
        return {}

    async def close(self) -> None:
        """Nothing is held."""


@dataclass
class MemoryIntake(Intake):
    """An intake that accepts into a list."""

    flows: Mapping[str, CompiledFlow]
    accepted: list[Envelope] = field(default_factory=list)
    failure: Exception | None = None
    """Raised instead of accepting."""

    def flow(self, flow_id: str) -> CompiledFlow:
        """The flow of that id."""
        if flow_id not in self.flows:
            raise FlowUnknown
        return self.flows[flow_id]

    async def accept(
        self, flow: CompiledFlow, envelope: Envelope, *, audit: AuditEntry | None = None
    ) -> Accepted | Duplicate:
        """Keep the message, unless its key was used."""
        if self.failure is not None:
            raise self.failure
        return self._keep(envelope)

    def direct_flow(self, flow_id: str) -> CompiledFlow | None:
        """The flow of that id, if it is direct."""
        flow = self.flow(flow_id)
        return flow if flow.direct else None

    def begin(self, flow: CompiledFlow, envelope: Envelope, stored: Stored) -> None:
        """Keep the message in the next turn of the loop."""
        asyncio.get_running_loop().call_soon(lambda: stored(self.failure or self._keep(envelope)))

    def _keep(self, envelope: Envelope) -> Accepted | Duplicate:
        if envelope.dedupe_key is not None:
            for known in self.accepted:
                if (known.flow_id, known.dedupe_key) == (envelope.flow_id, envelope.dedupe_key):
                    return Duplicate(known.execution_id)
        self.accepted.append(envelope)
        return Accepted(envelope.execution_id)


class MemoryCallbacks(Callbacks):
    """Steps that wait, by their tokens, and the callbacks that they received."""

    def __init__(self) -> None:
        self.steps: dict[str, WaitingStep] = {}
        self.called: list[StoreCallback] = []
        self.outcome: CallbackOutcome | None = None
        """The outcome of every callback, whatever came before."""
        self.failure: Exception | None = None
        """Raised instead of taking a call."""

    async def find(self, token: str) -> WaitingStep:
        """The step of a token."""
        if token not in self.steps:
            raise TokenUnknown
        return self.steps[token]

    async def status(self, step: WaitingStep) -> WaitStatus:
        """The step waits until it is called."""
        called = any(known.path == step.path for known in self.called)
        return WaitStatus(waits=not called, called=called)

    async def page(self, step: WaitingStep, status: WaitStatus) -> Page | None:
        """The page of the step, if it is constant."""
        return None if step.compiled.page is None else step.compiled.page.before_the_wait(exact=step.flow.exact)

    async def deliver(self, callback: StoreCallback) -> CallbackOutcome:
        """Keep the first call for each step, and for each key."""
        if self.failure is not None:
            raise self.failure
        if self.outcome is not None:
            return self.outcome
        for known in self.called:
            if (known.execution_id, known.path, known.key) == (callback.execution_id, callback.path, callback.key):
                return CallbackRepeated(known.execution_id, identical=known.digest == callback.digest)
        self.called.append(callback)
        return CallbackStored(callback.execution_id)


class MemoryCredentials(dict[str, tuple[str, BaseModel]]):
    """Credentials in a dictionary: each name's type and value."""

    def get(self, name: str, flow_id: str | None) -> FoundCredential:  # type: ignore[override]  # as `Credentials.get`
        """The type's name and the value."""
        if name not in self:
            raise CredentialError(f"there is no credential {name!r}")
        type_, value = self[name]
        return FoundCredential(type_, value, HostRule(name))


class ListedRejections(list[dict[str, Any]], RejectionRecord):
    """A record of rejected requests that is a list."""

    def __init__(self) -> None:
        list.__init__(self)

    def add(self, flow_id: str, **told: Any) -> None:
        """One more."""
        self.append({"flow_id": flow_id, **told})


class CountedRejections(list[tuple[str, str]], Metrics):
    """Metrics that only count rejections, as pairs of flow and code."""

    def __init__(self) -> None:
        list.__init__(self)

    def rejected(self, flow_id: str, reason: str) -> None:
        """One more."""
        self.append((flow_id, reason))


def webhook_flow(
    flow_id: str = "orders",
    *,
    scheme: Scheme[Any, Any] | None = None,
    credential: str | None = None,
    scheme_settings: BaseModel | None = None,
    dedupe_key: Any = None,
    schema: BodySchema | None = None,
    request: RequestTrigger | None = None,
    **settings: Any,
) -> CompiledFlow:
    """A flow without steps that a request starts; `settings` are those of its trigger, a webhook by default."""
    verify = {"scheme": scheme.name, "credential": credential} if scheme else "none"
    model = WebhookSettings if request is None else request.settings
    webhook = model.model_validate({"verify": verify, **settings})
    if scheme is not None and scheme_settings is None:
        scheme_settings = scheme.settings()
    return CompiledFlow(
        id=flow_id,
        version="1",
        settings=FlowSettings.of(
            FlowDocument.model_validate({"id": flow_id, "trigger": {"use": "webhook"}, "steps": []})
        ),
        source=b"{}",
        trigger=CompiledTrigger(
            "webhook", webhook, webhook, scheme, scheme_settings, credential, _key(dedupe_key), request=request
        ),
        vars={},
        declared_vars={},
        steps=(),
        schema=schema,
        credentials=frozenset({credential} if credential else ()),
    )


def _key(template: Any) -> MessageKey | None:
    return None if template is None else MessageKey("dedupe_key", (template,))


class NoAuthorizations(Authorizations):
    """Authorizations of which none is under way."""

    def __init__(self) -> None:
        pass

    async def finish(self, query: str, http: HttpClient, id: str | None = None) -> Authorization:
        """Find no authorization."""
        raise AuthorizationUnknown


class HookOverMemory:
    """A hook with all that it stands on; look at `intake.accepted` and `blobs.kept` for what it did."""

    def __init__(
        self,
        *flows: CompiledFlow,
        credentials: Mapping[str, tuple[str, BaseModel]] | None = None,
        blobs: Blobs | None = None,
        http: Any = None,
        options: HookOptions | None = None,
    ) -> None:
        self.intake = MemoryIntake({flow.id: flow for flow in flows})
        self.memory_blobs = MemoryBlobs()
        self.blobs: Blobs = blobs or self.memory_blobs
        self.clock = StillClock()
        self.ids = Ids(self.clock)
        self.metrics = CountedRejections()
        self.credentials = MemoryCredentials(credentials or {})
        self.subscriptions = MemorySubscriptions()
        self.http = http
        self.options = options or HookOptions("https://hooks.example")
        self.replies = Replies()
        self.rejections = ListedRejections()
        self.store = NoHistory()
        log = structlog.get_logger("hookline.testing")
        self.store_problem = StoreProblem(cast(Store, self.store), self.blobs, self.clock, log)
        self.redaction = Redaction(Vault([bytes(32)]))
        self.callbacks = MemoryCallbacks()
        self.authorizations = NoAuthorizations()
        self.membership = Alone(self.clock)
        self.body_checker = BodyChecker()
        self.captures = CaptureRecord(cast(Store, self.store), self.clock, log, Events(self.clock), self.store_problem)
        self.catalog = Catalog(cast(Registry, None))
        self.endpoints = create_endpoints(self, self.options)
        self.hook = self.endpoints.hook

    async def send(
        self,
        body: bytes | Sequence[bytes] = b"",
        content_type: str | None = "application/json",
        *,
        method: str = "POST",
        path: str = "orders",
        query: bytes = b"",
        headers: Sequence[tuple[bytes, bytes]] = (),
        declare: bool = True,
        resume: bool = False,
    ) -> HookResponse:
        """Send one request; a body of several pieces comes as so many chunks.

        `declare`: say its length. `resume`: send it to `/resume/`, where `path` is the token.
        """
        chunks = [body] if isinstance(body, bytes) else list(body)
        all_headers = list(headers)
        if content_type is not None:
            all_headers.append((b"content-type", content_type.encode("latin-1")))
        if declare and (body or method != "GET"):
            all_headers.append((b"content-length", b"%d" % sum(map(len, chunks))))
        raw_path = ("/resume/" if resume else "/hook/") + path
        request = HookRequest(method, path, raw_path.encode(), query, all_headers, _arriving(chunks), "192.0.2.1")
        return await (self.endpoints.resume if resume else self.hook).handle(request)


async def _arriving(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        if chunk:
            yield chunk
