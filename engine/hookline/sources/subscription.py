"""A flow's subscription with a provider: made, looked after, made anew where it is to be another, and removed."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

import msgspec

from hookline.discovery.registry import Registry
from hookline.flows.compiler.compiled import PUBLIC_URL, CompiledFlow
from hookline.kernel.backoff import Backoff
from hookline.kernel.errors import CredentialError
from hookline.kernel.json import encode
from hookline.model.sources import Asked, Begun, KeptSubscription, Retired, Subscribed
from hookline.sources.source import Source, SourceServices, SourceStatus, sleep_until
from hookline.sources.subscription_calls import CallFailed, Given, SubscriptionCalls
from hookline.sources.subscription_store import Subscriptions

#: The wait after a first failure; after each further one it is twice as long.
_BACKOFF: Final = Backoff(timedelta(seconds=30), timedelta(hours=1))
_RETIRED: Final = timedelta(hours=1)
"""How long a secret is still taken that was replaced: what was signed with it may be on its way."""
_GIVEN_UP: Final = timedelta(days=7)
"""How long it is tried to remove what isn't wanted any more."""
_NO_PUBLIC_URL: Final = f"the provider can't be told where to send: {PUBLIC_URL}"


@dataclass(slots=True)
class _Backing:
    """A failure, and when what failed is tried again."""

    failures: int
    error: str
    due: datetime


@dataclass(frozen=True, slots=True)
class _Chore:
    """Something that is to be done at some time."""

    name: str
    due: datetime
    run: Callable[[], Awaitable[None]]


class SubscriptionSource:
    """Brings what the provider has to what a flow asks for; with `asked` None it asks for nothing any more."""

    def __init__(
        self,
        flow_id: str,
        asked: Asked | None,
        kept: Subscriptions,
        calls: SubscriptionCalls,
        services: SourceServices,
        new_secret: Callable[[], str],
        *,
        public_url: bool,
    ) -> None:
        """`public_url`: whether the server knows by which URL it is called."""
        self.status = SourceStatus()
        self._flow_id = flow_id
        self._asked = asked
        self._kept = kept
        self._calls = calls
        self._engine = services.engine
        self._clock = services.engine.clock
        self._new_secret = new_secret
        self._public_url = public_url
        self._again = asyncio.Event()
        self._backing: dict[str, _Backing] = {}

    def try_again(self) -> None:
        """See `Source`."""
        if self.status.failures:
            self._again.set()

    async def run(self) -> None:
        """See `Source`."""
        while (chores := self._chores()) is not None:
            chore = min(chores, key=lambda one: one.due, default=None)
            if chore is None:
                # There is nothing to look after; who ends this begins it again where that changes.
                self._show(None)
                return
            if chore.due > self._clock.now():
                self._show(chore.due)
                await sleep_until(self._clock, chore.due, self._again)
                if self._again.is_set():
                    self._again.clear()
                    for backing in self._backing.values():
                        backing.due = self._clock.now()
                continue
            await self._do(chore)

    def _chores(self) -> list[_Chore] | None:
        """What is to be done now, or some time; None where nothing can be done here."""
        try:
            kept = self._kept.of(self._flow_id)
        except CredentialError as error:
            self._blocked(error.message)
            return None
        asked, now = self._asked, self._clock.now()
        if kept.current is not None:
            self.status.last_at = kept.current.at
        if kept.begun is not None and (asked is None or kept.begun.asked.same_as != asked.same_as):
            # Whether the provider has it isn't known, and must be before it asks for another.
            return [self._chore("settle", now, self._settle)]
        if asked is not None and (kept.current is None or kept.current.asked.same_as != asked.same_as):
            if not self._public_url:
                self._blocked(_NO_PUBLIC_URL)
                return None
            chores = [self._chore("subscribe", now, self._subscribe)]
            # What is there goes on as it is until the other one is there, too.
            return chores + self._renewal(kept.current, now)
        if asked is None and kept.current is not None:
            return [self._chore("dismiss", now, self._dismiss)]
        chores = [self._chore(f"remove {one.key}", now, self._remover(one)) for one in kept.leaving]
        if not chores and kept.current is None:
            return [self._chore("forget", now, self._forget)] if asked is None and kept != KeptSubscription() else []
        return chores + self._renewal(kept.current, now)

    def _chore(self, name: str, due: datetime, run: Callable[[], Awaitable[None]]) -> _Chore:
        backing = self._backing.get(name)
        return _Chore(name, due if backing is None else max(due, backing.due), run)

    def _renewal(self, current: Subscribed | None, now: datetime) -> list[_Chore]:
        """The renewal of what is there, where it has one."""
        if current is None:
            return []
        try:
            trigger = self._calls.trigger(current.asked)
        except CallFailed:
            return []  # the flow can't serve then, and says why
        due = [] if trigger.every is None or trigger.renew is None else [current.at + trigger.every]
        if current.expires_at is not None:
            due.append(current.at + (current.expires_at - current.at) / 2)
        if not due:
            return []
        again = self._renew if trigger.renew is not None else self._subscribe
        # One that is over at once would be renewed without end.
        return [self._chore("renew", max(min(due), current.at + _BACKOFF.first), again)]

    async def _do(self, chore: _Chore) -> None:
        try:
            await chore.run()
        except CallFailed as failure:
            self._back_off(chore.name, failure)
            return
        if self._backing.pop(chore.name, None) is not None:
            self._engine.log.info(
                "a subscription works again", flow_id=self._flow_id, what=chore.name.partition(" ")[0]
            )
        # What is done with leaves no error behind.
        if chore.name in ("subscribe", "settle"):
            self._backing.clear()

    def _back_off(self, name: str, failure: CallFailed) -> None:
        failures = self._backing[name].failures + 1 if name in self._backing else 1
        wait = _BACKOFF.wait(failures, failure.retry_after, longest_asked=_BACKOFF.longest)
        self._backing[name] = _Backing(failures, failure.message, self._clock.now() + wait)
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
        """Let the status say how it is."""
        worst = max(self._backing.values(), key=lambda one: one.failures, default=None)
        self.status.error = None if worst is None else worst.error
        self.status.failures = 0 if worst is None else worst.failures
        self.status.next_at = next_at

    def _blocked(self, error: str) -> None:
        """Nothing can be done before the server is started anew."""
        if self.status.error != error:
            self._engine.log.error("a flow can't subscribe", flow_id=self._flow_id, error=error)
        self.status.error, self.status.failures, self.status.next_at = error, 1, None

    async def _subscribe(self) -> None:
        """Make the one that is asked for."""
        asked = self._asked
        assert asked is not None  # noqa: S101 - it is asked for
        # Before anything is kept, since nothing has begun where it can't begin.
        self._calls.check(asked)
        kept = self._kept.of(self._flow_id)
        begun = kept.begun
        if begun is None:
            secret = "" if self._calls.trigger(asked).gives_secret else self._new_secret()
            begun = Begun(asked, secret, self._clock.now())
            # Kept before it is sent, so that it is known if this process dies, and requests signed by it hold at once.
            kept = msgspec.structs.replace(kept, begun=begun)
            await self._kept.keep(self._flow_id, kept)
        known = kept.current.id if kept.current is not None and kept.current.asked.trigger == asked.trigger else None
        given = await self._calls.subscribe(asked, begun.secret, known)
        await self._subscribed(begun, given)

    async def _subscribed(self, begun: Begun, given: Given) -> None:
        """Keep what the provider has now, and what it is to have no more."""
        now, kept = self._clock.now(), self._kept.of(self._flow_id)
        old, secret = kept.current, given.secret or begun.secret
        made = Subscribed(begun.asked, given.id, secret, now, given.expires_at)
        same = old is not None and old.key == made.key
        if not secret and old is not None and same:
            secret = old.secret
        if not secret:
            raise CallFailed("the provider has made a secret and didn't tell it: the subscription is made again")
        leaving = [one for one in kept.leaving if one.key != made.key]
        if old is not None and not same:
            leaving.append(msgspec.structs.replace(old, leaving_at=now))
        await self._kept.keep(
            self._flow_id,
            KeptSubscription(
                current=msgspec.structs.replace(made, secret=secret),
                leaving=tuple(leaving),
                retired=_retired(kept, now, *(one.secret for one in (old, *kept.leaving) if one is not None)),
            ),
        )
        self._engine.metrics.subscribed(self._flow_id, "ok")
        self._engine.log.info("a flow is subscribed", flow_id=self._flow_id, trigger=begun.asked.trigger)

    async def _settle(self) -> None:
        """Bring to an end what was begun, and is wanted no more: only then it can be removed."""
        kept = self._kept.of(self._flow_id)
        begun = kept.begun
        assert begun is not None  # noqa: S101 - that is what this is for
        known = (
            kept.current.id if kept.current is not None and kept.current.asked.trigger == begun.asked.trigger else None
        )
        try:
            given = await self._calls.subscribe(begun.asked, begun.secret, known)
        except CallFailed as failure:
            if not failure.rejected and self._clock.now() < begun.at + _GIVEN_UP:
                raise
            retired = _retired(kept, self._clock.now(), begun.secret)
            await self._kept.keep(self._flow_id, msgspec.structs.replace(kept, begun=None, retired=retired))
            self._engine.log.warning(
                "a subscription that was begun is left", flow_id=self._flow_id, error=failure.message
            )
            return
        await self._subscribed(begun, given)

    async def _dismiss(self) -> None:
        """Nothing is asked for any more."""
        kept, now = self._kept.of(self._flow_id), self._clock.now()
        assert kept.current is not None  # noqa: S101 - that is what this is for
        leaving = (*kept.leaving, msgspec.structs.replace(kept.current, leaving_at=now))
        await self._kept.keep(self._flow_id, msgspec.structs.replace(kept, current=None, leaving=leaving))

    async def _forget(self) -> None:
        await self._kept.keep(self._flow_id, None)

    def _remover(self, one: Subscribed) -> Callable[[], Awaitable[None]]:
        async def remove() -> None:
            await self._remove(one)

        return remove

    async def _remove(self, one: Subscribed) -> None:
        """Let the provider send no more of one that isn't wanted."""
        try:
            await self._calls.unsubscribe(one.asked, one.secret, one.id)
        except CallFailed as failure:
            if one.leaving_at is None or self._clock.now() < one.leaving_at + _GIVEN_UP:
                raise
            self._engine.log.error(
                "a subscription can't be removed; the provider may go on sending",
                flow_id=self._flow_id,
                trigger=one.asked.trigger,
                subscription=bytes(one.id).decode(),
                error=failure.message,
            )
        else:
            self._engine.log.info("a subscription is removed", flow_id=self._flow_id, trigger=one.asked.trigger)
            self._engine.metrics.subscribed(self._flow_id, "removed")
        kept, now = self._kept.of(self._flow_id), self._clock.now()
        leaving = tuple(other for other in kept.leaving if other.key != one.key)
        retired = _retired(kept, now, one.secret)
        await self._kept.keep(self._flow_id, msgspec.structs.replace(kept, leaving=leaving, retired=retired))

    async def _renew(self) -> None:
        """Look whether what is there is still there, and let it live on."""
        kept = self._kept.of(self._flow_id)
        current = kept.current
        assert current is not None  # noqa: S101 - that is what this is for
        given = await self._calls.renew(current.asked, current.secret, current.id)
        now = self._clock.now()
        if given is None:
            self._engine.log.warning("a subscription was gone at the provider", flow_id=self._flow_id)
            retired = _retired(kept, now, current.secret)
            await self._kept.keep(self._flow_id, msgspec.structs.replace(kept, current=None, retired=retired))
            return
        renewed = msgspec.structs.replace(
            current, id=given.id, secret=given.secret or current.secret, at=now, expires_at=given.expires_at
        )
        await self._kept.keep(
            self._flow_id,
            msgspec.structs.replace(kept, current=renewed, retired=_retired(kept, now, current.secret)),
        )
        self._engine.metrics.subscribed(self._flow_id, "ok")


def asked_of(trigger: str, credential: str | None, given: object, url: str) -> Asked:
    """What a flow asks for; `given`: JSON of its trigger's own settings."""
    return Asked(trigger, credential, msgspec.Raw(encode(given)), url)


def _retired(kept: KeptSubscription, now: datetime, *secrets: str) -> tuple[Retired, ...]:
    """The secrets that are taken for a while yet, with those that are so from now on."""
    before = tuple(one for one in kept.retired if one.until > now and one.secret not in secrets)
    return before + tuple(Retired(secret, now + _RETIRED) for secret in dict.fromkeys(secrets) if secret)


#: Bytes of a secret: its hexadecimal digits are text in every header, and base64 as well.
_SECRET: Final = 32


class Subscribing:
    """Makes the sources that look after subscriptions."""

    def __init__(self, kept: Subscriptions, registry: Registry, public_url: str, *, public_url_set: bool) -> None:
        self._kept = kept
        self._registry = registry
        self._public_url = public_url.rstrip("/")
        self._public_url_set = public_url_set

    def asked(self, flows: Iterable[CompiledFlow], broken: Collection[str]) -> Mapping[str, Asked | None]:
        """What each flow asks for, of those that take messages; None of flows that ask for nothing any more.

        Of flows that are broken, so that it isn't known what they ask for, nothing is changed.
        """
        asked: dict[str, Asked | None] = {flow_id: None for flow_id in self._kept.flows if flow_id not in broken}
        for flow in flows:
            subscribes = flow.trigger.subscribes
            if subscribes is not None:
                url = f"{self._public_url}/hook/{quote(flow.id, safe='')}"
                asked[flow.id] = asked_of(flow.trigger.use, flow.trigger.credential, subscribes.given, url)
        return asked

    def source(self, flow_id: str, asked: Asked | None, services: SourceServices) -> Source:
        """What brings the provider to what a flow asks for."""
        calls = SubscriptionCalls(flow_id, self._registry, services.engine, services.describe)
        return SubscriptionSource(
            flow_id,
            asked,
            self._kept,
            calls,
            services,
            lambda: secrets.token_hex(_SECRET),
            public_url=self._public_url_set,
        )
