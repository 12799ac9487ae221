"""`mqtt.publish` and `mqtt.messages` with a real Mosquitto."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.integration.plugins.brokers.mosquitto import Mosquitto
from tests.integration.plugins.brokers.proxy import no_step_hangs, proxy_to
from tests.services import need_server

import hookline_mqtt.connection
from hookline.api import Attachment, AuthExpired, BrokerMessage, ConsumeContext, Message, StepError, Unavailable
from hookline.testing.connector_harness import ConsumedMessage, Harness
from hookline.testing.contracts.connector import ConnectorContract
from hookline_mqtt.connector import MqttLogin, mqtt
from hookline_mqtt.topics import wrong_filter, wrong_topic

HOST = "127.0.0.1"


class Broker:
    """Names on the shared Mosquitto that nobody else has, and its sessions, which are dropped in the end."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.topic = f"hookline-test/{uuid4().hex}"
        self.login = {"host": HOST, "client_id": f"hookline-test-{uuid4().hex}"}

    async def publish(self, topic: str, message: Message | None = None, **settings: Any) -> Any:
        given = {"topic": f"{self.topic}/{topic}", **settings}
        return (await self.harness.run_action("mqtt.publish", credential=self.login, message=message, with_=given)).body

    async def take(self, count: int, *topics: str, **settings: Any) -> list[ConsumedMessage]:
        given = {"topics": [f"{self.topic}/{topic}" for topic in topics or ("#",)], **settings}
        return await self.harness.run_consumer("mqtt.messages", count, credential=self.login, timeout=10, **given)

    async def subscribe(self, *topics: str, **settings: Any) -> None:
        """Begin a session, and leave it."""
        await self.take(0, *topics, **settings)

    def deliveries(self, *topics: str, prefetch: int = 100, **settings: Any) -> AsyncIterator[BrokerMessage]:
        """What the trigger yields, which nobody acknowledges."""
        trigger, harness = mqtt.consumers["mqtt.messages"], self.harness
        assert trigger.run is not None
        ctx = ConsumeContext(
            MqttLogin.model_validate(self.login),
            harness.http,
            harness.blobs,
            harness.log,
            harness.resources,
            "flow",
            prefetch,
            lambda: None,
        )
        return trigger.run(ctx, [f"{self.topic}/{topic}" for topic in topics or ("#",)], **settings)

    async def clean(self) -> None:
        """Drop the session: one that is clean takes its place."""
        await self.take(0, qos=0, client_id=f"{self.login['client_id']}-flow")


@pytest.fixture
async def broker(harness: Harness) -> AsyncIterator[Broker]:
    need_server("Mosquitto", 1883)
    made = Broker(harness)
    yield made
    await made.clean()


async def test_what_is_published_comes_with_its_type_its_id_and_its_properties(broker: Broker) -> None:
    await broker.subscribe()
    published = await broker.publish(
        "a/b",
        json={"n": 1},
        properties={"Shop": "7", "mqtt-topic": "no"},
        response_topic="answers",
        correlation_data="c",
        expiry="1h",
    )
    assert published == {"topic": f"{broker.topic}/a/b", "message_id": published["message_id"]}
    (came,) = await broker.take(1)
    assert (came.body, came.id) == ({"n": 1}, published["message_id"])
    assert came.headers == {
        "message-id": published["message_id"],
        "shop": "7",
        "content-type": "application/json",
        "response-topic": "answers",
        "correlation-data": "c",
        "mqtt-topic": f"{broker.topic}/a/b",
        "mqtt-qos": "1",
        "mqtt-retain": "false",
    }


async def test_messages_are_kept_while_nobody_listens_and_come_in_order(broker: Broker) -> None:
    await broker.subscribe()
    for n in range(50):
        await broker.publish("a", json=n, qos=1 + n % 2)
    assert [came.body for came in await broker.take(50)] == list(range(50))
    await broker.publish("a", text="last")
    assert [came.body for came in await broker.take(1)] == ["last"], "those that were acknowledged don't come again"


async def test_what_is_not_acknowledged_comes_again(broker: Broker) -> None:
    await broker.subscribe()
    await broker.publish("a", json=1)
    deliveries = broker.deliveries()
    first = await anext(deliveries)
    await deliveries.aclose()  # type: ignore[attr-defined]  # it is a generator
    (second,) = await broker.take(1)
    assert second.id == first.id


async def test_a_broker_hands_out_no_more_than_may_be_held(broker: Broker) -> None:
    await broker.subscribe()
    for n in range(5):
        await broker.publish("a", json=n)
    deliveries = broker.deliveries(prefetch=2)
    one, two = await anext(deliveries), await anext(deliveries)
    third = asyncio.ensure_future(anext(deliveries))
    done, _ = await asyncio.wait((third,), timeout=0.3)
    assert not done
    assert one.accepted is not None
    await one.accepted()
    assert (await asyncio.wait_for(third, 5)).body.data == b"2"
    del two
    await deliveries.aclose()  # type: ignore[attr-defined]  # it is a generator


async def test_the_body_is_the_messages_own_or_text_or_a_file(harness: Harness, broker: Broker) -> None:
    await broker.subscribe()
    writer = await harness.blobs.create()
    await writer.write(b"\x00\x01" * 100_000)
    blob = await writer.commit()
    message = Message({"id": 7}, attachments=(Attachment(blob.id, "scan", None, "image/png", blob.size, blob.sha256),))
    await broker.publish("a", message)
    await broker.publish("a", message, text="größer")
    await broker.publish("a", message, file="scan", qos=2, message_id="m1")
    own, text, scan = await broker.take(3)
    assert (own.body, text.body, scan.body, scan.id) == ({"id": 7}, "größer", None, "m1")
    assert (scan.attachments[0].type, scan.attachments[0].size) == ("image/png", 200_000)
    with pytest.raises(StepError, match="one body"):
        await broker.publish("a", message, text="a", file="scan")
    with pytest.raises(StepError, match="not an attachment of the message; it has 'scan'"):
        await broker.publish("a", message, file="other")


async def test_what_devices_send_without_a_type_is_json_or_text_or_a_file(broker: Broker) -> None:
    """By MQTT 3.1.1, which knows no types."""
    await broker.subscribe()
    broker.login["version"] = "3.1.1"
    await broker.publish("a", json=21.5)
    await broker.publish("a", text="on")
    del broker.login["version"]
    number, text = await broker.take(2)
    assert (number.body, number.id, text.body) == (21.5, None, "on")


async def test_version_3_keeps_a_session_and_brings_what_is_retained_once(broker: Broker) -> None:
    broker.login["version"] = "3.1.1"
    await broker.publish("a", json="old", retain=True)
    (came,) = await broker.take(1)
    assert (came.body, came.headers["mqtt-retain"]) == ("old", "true")
    await broker.publish("a", json="new")
    (came,) = await broker.take(1)
    assert (came.body, came.headers["mqtt-retain"]) == ("new", "false")
    await broker.publish("a", text="", retain=True)


async def test_what_is_retained_comes_when_the_flow_first_subscribes(broker: Broker) -> None:
    await broker.publish("a", json="kept", retain=True)
    (came,) = await broker.take(1)
    assert (came.body, came.headers["mqtt-retain"]) == ("kept", "true")
    await broker.publish("b", json="other")
    assert [came.body for came in await broker.take(1)] == ["other"]
    await broker.publish("a", text="", retain=True)


async def test_what_is_retained_may_be_left_alone(broker: Broker) -> None:
    await broker.publish("a", json="kept", retain=True)
    await broker.subscribe(retained=False)
    await broker.publish("b", json="other")
    assert [came.body for came in await broker.take(1, retained=False)] == ["other"]
    await broker.publish("a", text="", retain=True)


async def test_a_topic_that_a_flow_names_no_more_starts_nothing(harness: Harness, broker: Broker) -> None:
    await broker.subscribe("a", "b")
    await broker.publish("a", json=1)
    await broker.publish("b", json=2)
    assert [came.body for came in await broker.take(1, "b")] == [2]
    assert "doesn't subscribe to its topic any more" in repr(harness.log.lines)


async def test_each_message_comes_to_one_of_a_group(broker: Broker) -> None:
    group, there, found = uuid4().hex, set[str](), list[Any]()

    async def member(name: str) -> None:
        deliveries = broker.deliveries(group=group, client_id=f"{broker.login['client_id']}-{name}", qos=0)
        async for delivery in deliveries:
            if delivery.body.data == b"-1":
                there.add(name)
            else:
                found.append(delivery.body.data)

    members = [asyncio.create_task(member(name)) for name in ("x", "y")]
    async with asyncio.timeout(30):
        while len(there) < 2:
            await broker.publish("a", json=-1)
            await asyncio.sleep(0.01)
    for n in range(10):
        await broker.publish("a", json=n)
    async with asyncio.timeout(30):
        while len(found) < 10:  # noqa: ASYNC110 - it is a broker's
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    for each in members:
        each.cancel()
    await asyncio.wait(members)
    assert sorted(found) == [str(n).encode() for n in range(10)]


async def test_another_client_of_the_same_id_is_named(broker: Broker) -> None:
    there, deliveries = asyncio.Event(), broker.deliveries()

    async def listen() -> None:
        async for _ in deliveries:
            there.set()

    first = asyncio.create_task(listen())
    async with asyncio.timeout(30):
        while not there.is_set():
            await broker.publish("a", json=1)
            await asyncio.sleep(0.01)
    await broker.subscribe()
    with pytest.raises(StepError, match="another client has the same client id") as caught:
        await first
    assert caught.value.error_code == "mqtt.client_id"


async def test_a_lost_connection_ends_the_trigger_and_publishing_goes_on(harness: Harness, broker: Broker) -> None:
    async with proxy_to(1883) as proxy:
        through: dict[str, Any] = {**broker.login, "port": proxy.port}
        topic = f"{broker.topic}/a"

        async def publish(n: int) -> None:
            await harness.run_action("mqtt.publish", credential=through, with_={"topic": topic, "json": n})

        await publish(1)
        listening = asyncio.create_task(
            harness.run_consumer("mqtt.messages", 1, credential=through, topics=[topic], timeout=10)
        )
        async with asyncio.timeout(30):
            while proxy.connections < 2:  # noqa: ASYNC110 - it is a broker's
                await asyncio.sleep(0.01)
        proxy.rejects = True
        proxy.cut()
        with pytest.raises(Unavailable) as lost:
            await listening
        assert lost.value.error_code == "mqtt.connection"
        for n in range(2):
            with pytest.raises(Unavailable) as caught:
                await publish(n)
            assert caught.value.error_code == "mqtt.connection"
        proxy.rejects = False
        await publish(2)
        await harness.resources.close()


@pytest.mark.rule(21)
@pytest.mark.parametrize("used", [False, True])
async def test_a_broker_that_hangs_holds_no_step_longer_than_its_limit(
    harness: Harness, broker: Broker, used: bool
) -> None:
    async with proxy_to(1883) as proxy:

        async def publish(n: int) -> None:
            through: dict[str, Any] = {**broker.login, "port": proxy.port}
            with_ = {"topic": f"{broker.topic}/a", "json": n, "qos": 1}
            await harness.run_action("mqtt.publish", credential=through, with_=with_)

        await no_step_hangs(proxy, publish, harness, used=used)


@pytest.mark.parametrize(
    ("login", "code", "kind"),
    [
        ({"host": HOST, "port": 1}, "mqtt.connection", Unavailable),
        ({"host": HOST, "port": 5672}, "mqtt.connection", Unavailable),
        ({"host": "nowhere.invalid"}, "mqtt.connection", Unavailable),
        ({"host": HOST, "port": 1883, "tls": True, "ca": "none"}, "mqtt.tls", StepError),
    ],
)
async def test_a_broker_that_cannot_be_reached_says_why(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, login: dict[str, Any], code: str, kind: type[StepError]
) -> None:
    need_server("Mosquitto", 1883)
    need_server("RabbitMQ", 5672)
    monkeypatch.setattr(hookline_mqtt.connection, "CONNECT", 2.0)
    for run in (
        harness.run_action("mqtt.publish", credential=login, with_={"topic": "x", "json": 1}),
        harness.run_consumer("mqtt.messages", 0, credential=login, topics=["x"]),
    ):
        with pytest.raises(StepError) as caught:
            await run
        assert (caught.value.error_code, type(caught.value)) == (code, kind)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Mosquitto]:
    """One that asks for a password, and lets its users publish and subscribe to some topics alone."""
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed")
    folder = tmp_path / "broker"
    folder.mkdir()
    subprocess.run([program, "-b", "-c", str(folder / "passwords"), "ada", "hunter2"], check=True)
    (folder / "passwords").chmod(0o644)
    (folder / "acl").write_text("user ada\ntopic readwrite mine/#\n")
    (folder / "acl").chmod(0o644)
    made = Mosquitto(folder, f"password_file {folder}/passwords", f"acl_file {folder}/acl")
    made.start()
    yield made
    made.stop()


async def test_who_may_not_is_told_so(harness: Harness, guarded: Mosquitto) -> None:
    login = {"host": HOST, "port": guarded.port, "username": "ada", "password": "hunter2"}
    await harness.run_action("mqtt.publish", credential=login, with_={"topic": "mine/a", "json": 1})
    with pytest.raises(StepError) as caught:
        await harness.run_action("mqtt.publish", credential=login, with_={"topic": "yours/a", "json": 1})
    assert (caught.value.error_code, caught.value.retryable) == ("mqtt.access", False)
    wrong = {**login, "password": "wrong-wrong"}
    for run in (
        harness.run_action("mqtt.publish", credential=wrong, with_={"topic": "mine/a", "json": 1}),
        harness.run_consumer("mqtt.messages", 0, credential=wrong, topics=["mine/#"]),
    ):
        with pytest.raises(AuthExpired) as rejected:
            await run
        assert rejected.value.error_code == "mqtt.auth"
        assert "wrong-wrong" not in rejected.value.message


async def test_a_broker_that_restarts_keeps_what_nobody_took(harness: Harness, tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "broker", "allow_anonymous true")
    broker.start()
    login = {"host": HOST, "port": broker.port}
    await harness.run_consumer("mqtt.messages", 0, credential=login, topics=["a"])
    await harness.run_action("mqtt.publish", credential=login, with_={"topic": "a", "json": 1})
    listening = asyncio.create_task(harness.run_consumer("mqtt.messages", 2, credential=login, topics=["a"]))
    await asyncio.sleep(0.2)
    broker.stop()
    with pytest.raises(Unavailable):
        await listening
    broker.start()
    try:
        await harness.run_action("mqtt.publish", credential=login, with_={"topic": "a", "json": 2})
        (came,) = await harness.run_consumer("mqtt.messages", 1, credential=login, topics=["a"])
        assert came.body == 2
        await harness.resources.close()
    finally:
        broker.stop()


@pytest.mark.parametrize(
    ("topic", "why"),
    [("", "empty"), ("a/+", "no wildcards"), ("#", "no wildcards"), ("a\0", "NUL"), ("x" * 70000, "bytes")],
)
async def test_what_is_no_topic_is_rejected(harness: Harness, topic: str, why: str) -> None:
    assert why in (wrong_topic(topic) or "")
    with pytest.raises(StepError, match=why) as caught:
        await harness.run_action("mqtt.publish", credential={"host": HOST}, with_={"topic": topic, "json": 1})
    assert caught.value.error_code == "mqtt.topic"


@pytest.mark.parametrize(
    ("topic", "why"),
    [
        ("a/#/b", "must be the whole last level"),
        ("a#", "must be the whole last level"),
        ("a/b+", "a whole level"),
        ("$share/g/a", "use `group`"),
        ("", "empty"),
        ("a/+/b", None),
        ("+", None),
        ("#", None),
        ("$SYS/#", None),
        ("/a//b", None),
    ],
)
def test_what_is_no_topic_filter_is_rejected(topic: str, why: str | None) -> None:
    found = wrong_filter(topic)
    assert found is None if why is None else why in (found or "")


class TestContract(ConnectorContract):
    connector = mqtt
    level = "gold"
    credential = {"host": HOST, "username": "ada", "password": "hunter2-hunter2"}  # noqa: RUF012 - a class's constant
    calls = {  # noqa: RUF012
        "mqtt.publish": {"topic": "hookline-test/contract", "json": 1},
        "mqtt.messages": {"topics": ["hookline-test/contract"], "qos": 0},
    }

    @pytest.fixture(autouse=True)
    def _needs_it(self) -> None:
        need_server("Mosquitto", 1883)
