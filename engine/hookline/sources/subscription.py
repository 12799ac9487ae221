"""The source that keeps a flow's subscription with a provider: subscribe, renew, replace and unsubscribe."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from urllib.parse import quote

import msgspec

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.compiler.server_requirements import PUBLIC_URL
from hookline.kernel.backoff import Backoff
from hookline.kernel.errors import CredentialError
from hookline.kernel.json import encode
from hookline.model.sources import (
    ProviderSubscription,
    RetiredSecret,
    SubscriptionAttempt,
    SubscriptionRequest,
    SubscriptionState,
)
from hookline.sources.source import SourceServices, SourceStatus, sleep_for, sleep_until
from hookline.sources.subscription_calls import CallFailed, CheckedSubscription, SubscriptionCalls

_BACKOFF: Final = Backoff(timedelta(seconds=30), timedelta(hours=1))
_RETIRED: Final = timedelta(hours=1)
"""The time for which a replaced secret is still accepted: requests that were signed with it may be under way."""
_GIVEN_UP: Final = timedelta(days=7)
"""The time for which it tries to remove a subscription that is no longer wanted."""
#: Bytes of a secret. Its hexadecimal digits are valid in every header, and in base64 as well.
_SECRET_BYTES: Final = 32
_NO_PUBLIC_URL: Final = f"the provider can't be told where to send: {PUBLIC_URL}"


@dataclass(slots=True)
class _Backoff:
    """A failed task, and the time of its next try."""

    failures: int
    error: str
    due: datetime


@dataclass(frozen=True, slots=True)
class _Task:
    name: str
    due: datetime
    run: Callable[[], Awaitable[None]]


class SubscriptionSource:
    """Reconciles a provider's subscription with the flow's request; with `request` None it unsubscribes."""

    def __init__(self, flow_id: str, request: SubscriptionRequest | None, services: SourceServices) -> None:
        self.status = SourceStatus()
        self._flow_id = flow_id
        self._request = request
        self._store = services.subscriptions
        self._calls = SubscriptionCalls(flow_id, services)
        self._engine = services.engine
        self._clock = services.engine.clock
        self._public_url_set = services.public_url_set
        self._again = asyncio.Event()
        self._backoffs: dict[str, _Backoff] = {}

    def try_again(self) -> None:
        """See `Source`."""
        if self.status.failures:
            self._again.set()

    async def run(self) -> None:
        """See `Source`."""
        # The node that had this source before may have stored more than this one has read.
        await self._store.keep(self._flow_id)
        while (tasks := self._tasks()) is not None:
            task = min(tasks, key=lambda one: one.due, default=None)
            if task is None:
                # Nothing is left to do. The supervisor starts another source when the flow changes.
                self._show(None)
                return
            if task.due > self._clock.now():
                self._show(task.due)
                await self._wait(task)
                if self._again.is_set():
                    self._again.clear()
                    for backoff in self._backoffs.values():
                        backoff.due = self._clock.now()
                continue
            await self._do(task)

    async def _wait(self, task: _Task) -> None:
        """Wait until a task is due: one that has failed, for as long as that was decided, however the clock is set."""
        backoff = self._backoffs.get(task.name)
        if backoff is None or backoff.due != task.due:
            await sleep_until(self._clock, task.due, self._again)
            return
        await sleep_for(self._clock, task.due - self._clock.now(), self._again)
        backoff.due = min(backoff.due, self._clock.now())

    def _tasks(self) -> list[_Task] | None:
        """Return the tasks for now or later; None if nothing can be done before the server is restarted."""
        try:
            state = self._store.of(self._flow_id)
        except CredentialError as error:
            self._blocked(error.message)
            return None
        request, now = self._request, self._clock.now()
        self.status.subscribed = state.current is not None
        if state.current is not None:
            self.status.last_at = state.current.at
        if state.attempt is not None and (request is None or state.attempt.request.identity != request.identity):
            # Before another subscription is made, it must be known if the provider has this one.
            return [self._task("confirm", now, self._confirm_attempt)]
        if request is not None and (state.current is None or state.current.request.identity != request.identity):
            if not self._public_url_set:
                self._blocked(_NO_PUBLIC_URL)
                return None
            tasks = [self._task("subscribe", now, self._subscribe)]
            # The present subscription goes on until the new one exists.
            return tasks + self._renewal(state.current, now)
        if request is None and state.current is not None:
            return [self._task("unsubscribe", now, self._mark_for_removal)]
        tasks = [self._task(f"remove {one.key}", now, partial(self._remove, one)) for one in state.removing]
        if not tasks and state.current is None:
            empty = request is not None or state == SubscriptionState()
            return [] if empty else [self._task("delete", now, self._delete_state)]
        return tasks + self._renewal(state.current, now)

    def _task(self, name: str, due: datetime, run: Callable[[], Awaitable[None]]) -> _Task:
        backoff = self._backoffs.get(name)
        return _Task(name, due if backoff is None else max(due, backoff.due), run)

    def _renewal(self, current: ProviderSubscription | None, now: datetime) -> list[_Task]:
        """Return the task that renews the subscription, if it needs renewal."""
        if current is None:
            return []
        try:
            trigger = self._calls.trigger(current.request)
        except CallFailed:
            return []  # the flow can't serve, and its status says why
        due = [] if trigger.every is None or trigger.renew is None else [current.at + trigger.every]
        if current.expires_at is not None:
            due.append(current.at + (current.expires_at - current.at) / 2)
        if not due:
            return []
        again = self._renew if trigger.renew is not None else self._subscribe
        # A subscription that expires at once would be renewed in an endless loop.
        return [self._task("renew", max(min(due), current.at + _BACKOFF.first), again)]

    async def _do(self, task: _Task) -> None:
        try:
            await task.run()
        except CallFailed as failure:
            self._back_off(task.name, failure)
            return
        if self._backoffs.pop(task.name, None) is not None:
            self._engine.log.info("a subscription works again", flow_id=self._flow_id, what=task.name.partition(" ")[0])
        # Errors of tasks that a new subscription makes unnecessary are forgotten.
        if task.name in ("subscribe", "confirm"):
            self._backoffs.clear()

    def _back_off(self, name: str, failure: CallFailed) -> None:
        failures = self._backoffs[name].failures + 1 if name in self._backoffs else 1
        wait = _BACKOFF.wait(failures, failure.retry_after, longest_asked=_BACKOFF.longest)
        self._backoffs[name] = _Backoff(failures, failure.message, self._clock.now() + wait)
        self._engine.metrics.subscribed(self._flow_id, "failed")
        self._engine.log.error(
            "a subscription failed; trying again",
            flow_id=self._flow_id,
            what=name.partition(" ")[0],
            error=failure.message,
            failures=failures,
            wait=wait.total_seconds(),
        )

    def _show(self, next_at: datetime | None) -> None:
        """Update the status."""
        worst = max(self._backoffs.values(), key=lambda one: one.failures, default=None)
        self.status.error = None if worst is None else worst.error
        self.status.failures = 0 if worst is None else worst.failures
        self.status.next_at = next_at

    def _blocked(self, error: str) -> None:
        """Report an error that only a restart of the server can solve."""
        if self.status.error != error:
            self._engine.log.error("a flow can't subscribe", flow_id=self._flow_id, error=error)
        self.status.error, self.status.failures, self.status.next_at = error, 1, None

    async def _subscribe(self) -> None:
        """Make the subscription that the flow requests."""
        request = self._request
        assert request is not None  # noqa: S101 - the task exists only with a request
        # Checked before the attempt is stored: without the credential or the trigger, no attempt begins.
        self._calls.check(request)
        state = self._store.of(self._flow_id)
        attempt = state.attempt
        if attempt is None:
            secret = "" if self._calls.trigger(request).gives_secret else secrets.token_hex(_SECRET_BYTES)
            attempt = SubscriptionAttempt(request, secret, self._clock.now())
            # Stored before it is sent: so the secret survives a crash, and requests signed with it are valid at once.
            state = msgspec.structs.replace(state, attempt=attempt)
            await self._store.set(self._flow_id, state)
        made = await self._calls.subscribe(request, attempt.secret, _known_id(state, request))
        await self._subscribed(attempt, made)

    async def _subscribed(self, attempt: SubscriptionAttempt, made: CheckedSubscription) -> None:
        """Store the new subscription, and mark the one that it replaces for removal."""
        now, state = self._clock.now(), self._store.of(self._flow_id)
        old, secret = state.current, made.secret or attempt.secret
        new = ProviderSubscription(attempt.request, made.id, secret, now, made.expires_at)
        same = old is not None and old.key == new.key
        if not secret and old is not None and same:
            secret = old.secret
        if not secret:
            raise CallFailed("the provider made a secret and did not return it: subscribing again")
        removing = [one for one in state.removing if one.key != new.key]
        if old is not None and not same:
            removing.append(msgspec.structs.replace(old, remove_since=now))
        await self._store.set(
            self._flow_id,
            SubscriptionState(
                current=msgspec.structs.replace(new, secret=secret),
                removing=tuple(removing),
                retired=_retired(state, now, *(one.secret for one in (old, *state.removing) if one is not None)),
            ),
        )
        self._engine.metrics.subscribed(self._flow_id, "ok")
        self._engine.log.info("a flow is subscribed", flow_id=self._flow_id, trigger=attempt.request.trigger)

    async def _confirm_attempt(self) -> None:
        """Repeat an attempt that is no longer wanted: only a subscription whose id is known can be removed."""
        state = self._store.of(self._flow_id)
        attempt = state.attempt
        assert attempt is not None  # noqa: S101 - the task exists only with an attempt
        try:
            made = await self._calls.subscribe(attempt.request, attempt.secret, _known_id(state, attempt.request))
        except CallFailed as failure:
            if not failure.rejected and self._clock.now() < attempt.at + _GIVEN_UP:
                raise
            retired = _retired(state, self._clock.now(), attempt.secret)
            await self._store.set(self._flow_id, msgspec.structs.replace(state, attempt=None, retired=retired))
            self._engine.log.warning(
                "a subscription may be left at the provider", flow_id=self._flow_id, error=failure.message
            )
            return
        await self._subscribed(attempt, made)

    async def _mark_for_removal(self) -> None:
        state, now = self._store.of(self._flow_id), self._clock.now()
        assert state.current is not None  # noqa: S101 - the task exists only with a subscription
        removing = (*state.removing, msgspec.structs.replace(state.current, remove_since=now))
        await self._store.set(self._flow_id, msgspec.structs.replace(state, current=None, removing=removing))

    async def _delete_state(self) -> None:
        await self._store.set(self._flow_id, None)

    async def _remove(self, one: ProviderSubscription) -> None:
        try:
            await self._calls.unsubscribe(one.request, one.secret, one.id)
        except CallFailed as failure:
            if one.remove_since is None or self._clock.now() < one.remove_since + _GIVEN_UP:
                raise
            self._engine.log.error(
                "a subscription can't be removed; the provider may go on sending",
                flow_id=self._flow_id,
                trigger=one.request.trigger,
                subscription=bytes(one.id).decode(),
                error=failure.message,
            )
        else:
            self._engine.log.info("a subscription is removed", flow_id=self._flow_id, trigger=one.request.trigger)
            self._engine.metrics.subscribed(self._flow_id, "removed")
        state, now = self._store.of(self._flow_id), self._clock.now()
        removing = tuple(other for other in state.removing if other.key != one.key)
        retired = _retired(state, now, one.secret)
        await self._store.set(self._flow_id, msgspec.structs.replace(state, removing=removing, retired=retired))

    async def _renew(self) -> None:
        """Renew the subscription, or note that the provider has it no longer."""
        state = self._store.of(self._flow_id)
        current = state.current
        assert current is not None  # noqa: S101 - the task exists only with a subscription
        renewal = await self._calls.renew(current.request, current.secret, current.id)
        now = self._clock.now()
        if renewal is None:
            self._engine.log.warning("the provider has a subscription no longer", flow_id=self._flow_id)
            retired = _retired(state, now, current.secret)
            await self._store.set(self._flow_id, msgspec.structs.replace(state, current=None, retired=retired))
            return
        renewed = msgspec.structs.replace(
            current, id=renewal.id, secret=renewal.secret or current.secret, at=now, expires_at=renewal.expires_at
        )
        await self._store.set(
            self._flow_id,
            msgspec.structs.replace(state, current=renewed, retired=_retired(state, now, current.secret)),
        )
        self._engine.metrics.subscribed(self._flow_id, "ok")


def _known_id(state: SubscriptionState, request: SubscriptionRequest) -> msgspec.Raw | None:
    """The id of the present subscription, which the same trigger may change instead of making another."""
    current = state.current
    return current.id if current is not None and current.request.trigger == request.trigger else None


def _retired(state: SubscriptionState, now: datetime, *retired: str) -> tuple[RetiredSecret, ...]:
    """The retired secrets that are still accepted, together with those that are retired now."""
    before = tuple(one for one in state.retired if one.until > now and one.secret not in retired)
    return before + tuple(RetiredSecret(secret, now + _RETIRED) for secret in dict.fromkeys(retired) if secret)


def subscription_requests(
    services: SourceServices, flows: Iterable[CompiledFlow], broken: Collection[str]
) -> Mapping[str, SubscriptionRequest | None]:
    """Return the subscriptions that flows need, by flow id; None for flows whose subscription is to be removed.

    The subscriptions of broken flows are left alone, since it isn't known what they need.
    """
    requests: dict[str, SubscriptionRequest | None] = {
        flow_id: None for flow_id in services.subscriptions.flows if flow_id not in broken
    }
    for flow in flows:
        subscribes = flow.trigger.subscribes
        if subscribes is not None:
            url = f"{services.public_url}/hook/{quote(flow.id, safe='')}"
            settings = msgspec.Raw(encode(subscribes.given))
            requests[flow.id] = SubscriptionRequest(flow.trigger.use, flow.trigger.credential, settings, url)
    return requests
