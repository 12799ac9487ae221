"""`amqp.publish` and `amqp.messages` with a real RabbitMQ."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.integration.plugins.brokers.proxy import no_step_hangs, proxy_to
from tests.integration.plugins.brokers.rabbit import HOST, LOGIN, URL, Rabbit, rabbit_here
from tests.services import need_server

import hookline_amqp.connection
from hookline.api import Attachment, AuthExpired, Message, StepError, Unavailable
from hookline.testing.connector_harness import Harness
from hookline.testing.contracts.connector import ConnectorContract
from hookline_amqp.connector import AmqpLogin, amqp


@pytest.fixture
async def rabbit() -> AsyncIterator[Rabbit]:
    need_server("RabbitMQ", 5672)
    async with rabbit_here() as made:
        yield made


async def publish(harness: Harness, message: Message | None = None, **settings: Any) -> Any:
    return (await harness.run_action("amqp.publish", credential=LOGIN, message=message, with_=settings)).body


async def test_a_message_is_published_persistently_with_the_key_of_its_step(harness: Harness, rabbit: Rabbit) -> None:
    queue = await rabbit.queue()
    published = await publish(
        harness, routing_key=queue, json={"n": 1}, headers={"tries": 3, "tags": ["a"], "ok": True}
    )
    came = await rabbit.get(queue)
    assert (came.body, came.content_type, int(came.delivery_mode)) == (b'{"n":1}', "application/json", 2)
    assert came.headers == {"tries": 3, "tags": ["a"], "ok": True}
    assert came.message_id == published["message_id"]
    assert len(came.message_id) == 40
    assert (await publish(harness, routing_key=queue))["message_id"] == came.message_id, "the same at each attempt"


async def test_the_body_is_the_messages_own_or_text_or_a_file(harness: Harness, rabbit: Rabbit) -> None:
    queue = await rabbit.queue()
    writer = await harness.blobs.create()
    await writer.write(b"%PDF" * 500_000)
    blob = await writer.commit()
    file = Attachment(blob.id, "invoice", "a.pdf", "application/pdf", blob.size, blob.sha256)
    message = Message({"id": 7}, attachments=(file,))
    await publish(harness, message, routing_key=queue)
    await publish(harness, message, routing_key=queue, text="größer", type="note", priority=3, expiration="1h")
    await publish(harness, message, routing_key=queue, file="invoice", message_id="m1")
    own, text, pdf = [await rabbit.get(queue) for _ in range(3)]
    assert own.body == b'{"id":7}'
    assert (text.body.decode(), text.content_type, text.type, text.priority) == (
        "größer",
        "text/plain; charset=utf-8",
        "note",
        3,
    )
    assert text.expiration == 3600
    assert (pdf.body, pdf.content_type, pdf.message_id) == (b"%PDF" * 500_000, "application/pdf", "m1")
    with pytest.raises(StepError, match="one body") as caught:
        await publish(harness, message, routing_key=queue, text="a", json=1)
    assert caught.value.error_code == "amqp.body"
    with pytest.raises(StepError, match="not an attachment of the message; it has 'invoice'"):
        await publish(harness, message, routing_key=queue, file="other")


async def test_what_no_queue_gets_is_an_error_unless_the_step_says_otherwise(harness: Harness, rabbit: Rabbit) -> None:
    exchange = (await rabbit.exchange()).name
    with pytest.raises(StepError, match="no queue gets the message") as caught:
        await publish(harness, exchange=exchange, routing_key="a.b", json=1)
    assert (caught.value.error_code, caught.value.retryable) == ("amqp.unroutable", False)
    await publish(harness, exchange=exchange, routing_key="a.b", json=1, mandatory=False)


async def test_an_exchange_that_is_not_there_disturbs_no_other(harness: Harness, rabbit: Rabbit) -> None:
    queue = await rabbit.queue()

    async def wrong() -> Any:
        with pytest.raises(StepError, match="no exchange") as caught:
            await publish(harness, exchange="hookline-test-nowhere", routing_key=queue, json=1)
        return caught.value.error_code, caught.value.retryable

    async def right(n: int) -> None:
        await publish(harness, routing_key=queue, json=n, message_id=str(n))

    results = await asyncio.gather(*(wrong() if n % 5 == 0 else right(n) for n in range(50)))
    assert set(results) == {("amqp.not_found", False), None}
    assert await rabbit.count(queue) == 40


async def test_of_two_with_one_id_at_once_the_right_one_comes_back(harness: Harness, rabbit: Rabbit) -> None:
    queue = await rabbit.queue()
    keys = [queue if n % 2 else "hookline-test-nowhere" for n in range(10)]
    results = await asyncio.gather(
        *(publish(harness, routing_key=key, json=1, message_id="same") for key in keys), return_exceptions=True
    )
    assert [isinstance(result, StepError) for result in results] == [key != queue for key in keys]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"routing_key": "x" * 300}, "amqp.invalid"),
        ({"headers": {"n": 2**70}}, "amqp.invalid"),
        ({"headers": {"x" * 300: 1}}, "amqp.invalid"),
    ],
)
async def test_what_cannot_be_written_is_said_before_it_is_sent(
    harness: Harness, rabbit: Rabbit, settings: dict[str, Any], code: str
) -> None:
    with pytest.raises(StepError) as caught:
        await publish(harness, **{"routing_key": "x", "json": 1, **settings})
    assert (caught.value.error_code, caught.value.retryable) == (code, False)


async def test_a_full_queue_rejects_for_now(harness: Harness, rabbit: Rabbit) -> None:
    queue = await rabbit.queue(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    results = await asyncio.gather(
        *(publish(harness, routing_key=queue, json=n, message_id=str(n)) for n in range(5)), return_exceptions=True
    )
    rejected = [result for result in results if isinstance(result, Unavailable)]
    assert {error.error_code for error in rejected} == {"amqp.rejected"}


async def test_a_lost_connection_is_made_again(harness: Harness, rabbit: Rabbit) -> None:
    queue = await rabbit.queue()
    async with proxy_to(5672) as proxy:
        login = {"host": HOST, "port": proxy.port}

        async def send(n: int) -> None:
            await harness.run_action("amqp.publish", credential=login, with_={"routing_key": queue, "json": n})

        await send(1)
        proxy.cut()
        proxy.rejects = True
        # Whether the loss is noticed before the message is sent or after it.
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                await send(2)
            assert caught.value.error_code == "amqp.connection"
        proxy.rejects = False
        await send(2)
        assert await rabbit.count(queue) == 2
        await harness.resources.close()


@pytest.mark.rule(21)
@pytest.mark.parametrize("used", [False, True])
async def test_a_broker_that_hangs_holds_no_step_longer_than_its_limit(
    harness: Harness, rabbit: Rabbit, used: bool
) -> None:
    queue = await rabbit.queue()
    async with proxy_to(5672) as proxy:

        async def send(n: int) -> None:
            login = {"host": HOST, "port": proxy.port}
            await harness.run_action("amqp.publish", credential=login, with_={"routing_key": queue, "json": n})

        await no_step_hangs(proxy, send, harness, used=used)


@pytest.mark.parametrize(
    ("login", "code", "kind"),
    [
        ({"host": HOST, "password": "hunter2"}, "amqp.auth", AuthExpired),
        ({"host": HOST, "vhost": "nowhere"}, "amqp.access", StepError),
        ({"host": HOST, "port": 1}, "amqp.connection", Unavailable),
        ({"host": HOST, "port": 1883}, "amqp.connection", Unavailable),
        ({"url": "amqp://guest:hunter2@127.0.0.1/"}, "amqp.auth", AuthExpired),
        ({"url": "amqps://guest:guest@127.0.0.1:5672/"}, "amqp.tls", StepError),
        ({"host": HOST, "tls": True, "ca": "none"}, "amqp.tls", StepError),
    ],
)
async def test_a_credential_that_cannot_be_used_says_why_and_shows_no_secret(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, login: dict[str, Any], code: str, kind: type[StepError]
) -> None:
    need_server("RabbitMQ", 5672)
    monkeypatch.setattr(hookline_amqp.connection, "CONNECT", 1.0)
    with pytest.raises(StepError) as caught:
        await harness.run_action("amqp.publish", credential=login, with_={"routing_key": "x", "json": 1})
    assert (caught.value.error_code, type(caught.value)) in (
        (code, kind),
        # What speaks another protocol may say nothing at all.
        ("amqp.timeout" if login.get("port") == 1883 else "-", Unavailable),
    )
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("values", [{}, {"url": URL, "host": "x"}, {"url": "http://x"}, {"host": "x", "port": 0}])
def test_an_address_is_given_in_one_way(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        AmqpLogin.model_validate(values)


async def test_a_queue_starts_flows_with_what_its_messages_say(harness: Harness, rabbit: Rabbit) -> None:
    queue = await rabbit.queue()
    await rabbit.send(
        queue,
        b'{"n": 1}',
        content_type="application/json",
        message_id="m1",
        headers={"Shop": "a", "amqp-exchange": "no"},
    )
    await rabbit.send(queue, "größer".encode("latin-1"), content_type="text/plain", content_encoding="latin-1")
    await rabbit.send(queue, gzip.compress(b"[]"), content_type="application/json", content_encoding="gzip")
    await rabbit.send(queue, b"21.5", correlation_id="c", headers={"list": [1, None], "n": 7})
    json, text, packed, bare = await harness.run_consumer("amqp.messages", 4, credential=LOGIN, queue=queue)
    assert (json.body, json.id) == ({"n": 1}, "m1")
    assert json.headers == {
        "shop": "a",
        "content-type": "application/json",
        "message-id": "m1",
        "amqp-exchange": "",
        "amqp-routing-key": queue,
        "amqp-redelivered": "false",
    }
    assert text.body == "größer"
    assert (packed.body, packed.attachments[0].type) == (None, "application/octet-stream")
    assert (bare.body, bare.headers["correlation-id"], bare.headers["list"]) == (21.5, "c", "[1,null]")
    assert await rabbit.count(queue) == 0, "all are acknowledged"


async def test_what_a_flow_rejects_goes_to_the_dead_letter_exchange(harness: Harness, rabbit: Rabbit) -> None:
    dead, queue, routed = await rabbit.queue(), rabbit.name(), rabbit.exchange_name()
    declare = {
        "dead_letter_exchange": "",
        "dead_letter_routing_key": dead,
        "bindings": [{"exchange": routed, "type": "topic", "routing_key": "order.*"}],
    }
    settings = {"queue": queue, "declare": declare}
    await harness.run_consumer("amqp.messages", 0, credential=LOGIN, **settings)
    exchange = await rabbit.channel.get_exchange(routed)
    import aio_pika

    await exchange.publish(aio_pika.Message(b"poison"), "order.new")
    await exchange.publish(aio_pika.Message(b"other"), "invoice.new", mandatory=False)
    (came,) = await harness.run_consumer("amqp.messages", 1, credential=LOGIN, reject="it is no order", **settings)
    assert (came.body, came.headers["amqp-routing-key"]) == ("poison", "order.new")
    async with asyncio.timeout(30):
        while (found := await rabbit.get(dead)) is None:  # noqa: ASYNC110 - it is a broker's
            await asyncio.sleep(0.01)
    assert found.body == b"poison"


async def test_what_is_not_acknowledged_comes_again_as_redelivered(harness: Harness, rabbit: Rabbit) -> None:
    queue = await rabbit.queue()
    await rabbit.send(queue, b"1", message_id="m")
    trigger = amqp.consumers["amqp.messages"]
    assert trigger.run is not None
    for redelivered in ("false", "true"):
        (came,) = await _first(harness, queue, acknowledge=redelivered == "true")
        assert came.headers["amqp-redelivered"] == redelivered
    assert await rabbit.count(queue) == 0


async def test_no_lost_connection_uses_a_message_up(harness: Harness, rabbit: Rabbit) -> None:
    """RabbitMQ's own limit for a quorum queue is 20."""
    queue = rabbit.name()
    await harness.run_consumer("amqp.messages", 0, credential=LOGIN, queue=queue, declare={})
    await rabbit.send(queue, b"1")
    for _ in range(22):
        await _first(harness, queue, acknowledge=False)
    (came,) = await harness.run_consumer("amqp.messages", 1, credential=LOGIN, queue=queue, declare={})
    assert (came.body, came.headers["amqp-redelivered"]) == (1, "true")


async def _first(harness: Harness, queue: str, *, acknowledge: bool) -> list[Any]:
    """The next message, which the broker may not be told of."""
    if acknowledge:
        return await harness.run_consumer("amqp.messages", 1, credential=LOGIN, queue=queue)

    class Lost(Exception):
        pass

    trigger = amqp.consumers["amqp.messages"]
    assert trigger.run is not None
    from hookline.api import ConsumeContext

    ctx = ConsumeContext(
        AmqpLogin.model_validate(LOGIN),
        harness.http,
        harness.blobs,
        harness.log,
        harness.resources,
        "flow",
        10,
        lambda: None,
    )
    deliveries = trigger.run(ctx, queue)
    delivery = await anext(deliveries)
    await deliveries.aclose()  # type: ignore[attr-defined]  # it is a generator
    return [delivery]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"queue": "hookline-test-nowhere"}, "amqp.not_found"),
        ({"queue": "hookline-test-x", "declare": {"type": "quorum", "durable": False}}, "amqp.precondition"),
        ({"queue": "amq.reserved", "declare": {}}, "amqp.access"),
    ],
)
async def test_a_queue_that_cannot_be_listened_to_says_why(
    harness: Harness, rabbit: Rabbit, settings: dict[str, Any], code: str
) -> None:
    with pytest.raises(StepError) as caught:
        await harness.run_consumer("amqp.messages", 0, credential=LOGIN, **settings)
    assert (caught.value.error_code, caught.value.retryable) == (code, False)
    assert settings["queue"] in caught.value.message


async def test_a_queue_that_is_deleted_ends_the_connection(harness: Harness, rabbit: Rabbit) -> None:
    queue = await rabbit.queue()
    listening = asyncio.create_task(harness.run_consumer("amqp.messages", 1, credential=LOGIN, queue=queue))
    await _until_consumed(rabbit, queue)
    await rabbit.channel.queue_delete(queue)
    with pytest.raises(StepError, match="the queue has perhaps been deleted") as caught:
        await listening
    assert caught.value.error_code == "amqp.not_found"


async def _until_consumed(rabbit: Rabbit, queue: str) -> None:
    async with asyncio.timeout(30):
        while True:
            declared = await rabbit.channel.declare_queue(queue, passive=True)
            if declared.declaration_result.consumer_count:
                return
            await asyncio.sleep(0.01)


async def test_a_broker_hands_out_no_more_than_may_be_held(harness: Harness, rabbit: Rabbit) -> None:
    queue = await rabbit.queue()
    for n in range(5):
        await rabbit.send(queue, str(n).encode())
    trigger = amqp.consumers["amqp.messages"]
    assert trigger.run is not None
    from hookline.api import ConsumeContext

    ctx = ConsumeContext(
        AmqpLogin.model_validate(LOGIN),
        harness.http,
        harness.blobs,
        harness.log,
        harness.resources,
        "f",
        2,
        lambda: None,
    )
    deliveries = trigger.run(ctx, queue)
    await anext(deliveries)
    assert await rabbit.count(queue) == 3
    await deliveries.aclose()  # type: ignore[attr-defined]  # it is a generator


class TestContract(ConnectorContract):
    connector = amqp
    level = "gold"
    credential = {"url": URL}  # noqa: RUF012 - a class's constant
    calls = {  # noqa: RUF012
        "amqp.publish": {"routing_key": "hookline-test-nowhere", "json": 1, "mandatory": False},
        "amqp.messages": {
            "queue": "hookline-test-contract",
            "declare": {"type": "classic", "arguments": {"x-expires": 60000}},
        },
    }

    @pytest.fixture(autouse=True)
    def _needs_it(self) -> None:
        need_server("RabbitMQ", 5672)
