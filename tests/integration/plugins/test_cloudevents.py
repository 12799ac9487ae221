"""`cloudevents.send`, over real HTTP, with the SDK of the specification's own project as the other side."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, ClassVar

import pytest
from aiohttp import web
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from tests.integration.http_servers import HERE, Serve, StoppedClock, error_of

from hookline.api import Attachment, Message
from hookline.discovery.plugin_loader import load_plugins
from hookline.outbound.client import PooledClient
from hookline.testing.connector_harness import ActionResult, Harness
from hookline.testing.contracts.connector import ConnectorContract
from hookline.testing.fake_http import FakeHttp
from hookline_cloudevents.send import connector

EVENT: dict[str, Any] = {"type": "com.example.order.created", "source": "/shop"}


class Receiver:
    """Keeps what it is sent, and answers what a test says."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[], web.Response] = lambda: web.Response(status=202)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return self.answer()

    def event(self) -> Any:
        headers, body = self.got[-1]
        return from_http_event(HTTPMessage(headers, body))


class Room:
    def __init__(self, actions: Harness, url: str, receiver: Receiver) -> None:
        self.actions = actions
        self.url = url
        self.receiver = receiver

    async def send(self, message: Message | None = None, **settings: Any) -> ActionResult:
        given = {"url": self.url, **EVENT, **settings}
        return await self.actions.run_action("cloudevents.send", message=message, with_=given)


@pytest.fixture
async def room(serve: Serve) -> AsyncIterator[Room]:
    actions = Harness(load_plugins())
    http = PooledClient(clock=StoppedClock(), egress=HERE, blobs=actions.blobs)
    actions.http = http
    receiver = Receiver()
    server = await serve({"/": receiver.take})
    yield Room(actions, str(server.make_url("/")), receiver)
    await http.close()
    await actions.close()


@pytest.mark.parametrize("mode", ["binary", "structured"])
async def test_the_sdk_reads_what_is_sent(room: Room, mode: str) -> None:
    data = {"number": 17, "name": "Zoë € 😀", "lines": [1.5, None]}
    ran = await room.send(
        mode=mode,
        data=data,
        id="17",
        subject='Grüße "100 %" 😀',
        time="2026-01-31T08:00:00.5Z",
        dataschema="https://example.com/order.json",
        extensions={"traceparent": "00-a", "count": 5, "urgent": True, "left": None},
    )
    assert ran.extra == {"status": 202}
    event = room.receiver.event()
    assert (event.get_id(), event.get_source(), event.get_type()) == ("17", "/shop", "com.example.order.created")
    assert event.get_specversion() == "1.0"
    assert event.get_subject() == 'Grüße "100 %" 😀'
    assert event.get_time().isoformat() == "2026-01-31T08:00:00.500000+00:00"
    assert event.get_dataschema() == "https://example.com/order.json"
    assert event.get_datacontenttype() == "application/json"
    assert event.get_data() == data
    texts = mode == "binary"
    assert event.get_extension("traceparent") == "00-a"
    assert event.get_extension("count") == ("5" if texts else 5)
    assert event.get_extension("urgent") == ("true" if texts else True)
    assert event.get_extension("left") is None


@pytest.mark.parametrize("mode", ["binary", "structured"])
async def test_texts_of_other_types_and_files_are_data_too(room: Room, mode: str) -> None:
    await room.send(mode=mode, data="<a>ü</a>", datacontenttype="application/xml")
    assert room.receiver.event().get_data() == "<a>ü</a>"
    writer = await room.actions.blobs.create()
    await writer.write(b"\xff\x00")
    blob = await writer.commit()
    file = Attachment(blob.id, "scan", None, "image/png", blob.size, blob.sha256)
    await room.send(Message(None, {}, (file,)), mode=mode, file="scan")
    event = room.receiver.event()
    assert (event.get_datacontenttype(), event.get_data()) == ("image/png", b"\xff\x00")


async def test_data_and_a_file_are_not_sent_together(room: Room) -> None:
    file = Attachment("b" * 32, "scan", None, "image/png", 2, "0" * 64)
    error = await error_of(room.send(Message(None, {}, (file,)), data={}, file="scan"))
    assert "either `data` or `file`, not both" in error.message
    assert room.receiver.got == []


@pytest.mark.parametrize("mode", ["binary", "structured"])
async def test_an_event_may_have_no_data(room: Room, mode: str) -> None:
    await room.send(mode=mode)
    assert room.receiver.event().get_data() is None


async def test_the_id_is_the_step_s_own_key_the_same_each_time(room: Room) -> None:
    await room.send()
    await room.send()
    first, second = (headers["ce-id"] for headers, _ in room.receiver.got)
    assert first == second
    assert len(first) > 20


async def test_an_answer_is_the_result_and_a_failure_an_error(room: Room) -> None:
    room.receiver.answer = lambda: web.json_response({"taken": 1})
    assert (await room.send()).body == {"taken": 1}
    room.receiver.answer = lambda: web.Response(text="thanks")
    assert (await room.send()).body == "thanks"
    room.receiver.answer = lambda: web.Response(status=503)
    error = await error_of(room.send())
    assert (error.error_code, error.retryable) == ("http.503", True)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"source": "a b"}, "source is not a URI reference"),
        ({"time": "today"}, "RFC 3339"),
        ({"extensions": {"MyExt": "a"}}, "'MyExt'"),
        ({"extensions": {"id": "a"}}, "'id' is not an extension"),
        ({"extensions": {"count": 2**40}}, "32 bits"),
        ({"subject": "a\nb"}, "control character"),
        ({"file": "a"}, "'a'"),
        ({"data": {}, "datacontenttype": "text/plain"}, "must be a text"),
        ({"datacontenttype": "json"}, "not a media type"),
    ],
)
async def test_what_is_no_event_is_not_sent(room: Room, settings: dict[str, Any], says: str) -> None:
    error = await error_of(room.send(**settings))
    assert error.error_code in ("cloudevents.event", "cloudevents.file")
    assert says in error.message
    assert room.receiver.got == []


class TestCloudEvents(ConnectorContract):
    connector = connector
    calls: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cloudevents.send": {"url": "https://events.example.com/", **EVENT, "data": {"a": 1}}
    }
    level = "gold"

    def answers(self, http: FakeHttp) -> None:
        http.answers("POST", "https://events.example.com/", json={"taken": True})
