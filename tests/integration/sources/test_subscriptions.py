"""Flows whose trigger subscribes with its provider: it has one subscription for each, whatever fails in between."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
import structlog
from pydantic import BaseModel, SecretStr
from tests.integration.engine_harness import KEYS, Hang, Harness, act
from tests.metric_samples import sample

from hookline.api import Connector, StepError, Subscription, SubscriptionContext, hookimpl
from hookline.deployments.deployment_request import DeploymentRequest
from hookline.engine import Engine
from hookline.kernel.errors import CredentialError, StoreError
from hookline.maintenance.key_rotation import rotate_keys
from hookline.model.access import SYSTEM
from hookline.model.sources import SubscriptionState
from hookline.secrets.encryption import Vault, for_subscription, generate_key, read_keys
from hookline.service.app import create_endpoints
from hookline.service.hook_request_and_response import HookRequest, HookResponse
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.sources import supervisor
from hookline.sources.source import SourceStatus
from hookline.storage.change_declarations import SetSubscription
from hookline.testing.clock import START, ManualClock

HOUR = timedelta(hours=1)
URL = "https://hooks.example.com/hook/f"


class ShopKey(BaseModel):
    token: SecretStr


class Shop:
    """A provider, and the plugin that subscribes with it: each subscription has an id, a URL, a secret and a topic."""

    def __init__(self) -> None:
        self.there: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.made = 0
        self.before: Callable[[str], Awaitable[None]] = _nothing
        """Awaited before a call does anything."""
        self.after: Callable[[str], Awaitable[None]] = _nothing
        self.expires: timedelta | None = None
        self.known: list[Any] = []
        shop = Connector("shop", credential=ShopKey)
        self.connector = shop

        @shop.webhook(scheme="github")
        async def events(
            ctx: SubscriptionContext[ShopKey | None], topic: str = "orders", place: str = "here"
        ) -> Subscription:
            """Starts an execution for each event."""
            await self.before(f"subscribe {topic}")
            self.known.append(ctx.known)
            found = [key for key, one in self.there.items() if (one["url"], one["place"]) == (ctx.url, place)]
            self.made += not found
            id_ = found[0] if found else f"s{self.made}"
            self.there[id_] = {"url": ctx.url, "place": place, "topic": topic, "secret": ctx.secret}
            self.calls.append(f"subscribe {topic} {place}")
            await self.after(f"subscribe {topic}")
            return Subscription({"id": id_}, expires_at=None if self.expires is None else ctx.now + self.expires)

        @events.unsubscribe
        async def remove(ctx: SubscriptionContext[ShopKey | None]) -> None:
            """Remove it."""
            await self.before("unsubscribe")
            self.calls.append(f"unsubscribe {ctx.known['id']}")
            self.there.pop(ctx.known["id"], None)
            await self.after("unsubscribe")

        @events.renew(every="1d")
        async def look(ctx: SubscriptionContext[ShopKey | None]) -> Subscription | None:
            """See whether it is there."""
            await self.before("renew")
            self.calls.append(f"renew {ctx.known['id']}")
            if ctx.known["id"] not in self.there:
                return None
            return Subscription(ctx.known, expires_at=None if self.expires is None else ctx.now + self.expires)

        @shop.webhook(scheme="stripe", gives_secret=True)
        async def payments(ctx: SubscriptionContext[ShopKey]) -> Subscription:
            """Starts an execution for each payment."""
            await self.before("subscribe payments")
            assert ctx.secret == ""
            self.made += 1
            secret = f"whsec_{self.made}_of_the_provider"
            self.there[f"p{self.made}"] = {"url": ctx.url, "secret": secret}
            await self.after("subscribe payments")
            return Subscription(f"p{self.made}", secret=secret)

        @payments.unsubscribe
        async def remove_payments(ctx: SubscriptionContext[ShopKey]) -> None:
            """Remove it."""
            self.there.pop(ctx.known, None)

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        return [self.connector]

    def secrets(self) -> list[str]:
        return [one["secret"] for one in self.there.values()]


async def _nothing(_call: str) -> None:
    pass


def failing(*errors: BaseException, only: str = "") -> Callable[[str], Awaitable[None]]:
    """Raise one after the other in calls that begin so; then nothing."""
    left = list(errors)

    async def does(call: str) -> None:
        if left and call.startswith(only):
            raise left.pop(0)

    return does


@pytest.fixture
def shop(harness: Harness) -> Shop:
    made = Shop()
    harness.plugins.append(made)
    return made


def engine(harness: Harness, **options: Any) -> Engine:
    return harness.engine(**{"public_url": "https://hooks.example.com", "public_url_set": True, **options})


def flow(harness: Harness, use: str = "shop.events", flow_id: str = "f", **given: Any) -> None:
    settings = {key: given.pop(key) for key in ("state",) if key in given}
    credential = {"credential": given.pop("credential")} if "credential" in given else {}
    harness.flow(flow_id, [act("one")], trigger={"use": use, "with": given, **credential}, **settings)


async def settled(running: Engine, flow_id: str = "f") -> SourceStatus:
    """Return the status of its subscription, once it waits for something."""
    async with asyncio.timeout(30):
        while True:
            status = running.sources.status(flow_id)
            if status is not None and (status.error is not None or status.last_at is not None):
                return status
            await asyncio.sleep(0.002)


def shown(running: Engine) -> SourceStatus:
    """Return its present status."""
    return running.sources.status("f") or SourceStatus()


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is waited for is several tasks away
            await asyncio.sleep(0.002)


async def send(
    running: Engine, secret: str, body: Any = 1, *, delivery: str = "d1", scheme: Literal["github", "stripe"] = "github"
) -> HookResponse:
    """A request of the provider, signed with a secret."""
    data = json.dumps(body).encode()
    if scheme == "github":
        signature = "sha256=" + hmac.new(secret.encode(), data, "sha256").hexdigest()
        signed = [(b"x-hub-signature-256", signature.encode()), (b"x-github-delivery", delivery.encode())]
    else:
        at = str(int(running.clock.now().timestamp()))
        mac = hmac.new(secret.encode(), f"{at}.".encode() + data, "sha256").hexdigest()
        signed = [(b"stripe-signature", f"t={at},v1={mac}".encode())]
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data)), *signed]

    async def chunks() -> Any:
        yield data

    request = HookRequest("POST", "f", b"/hook/f", b"", headers, chunks(), "192.0.2.1")
    return await create_endpoints(running, HookOptions("https://hooks.example.com")).hook.handle(request)


async def test_a_flow_subscribes_takes_what_is_signed_and_its_secret_is_stored_encrypted(
    harness: Harness, shop: Shop
) -> None:
    flow(harness, topic="refunds")
    async with engine(harness) as running:
        status = await settled(running)
        assert shop.there == {"s1": {"url": URL, "place": "here", "topic": "refunds", "secret": shop.secrets()[0]}}
        (secret,) = shop.secrets()
        assert len(secret) == 64
        assert (status.error, status.last_at, status.subscribed) == (None, START, True)
        assert (await send(running, secret)).status == 202
        assert (await send(running, secret)).status == 200, "the scheme's own id tells duplicates"
        assert (await send(running, "f" * 64, delivery="d2")).status == 401
        assert (await harness.bodies(running, "f", 1)) == [1]
        stored = await running.store.subscription("f")
        assert stored is not None
        assert secret.encode() not in stored
        assert b"s1" not in stored
        assert sample(running.metrics.exposition(), "hookline_subscriptions_total", flow="f", result="ok") == 1.0


async def test_a_stop_of_the_server_leaves_it_and_a_start_adopts_it(harness: Harness, shop: Shop) -> None:
    flow(harness)
    async with engine(harness) as running:
        await settled(running)
        (secret,) = shop.secrets()
    async with engine(harness) as running:
        await until(lambda: shown(running).next_at)
        assert (await send(running, secret)).status == 202
    assert shop.calls == ["subscribe orders here"]


async def test_a_deleted_flow_is_unsubscribed_and_nothing_is_kept_of_it(harness: Harness, shop: Shop) -> None:
    flow(harness)
    async with engine(harness) as running:
        await settled(running)
        (harness.folder / "flows" / "f.json").unlink()
        await running.version_switch.refresh()
        await until(lambda: not shop.there)
        await until(lambda: not running.subscriptions.flows)
        assert await running.store.subscription("f") is None
    assert shop.calls == ["subscribe orders here", "unsubscribe s1"]


async def test_what_was_deleted_while_no_server_ran_is_unsubscribed_at_the_next_start(
    harness: Harness, shop: Shop
) -> None:
    flow(harness)
    async with engine(harness) as running:
        await settled(running)
    (harness.folder / "flows" / "f.json").unlink()
    async with engine(harness) as running:
        await until(lambda: not shop.there)
        await until(lambda: not running.subscriptions.flows)


async def test_a_stopped_flow_is_unsubscribed_and_a_paused_one_stays(harness: Harness, shop: Shop) -> None:
    flow(harness)
    async with engine(harness) as running:
        await settled(running)
        await running.version_switch.set_state("f", "paused", by=SYSTEM)
        (secret,) = shop.secrets()
        assert (await send(running, secret)).status == 202
        await running.version_switch.set_state("f", "stopped", by=SYSTEM)
        await until(lambda: not shop.there)
        await running.version_switch.set_state("f", "active", by=SYSTEM)
        await until(lambda: shop.there)
    assert shop.calls == ["subscribe orders here", "unsubscribe s1", "subscribe orders here"]


async def test_a_broken_file_changes_nothing(harness: Harness, shop: Shop) -> None:
    flow(harness)
    async with engine(harness) as running:
        await settled(running)
    (harness.folder / "flows" / "f.json").write_text("{")
    async with engine(harness) as running:
        await asyncio.sleep(0.05)
        assert shop.there
        assert running.sources.status("f") is None
    assert shop.calls == ["subscribe orders here"]


async def test_another_setting_changes_it_in_place_and_both_secrets_hold_for_a_while(
    harness: Harness, shop: Shop
) -> None:
    flow(harness)
    async with engine(harness) as running:
        await settled(running)
        (old,) = shop.secrets()
        flow(harness, topic="refunds")
        await running.version_switch.refresh()
        await until(lambda: shop.there["s1"]["topic"] == "refunds" and shop.secrets() != [old])
        (new,) = shop.secrets()
        assert shop.known == [None, {"id": "s1"}]
        assert (await send(running, old, delivery="1")).status == 202
        assert (await send(running, new, delivery="2")).status == 202
        await until(lambda: running.subscriptions.of("f").attempt is None)
        harness.clock.advance(HOUR.total_seconds() + 1)
        assert (await send(running, old, delivery="3")).status == 401
        assert (await send(running, new, delivery="4")).status == 202
    assert "unsubscribe s1" not in shop.calls


async def test_in_another_place_the_new_one_comes_first_and_then_the_old_one_goes(harness: Harness, shop: Shop) -> None:
    flow(harness)
    async with engine(harness) as running:
        await settled(running)
        (old,) = shop.secrets()
        hang = Hang()

        async def hangs(call: str) -> None:
            if call == "unsubscribe":
                await hang(None)

        shop.before = hangs
        flow(harness, place="there")
        await running.version_switch.refresh()
        await hang.reached.wait()
        assert set(shop.there) == {"s1", "s2"}
        assert (await send(running, old, delivery="1")).status == 202
        assert (await send(running, shop.secrets()[1], delivery="2")).status == 202
    shop.before = _nothing
    async with engine(harness) as running:
        await until(lambda: set(shop.there) == {"s2"})
        assert (await send(running, old, delivery="3")).status == 202, "what was sent before may still come"


async def test_a_steps_change_does_not_touch_it(harness: Harness, shop: Shop) -> None:
    flow(harness)
    async with engine(harness) as running:
        await settled(running)
        harness.flow("f", [act("another")], trigger={"use": "shop.events", "with": {"respond": "finished"}})
        await running.version_switch.refresh()
        assert (await send(running, shop.secrets()[0])).status == 200
    assert shop.calls == ["subscribe orders here"]


async def test_a_failure_is_shown_backs_off_and_stops_no_other_flow(harness: Harness, shop: Shop) -> None:
    shop.before = failing(*[StepError("the shop is closed", code="shop.closed", retryable=True)] * 3)
    flow(harness)
    async with engine(harness) as running:
        waits = []
        for _ in range(3):
            before = harness.clock.now()
            status = await harness.looked(running, "f")
            assert status.error == "shop.closed: the shop is closed"
            assert status.next_at is not None
            waits.append((status.next_at - before).total_seconds())
            harness.clock.advance(waits[-1])
            await asyncio.sleep(0)
            failures = len(waits)
            await until(lambda n=failures: shown(running).failures != n)  # type: ignore[misc]
        assert waits == [30, 60, 120]
        await until(lambda: shop.there)
        await until(lambda: shown(running).error is None)


async def test_before_it_is_subscribed_a_request_can_not_be_verified(harness: Harness, shop: Shop) -> None:
    flow(harness, credential="key")
    async with engine(harness) as running:
        status = await settled(running)
        assert "there is no credential 'key'" in (status.error or "")
        reply = await send(running, "x" * 64)
        assert reply.status == 503
        await running.credentials.put("key", "probe", {"token": "t"}, by=SYSTEM)
        await until(lambda: "is of type probe" in (shown(running).error or ""))
        assert running.subscriptions.flows == (), "nothing has begun"
        await running.credentials.put("key", "shop", {"token": "s3cret"}, by=SYSTEM)
        await until(lambda: shop.there)


async def test_without_a_public_url_it_says_which_setting_is_missing(harness: Harness, shop: Shop) -> None:
    flow(harness)
    async with harness.engine() as running:
        status = await settled(running)
        assert "HOOKLINE_PUBLIC_URL" in (status.error or "")
        assert status.next_at is None
    assert shop.calls == []


async def test_requests_hold_while_the_provider_is_being_asked(harness: Harness, shop: Shop) -> None:
    """So its handshake is answered, which comes before it answers itself."""
    replies = []

    async def shakes(call: str) -> None:
        if call.startswith("subscribe"):
            replies.append((await send(running, shop.secrets()[-1], delivery="1")).status)

    shop.after = shakes
    flow(harness)
    async with engine(harness) as running:
        await settled(running)
    assert replies == [202]


async def test_one_that_was_gone_is_made_again(harness: Harness, shop: Shop) -> None:
    flow(harness)
    async with engine(harness) as running:
        status = await harness.looked(running, "f")
        assert status.next_at == START + timedelta(days=1)
        shop.there.clear()
        harness.clock.advance(timedelta(days=1).total_seconds())
        await until(lambda: shop.there)
    assert shop.calls == ["subscribe orders here", "renew s1", "subscribe orders here"]
    assert shop.known == [None, None]


async def test_one_that_expires_is_renewed_at_half_its_time(harness: Harness, shop: Shop) -> None:
    shop.expires = HOUR
    flow(harness)
    async with engine(harness) as running:
        for n in range(3):
            await until(lambda n=n: shown(running).next_at == START + (n + 1) * HOUR / 2)  # type: ignore[misc]
            harness.clock.advance((HOUR / 2).total_seconds())
            await until(lambda n=n: len(shop.calls) == n + 2)  # type: ignore[misc]
    assert shop.calls == ["subscribe orders here", "renew s1", "renew s1", "renew s1"]


async def test_the_providers_own_secret_verifies_and_until_it_is_told_nothing_is_rejected_for_good(
    harness: Harness, shop: Shop
) -> None:
    early: list[int] = []

    async def sends(call: str) -> None:
        early.append((await send(running, shop.secrets()[-1], {"id": "evt_0"}, scheme="stripe")).status)

    shop.after = sends
    flow(harness, use="shop.payments", credential="key")
    async with engine(harness) as running:
        await running.credentials.put("key", "shop", {"token": "s3cret"}, by=SYSTEM)
        await until(lambda: running.subscriptions.of("f").current is not None)
        assert early == [503]
        assert (await send(running, shop.secrets()[-1], {"id": "evt_0"}, scheme="stripe")).status == 202
        assert (await send(running, "whsec_of_nobody", {"id": "evt_1"}, scheme="stripe")).status == 401


@pytest.mark.parametrize("took_place", [True, False])
async def test_where_its_end_could_not_be_kept_it_is_adopted(
    harness: Harness, shop: Shop, monkeypatch: pytest.MonkeyPatch, took_place: bool
) -> None:
    flow(harness)
    running = engine(harness)
    commit, failures = running.store.commit, 0

    async def unsure(changes: Any) -> Any:
        nonlocal failures
        ends = shop.made and any(isinstance(change, SetSubscription) for change in changes)
        if not ends or failures:
            return await commit(changes)
        failures += 1
        if took_place:
            await commit(changes)
        raise StoreError("nobody knows")

    monkeypatch.setattr(running.store, "commit", unsure)
    async with running:
        await until(lambda: failures)
        waiting = asyncio.ensure_future(until(lambda: running.subscriptions.of("f").current is not None))
        while not waiting.done():
            await asyncio.wait((waiting,), timeout=0.01)
            harness.clock.advance(1)
        assert (await send(running, shop.secrets()[0])).status == 202
    assert set(shop.there) == {"s1"}


async def test_what_was_begun_and_is_wanted_no_more_is_found_and_removed(harness: Harness, shop: Shop) -> None:
    """The engine is stopped when the provider has done what it was asked, and hasn't said so."""
    hang = Hang()

    async def hangs(call: str) -> None:
        await hang(None)

    shop.after = hangs
    flow(harness, place="first")
    async with engine(harness):
        await hang.reached.wait()
    shop.after = _nothing
    assert set(shop.there) == {"s1"}
    flow(harness, place="second")
    async with engine(harness) as running:
        await until(lambda: {one["place"] for one in shop.there.values()} == {"second"})
        await until(lambda: not running.subscriptions.of("f").removing)
    assert shop.calls[1:] == ["subscribe orders first", "subscribe orders second", "unsubscribe s1"]


async def test_what_was_rejected_holds_nothing_up_once_it_is_put_right(harness: Harness, shop: Shop) -> None:
    shop.before = failing(*[StepError("no such place", code="http.404")] * 2)
    flow(harness, place="typo")
    async with engine(harness) as running:
        status = await settled(running)
        assert status.error == "http.404: no such place"
        flow(harness, place="here")
        await running.version_switch.refresh()
        await until(lambda: running.subscriptions.of("f").current is not None)
    assert shop.calls == ["subscribe orders here"]


async def test_what_can_not_be_removed_is_tried_again_for_a_week_and_then_left(harness: Harness, shop: Shop) -> None:
    flow(harness)
    async with engine(harness) as running:
        await settled(running)
        shop.before = failing(*[StepError("gone away", retryable=True)] * 10_000, only="unsubscribe")
        await running.version_switch.set_state("f", "stopped", by=SYSTEM)
        status = await harness.looked(running, "f")
        assert "gone away" in (status.error or "")
        waiting = asyncio.ensure_future(until(lambda: not running.subscriptions.flows))
        while not waiting.done():
            await asyncio.wait((waiting,), timeout=0.002)
            harness.clock.advance(HOUR.total_seconds())
        assert harness.clock.now() - START >= timedelta(days=7)


async def test_a_trigger_of_another_kind_ends_it(harness: Harness, shop: Shop) -> None:
    flow(harness)
    async with engine(harness) as running:
        await settled(running)
        harness.flow("f", [act("one")], trigger={"use": "schedule", "with": {"every": "1h"}})
        await running.version_switch.refresh()
        await until(lambda: not shop.there)
        await until(lambda: running.sources.status("f") is not None)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (ZeroDivisionError("by zero"), "has a defect: ZeroDivisionError: by zero"),
        (asyncio.CancelledError(), "has a defect: CancelledError"),
        ({"id": 1}, "it returned dict instead of a Subscription"),
        (None, "it returned None instead of a Subscription"),
        (Subscription(object()), "has no JSON form"),
        (Subscription("x" * 70_000), "has 70002 bytes; at most 65536"),
        (Subscription(1, expires_at=datetime(2026, 1, 1)), "has no time zone"),
        (Subscription(1, secret=""), "its secret is empty or no text"),
    ],
)
async def test_a_defect_is_its_plugins_shows_no_secret_and_ends_nothing(
    harness: Harness, given: Any, error: str
) -> None:
    broken = Connector("broken")

    @broken.webhook(scheme="github")
    async def events(ctx: SubscriptionContext[None]) -> Subscription:
        """Gives what it shouldn't."""
        if isinstance(given, BaseException):
            raise given
        return given  # type: ignore[no-any-return]

    @events.unsubscribe
    async def remove(ctx: SubscriptionContext[None]) -> None:
        """Never asked."""

    class Plugin:
        @hookimpl
        def register_connectors(self) -> list[Connector]:
            return [broken]

    harness.plugins.append(Plugin())
    flow(harness, use="broken.events")
    async with engine(harness) as running:
        status = await settled(running)
        assert error in (status.error or "")
        assert "Plugin" in (status.error or ""), "whose it is"
        assert running.ready


async def test_an_error_shows_no_secret(harness: Harness, shop: Shop) -> None:
    async def tells(call: str) -> None:
        raise StepError(f"rejected: {shop.secrets()[0]}")

    shop.after = tells
    flow(harness)
    async with engine(harness) as running:
        status = await settled(running)
        assert "rejected: ***" in (status.error or "")


async def test_the_log_of_a_defect_shows_no_secret(harness: Harness, shop: Shop) -> None:
    async def breaks(call: str) -> None:
        raise RuntimeError(f"what is {shop.secrets()[0]}")

    shop.after = breaks
    flow(harness)
    with structlog.testing.capture_logs() as logs:
        async with engine(harness) as running:
            await settled(running)
    (defect,) = (line for line in logs if line["event"] == "connector defect")
    assert "what is ***" in defect["exception"]
    assert shop.secrets()[0] not in str(logs)


async def test_one_that_takes_too_long_has_failed(harness: Harness, shop: Shop) -> None:
    trigger = shop.connector.webhooks["shop.events"]
    object.__setattr__(trigger, "timeout", timedelta(milliseconds=10))
    hang = Hang()
    shop.before = hang
    flow(harness)
    async with engine(harness) as running:
        status = await settled(running)
        assert status.error == "shop.events took longer than 0.01 s"


async def test_a_new_key_encrypts_it_and_a_missing_one_is_named(harness: Harness, shop: Shop) -> None:
    flow(harness)
    async with engine(harness) as running:
        await settled(running)
        (secret,) = shop.secrets()
    new = read_keys(generate_key())
    async with engine(harness, secret_keys=(*new, *KEYS)) as running:
        await rotate_keys(running.credentials, running.store, running.vault, running.clock, running.ids.new, by=SYSTEM)
    async with engine(harness, secret_keys=new) as running:
        assert (await send(running, secret)).status == 202
    with pytest.raises(CredentialError, match="HOOKLINE_SECRET_KEY"):
        async with engine(harness):
            pass
    assert shop.calls == ["subscribe orders here"]


async def test_what_another_version_has_stored_keeps_no_server_from_starting(harness: Harness, shop: Shop) -> None:
    flow(harness)
    flow(harness, flow_id="g")
    async with engine(harness) as running:
        await settled(running)
        await settled(running, "g")
        newer = Vault(KEYS).encrypt(b'{"current": 5}', purpose=for_subscription("f"))
        await running.store.commit([SetSubscription("f", newer, running.clock.now())])
    async with engine(harness) as running:
        assert "stored by another version of Hookline" in ((await settled(running)).error or "")
        assert (await settled(running, "g")).error is None
        assert (await send(running, "x")).status == 503


async def test_a_server_that_only_takes_requests_knows_what_another_has_subscribed(
    harness: Harness, shop: Shop
) -> None:
    flow(harness)
    async with engine(harness, role="webhook") as taking:
        assert (await send(taking, "x" * 64)).status == 503
    async with engine(harness) as running:
        await settled(running)
    async with engine(harness, role="webhook") as taking:
        # It asks the store each time: memory may be behind.
        taking.subscriptions._states.clear()
        assert (await send(taking, shop.secrets()[0])).status == 202


@asynccontextmanager
async def two_nodes(folder: Path, database: str, shop: Shop) -> AsyncIterator[list[Engine]]:
    """Nodes of one database. The first one subscribes after the second one has read that there is no subscription."""
    harness = Harness(folder, db=database)
    harness.plugins.append(shop)
    async with engine(harness, flows=None, node_name="one") as one:
        read, keep = asyncio.Event(), one.subscriptions.set

        async def later(flow_id: str, state: SubscriptionState | None) -> None:
            await read.wait()
            await keep(flow_id, state)

        one.subscriptions.set = later  # type: ignore[method-assign]
        document = {"id": "f", "trigger": {"use": "shop.events", "with": {}}, "steps": [act("one")]}
        request = DeploymentRequest(SYSTEM, {"f": json.dumps(document).encode()})
        await one.version_switch.deploy(await one.version_switch.check(request))
        await until(lambda: one.sources.status("f"))
        async with engine(harness, flows=None, node_name="other") as other:
            assert await one.membership.adopted() == ()
            read.set()
            await settled(one)
            yield [one, other]


@pytest.mark.postgres
@pytest.mark.cluster_rule("C10")
async def test_a_node_that_takes_over_a_subscription_does_not_subscribe_again(
    tmp_path: Path, tables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_TAKE_AGAIN", 0.05)
    shop = Shop()
    async with two_nodes(tmp_path, tables, shop) as (one, other):
        (secret,) = shop.secrets()
        await one.stop(0)
        assert (await settled(other)).subscribed
        assert (await send(other, secret)).status == 202
    assert (shop.calls, shop.secrets()) == (["subscribe orders here"], [secret])


@pytest.mark.postgres
@pytest.mark.cluster_rule("C10")
async def test_a_node_accepts_what_is_signed_with_the_secrets_that_another_node_has_made(
    tmp_path: Path, tables: str
) -> None:
    shop = Shop()
    async with two_nodes(tmp_path, tables, shop) as (one, other):
        (old,) = shop.secrets()
        assert (await send(other, old, delivery="1")).status == 202
        shop.there.clear()
        assert isinstance(one.clock, ManualClock)
        one.clock.advance(timedelta(days=1).total_seconds())
        await until(lambda: shop.there and one.subscriptions.of("f").attempt is None)
        (new,) = shop.secrets()
        assert new != old
        assert (await send(other, new, delivery="2")).status == 202


async def test_while_the_store_cant_be_read_the_secret_that_is_known_verifies_and_nothing_is_rejected_for_good(
    harness: Harness, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow(harness)
    async with engine(harness) as running:
        await settled(running)
        (secret,) = shop.secrets()
    async with engine(harness, role="webhook") as taking:

        async def away(_: str) -> bytes | None:
            raise StoreError("away")

        monkeypatch.setattr(taking.store, "subscription", away)
        assert (await send(taking, secret)).status == 202
        assert (await send(taking, "f" * 64, delivery="d2")).status == 503


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_fails_in_between_the_provider_has_what_is_wanted_in_the_end(
    harness: Harness, shop: Shop, seed: int
) -> None:
    """Settings change, flows go and come, the provider rejects, fails before and after it has done it, and hangs."""
    random, well = Random(seed), False

    async def fails(call: str) -> None:
        if well:
            return
        match random.randrange(6):
            case 0:
                raise StepError("not now", retryable=True)
            case 1:
                raise StepError("no answer", retryable=True, outcome_unknown=True)
            case 2 if call != "unsubscribe":
                raise StepError("no answer", outcome_unknown=True)
            case 3:
                await asyncio.Event().wait()

    shop.before = shop.after = fails
    wanted: tuple[str, str] | None = None
    for _ in range(8):
        async with engine(harness) as running:
            for _ in range(random.randrange(1, 4)):
                file = harness.folder / "flows" / "f.json"
                if random.random() < 0.3:
                    file.unlink(missing_ok=True)
                    wanted = None
                else:
                    wanted = random.choice(["orders", "refunds"]), random.choice(["here", "there", "yonder"])
                    flow(harness, topic=wanted[0], place=wanted[1])
                await running.version_switch.refresh()
                for _ in range(random.randrange(6)):
                    await asyncio.sleep(0.003)
                    harness.clock.advance(random.choice([1, 40, 4000]))
    well = True

    def settled_as_wanted(running: Engine) -> bool:
        kept = running.subscriptions.of("f")
        there = [(one["topic"], one["place"]) for one in shop.there.values()]
        return there == ([] if wanted is None else [wanted]) and kept.attempt is None and not kept.removing

    async with engine(harness) as running:
        waiting = asyncio.ensure_future(until(lambda: settled_as_wanted(running)))
        while not waiting.done():
            await asyncio.wait((waiting,), timeout=0.01)
            harness.clock.advance(40)
        await waiting
        if wanted is not None:
            assert (await send(running, shop.secrets()[0])).status == 202
