"""The action `http.request`, against a real server."""

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import BaseModel, ValidationError

from hookline.api import Attachment, Context, Message, Reply, StepError
from hookline.discovery.plugin_loader import load_plugins
from hookline.kernel.clocks import SystemClock
from hookline.outbound.client import PooledClient
from hookline.outbound.egress import Egress
from hookline.sdk.action import Action
from hookline_http import register_connectors


class MemoryBlobs:
    """Files in a dict, for the client and the action alike."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.aborted = 0

    async def create(self) -> "MemoryWriter":
        return MemoryWriter(self)

    async def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        data = self.kept[blob_id]
        for start in range(0, len(data), chunk_size):
            yield data[start : start + chunk_size]

    def add(self, data: bytes, *, id: str = "b1", name: str = "invoice", type: str = "application/pdf") -> Attachment:
        self.kept[id] = data
        return Attachment(id, name, None, type, len(data), hashlib.sha256(data).hexdigest())


class MemoryWriter:
    def __init__(self, blobs: MemoryBlobs) -> None:
        self._blobs = blobs
        self._data = b""
        self._committed = False

    @property
    def size(self) -> int:
        return len(self._data)

    async def write(self, chunk: bytes) -> None:
        self._data += chunk

    async def commit(self) -> Any:
        self._committed = True
        # An attachment has all that a blob has: id, size and hash.
        return self._blobs.add(self._data, id=f"made-{len(self._blobs.kept)}")

    async def abort(self) -> None:
        self._blobs.aborted += not self._committed


class Room:
    """A server, a client that may reach it, and the action."""

    def __init__(self, server: TestServer, client: PooledClient, blobs: MemoryBlobs) -> None:
        self.server = server
        self.client = client
        self.blobs = blobs
        (connector,) = register_connectors()
        self.action: Action = connector.actions["http.request"]

    async def __call__(
        self,
        path: str = "/echo",
        *,
        message: Message | None = None,
        credential: BaseModel | None = None,
        credential_type: str | None = None,
        **settings: Any,
    ) -> Reply:
        read = self.action.settings.model_validate({"url": str(self.server.make_url(path)), **settings})
        context: dict[str, Any] = dict.fromkeys(Context.__dataclass_fields__)
        context.update(
            http=self.client,
            blobs=self.blobs,
            message=message or Message(),
            credential=credential,
            credential_type=credential_type,
            idempotency_key="key-1",
        )
        reply = await self.action.run(ctx=Context(**context), **self.action.arguments(read))
        assert isinstance(reply, Reply)
        return reply


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response(
        {
            "method": request.method,
            "query": [list(pair) for pair in request.query.items()],
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": body.decode("latin-1"),
        }
    )


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    app = web.Application()
    app.router.add_route("*", "/echo", echo)

    async def text(_: web.Request) -> web.Response:
        return web.Response(body="Grüße".encode("latin-1"), headers={"Content-Type": "text/plain; charset=latin-1"})

    async def pdf(_: web.Request) -> web.Response:
        return web.Response(
            body=b"%PDF" + bytes(300_000),
            content_type="application/pdf",
            headers={"Content-Disposition": 'attachment; filename="../../etc/passwd"'},
        )

    async def nameless(_: web.Request) -> web.Response:
        return web.Response(body=b"%PDF", headers={"Content-Disposition": "x; filename*=idna''%ff"})

    async def nothing(_: web.Request) -> web.Response:
        return web.Response(status=204)

    async def broken(_: web.Request) -> web.Response:
        return web.Response(text="{nope", content_type="application/json")

    async def deep(_: web.Request) -> web.Response:
        return web.Response(text="[" * 100_000, content_type="application/json")

    async def big(_: web.Request) -> web.Response:
        return web.Response(text=json.dumps({"id": 2**70}), content_type="application/vnd.acme+json")

    for path, handler in {
        "/text": text, "/pdf": pdf, "/nameless": nameless, "/nothing": nothing,
        "/broken": broken, "/deep": deep, "/big": big,
    }.items():  # fmt: skip
        app.router.add_get(path, handler)
    blobs = MemoryBlobs()
    client = PooledClient(clock=SystemClock(), egress=Egress(["127.0.0.1"]), blobs=blobs)  # type: ignore[arg-type]
    server = TestServer(app)
    await server.start_server()
    yield Room(server, client, blobs)
    await client.close()
    await server.close()


async def test_the_result_has_the_decoded_body_the_headers_and_the_status(room: Room) -> None:
    reply = await room()
    assert reply.body["method"] == "GET"
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.extra == {"status": 200}
    assert reply.attachments is None


@pytest.mark.promise(3)
async def test_the_idempotency_key_is_sent_unless_the_author_sets_the_header(room: Room) -> None:
    assert (await room()).body["headers"]["idempotency-key"] == "key-1"
    own = await room(headers={"idempotency-key": "mine"})
    assert own.body["headers"]["idempotency-key"] == "mine"
    assert "idempotency-key" not in (await room(headers={"Idempotency-Key": None})).body["headers"]


async def test_json_null_is_a_body_and_leaving_json_out_is_none(room: Room) -> None:
    sent = await room(method="POST", json=None)
    assert (sent.body["body"], sent.body["headers"]["content-type"]) == ("null", "application/json")
    none = await room(method="POST")
    assert none.body["body"] == ""
    assert "content-type" not in none.body["headers"]


@pytest.mark.rule(24)
async def test_a_setting_may_be_called_json_and_the_schema_has_it(room: Room) -> None:
    schema = room.action.json_schema()
    assert {"json", "headers", "method"} <= set(schema["properties"])
    assert schema["required"] == ["url"]
    assert all(setting["description"] for setting in schema["properties"].values())


@pytest.mark.parametrize(
    ("settings", "body", "media_type"),
    [
        ({"json": {"a": [1, None]}}, '{"a":[1,null]}', "application/json"),
        (
            {"form": {"a": ["1", 2], "b": None, "c": "ä&="}},
            "a=1&a=2&c=%C3%A4%26%3D",
            "application/x-www-form-urlencoded",
        ),
        ({"body": "text"}, "text", "text/plain; charset=utf-8"),
        ({"body": "<a/>", "headers": {"Content-Type": "application/xml"}}, "<a/>", "application/xml"),
    ],
)
async def test_each_kind_of_body_has_its_media_type(
    room: Room, settings: dict[str, Any], body: str, media_type: str
) -> None:
    sent = (await room(method="POST", **settings)).body
    assert (sent["body"], sent["headers"]["content-type"]) == (body, media_type)


async def test_the_query_is_added_to_the_urls_own(room: Room) -> None:
    reply = await room("/echo?a=1", query={"b": [True, 2.5], "c": None, "d": "x y&z"})
    assert reply.body["query"] == [["a", "1"], ["b", "true"], ["b", "2.5"], ["d", "x y&z"]]


async def test_two_bodies_are_rejected_by_name(room: Room) -> None:
    with pytest.raises(StepError, match="json and form") as caught:
        await room(method="POST", json=None, form={})
    assert caught.value.retryable is False


async def test_a_file_is_streamed_from_the_blob_store(room: Room) -> None:
    file = room.blobs.add(bytes(range(256)) * 2000)
    message = Message(attachments=(file,))
    for wanted in ("invoice", {"id": file.id, "name": "invoice"}):
        sent = (await room(method="PUT", message=message, file=wanted)).body
        assert sent["body"].encode("latin-1") == room.blobs.kept[file.id]
        assert sent["headers"]["content-type"] == "application/pdf"
        assert sent["headers"]["content-length"] == str(file.size)


async def test_a_file_must_be_the_messages_own_whatever_id_a_message_brings(room: Room) -> None:
    room.blobs.add(b"of another execution", id="other")
    mine = room.blobs.add(b"mine", id="mine")
    with pytest.raises(StepError, match="not an attachment of the message; it has 'invoice'"):
        await room(method="POST", message=Message(attachments=(mine,)), file={"id": "other"})
    with pytest.raises(StepError, match="it has none"):
        await room(method="POST", file="invoice")
    with pytest.raises(StepError, match="several"):
        await room(method="POST", message=Message(attachments=(mine, mine)), file="invoice")


@pytest.mark.parametrize(
    ("type_name", "values", "header", "value"),
    [
        ("bearer", {"token": "t0ken"}, "authorization", "Bearer t0ken"),
        ("basic", {"username": "jo", "password": "pass:wörd"}, "authorization", "Basic am86cGFzczp3w7ZyZA=="),
        ("basic", {"username": "jo", "password": ["new-word", "old-word"]}, "authorization", "Basic am86bmV3LXdvcmQ="),
        ("api-key", {"key": "the-key-of-acme-x"}, "x-api-key", "the-key-of-acme-x"),
        ("api-key", {"key": ["new-key-of-acme-x", "old-key-of-acme-x"]}, "x-api-key", "new-key-of-acme-x"),
    ],
)
async def test_a_credential_becomes_a_header(
    room: Room, type_name: str, values: dict[str, Any], header: str, value: str
) -> None:
    assert type_name in room.action.credential_types
    # The models as they are installed: they are another plugin's.
    credential = load_plugins().credential_types[type_name].model_validate(values)
    reply = await room(credential=credential, credential_type=type_name)
    assert reply.body["headers"][header] == value


async def test_an_api_key_goes_into_the_header_that_the_step_names(room: Room) -> None:
    credential = load_plugins().credential_types["api-key"].model_validate({"key": "the-key-of-acme-x"})
    reply = await room(credential=credential, credential_type="api-key", key_header="Acme-Key")
    assert reply.body["headers"]["acme-key"] == "the-key-of-acme-x"


async def test_a_header_and_a_credential_that_say_the_same_are_rejected(room: Room) -> None:
    credential = load_plugins().credential_types["bearer"].model_validate({"token": "t0ken"})
    with pytest.raises(StepError, match="comes from the credential"):
        await room(credential=credential, credential_type="bearer", headers={"authorization": "other"})


async def test_text_is_decoded_by_its_charset(room: Room) -> None:
    assert (await room("/text")).body == "Grüße"


async def test_integers_are_exact_in_any_json_type(room: Room) -> None:
    assert (await room("/big")).body == {"id": 2**70}


async def test_no_content_is_null(room: Room) -> None:
    reply = await room("/nothing")
    assert (reply.body, reply.extra["status"], reply.attachments) == (None, 204, None)


async def test_json_that_is_not_json_is_an_error(room: Room) -> None:
    for path in ("/broken", "/deep"):
        with pytest.raises(StepError, match="not JSON") as caught:
            await room(path)
        assert caught.value.error_code == "http.body"


@pytest.mark.rule(20)
async def test_another_type_becomes_an_attachment_beside_the_messages_own(room: Room) -> None:
    mine = room.blobs.add(b"mine", id="mine")
    reply = await room("/pdf", message=Message(attachments=(mine,)))
    assert reply.body is None
    assert reply.attachments is not None
    own, made = reply.attachments
    assert own is mine
    assert (made.name, made.filename, made.type, made.size) == ("response", "passwd", "application/pdf", 300_004)
    assert room.blobs.kept[made.id].startswith(b"%PDF")


async def test_a_file_whose_name_nobody_can_read_has_none(room: Room) -> None:
    reply = await room("/nameless")
    assert reply.attachments is not None
    assert [made.filename for made in reply.attachments] == [None]


async def test_a_file_that_is_too_large_leaves_nothing(room: Room) -> None:
    with pytest.raises(StepError) as caught:
        await room("/pdf", max_bytes=100_000)
    assert caught.value.error_code == "http.too_large"
    assert (room.blobs.kept, room.blobs.aborted) == ({}, 1)


@pytest.mark.parametrize(
    "settings", [{"method": "GET\r\nX: y"}, {"redirects": -1}, {"timeout": "soon"}, {"max_bytes": 0}]
)
def test_wrong_settings_are_known_before_anything_is_sent(settings: dict[str, Any]) -> None:
    (connector,) = register_connectors()
    with pytest.raises(ValidationError):
        connector.actions["http.request"].settings.model_validate({"url": "https://a.example", **settings})
