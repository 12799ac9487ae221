"""Captures: the requests that come to the URL of a flow, whether it exists or not, kept apart from its history."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from quart.typing import TestClientProtocol as Client
from tests.integration.engine.two_engines import two_engines
from tests.integration.engine_harness import Harness, act

from hookline.engine import Engine
from hookline.model.access import SYSTEM
from hookline.secrets.masking import MASK
from hookline.service.admin import blueprints
from hookline.service.app import create_app
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.storage.captures import BODY_CAPTURED, CAPTURED_KEPT, MAX_CAPTURED

TOKEN: Final = "a-token-of-the-tests"
JSON: Final = {"Content-Type": "application/json"}
XML: Final = {"Content-Type": "text/xml"}
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART: Final = {"Content-Type": "multipart/form-data; boundary=b"}

pytestmark = pytest.mark.console_rule("K12")


def charset(name: str, of: Mapping[str, str] = JSON) -> dict[str, str]:
    """The headers of a body in an encoding."""
    return {"Content-Type": f"{of['Content-Type']}; charset={name}"}


class Server:
    """An engine and its application."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        options = HookOptions(engine.options.public_url)
        self.client: Client = create_app(engine, options, blueprints=blueprints(engine, TOKEN)).test_client()

    async def ask(self, method: str, path: str, body: Any = None, token: str = TOKEN) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        data = None if body is None else json.dumps(body).encode()
        response = await self.client.open(f"/api/v1/{path}", method=method, headers=headers, data=data)
        return response.status_code, None if response.status_code == 204 else await response.get_json()

    async def open(self, flow_id: str = "new") -> Any:
        status, opened = await self.ask("POST", "captures", {"flow_id": flow_id})
        assert status in (200, 201), opened
        return opened

    async def send(
        self, flow_id: str = "new", body: bytes = b"{}", headers: Mapping[str, str] = JSON, method: str = "POST"
    ) -> tuple[int, Any]:
        response = await self.client.open(f"/hook/{flow_id}", method=method, headers=dict(headers), data=body)
        return response.status_code, json.loads(await response.get_data() or b"null")

    async def captured(self, flow_id: str = "new") -> list[Any]:
        """The captured requests, each whole, the oldest first."""
        await self.engine.captures.flush()
        _, page = await self.ask("GET", f"captures/{flow_id}/requests")
        ids = [one["id"] for one in reversed(page["items"])]
        return [(await self.ask("GET", f"captures/{flow_id}/requests/{one}"))[1] for one in ids]


@pytest.fixture
async def server(harness: Harness) -> AsyncIterator[Server]:
    harness.flow("orders", [act("one")])
    harness.flow(
        "signed",
        [act("one")],
        trigger={"use": "webhook", "with": {"verify": {"scheme": "bearer", "credential": "key"}}},
    )
    harness.flow("private", [act("one")], redact=["$.body.card.number"])
    async with harness.engine() as engine:
        await engine.credentials.put("key", "bearer", {"token": "x" * 20}, by=SYSTEM)
        yield Server(engine)


async def test_a_request_to_a_flow_that_does_not_exist_yet_is_kept(server: Server) -> None:
    opened = await server.open()
    assert opened["open"] is True
    assert opened["url"].endswith("/hook/new")
    status, answer = await server.send(body=b'{"order": 7}')
    assert (status, answer) == (202, {"flow_id": "new", "status": "captured"})
    (request,) = await server.captured()
    assert (request["method"], request["path"], request["status"]) == ("POST", "new", 202)
    assert (request["result"], request["execution_id"]) == ("captured", None)
    assert (request["body"], request["encoding"], request["size"]) == ('{"order": 7}', "text", 12)
    assert ["content-type", "application/json"] in request["headers"]


@pytest.mark.rule(40)
async def test_outside_a_capture_nothing_of_a_rejected_request_is_kept(server: Server) -> None:
    await server.open()
    for flow_id in ("other", "news", "signed"):
        assert (await server.send(flow_id))[0] in (401, 404)
    await server.ask("POST", "captures/new/close")
    assert (await server.send())[0] == 404
    await server.open()
    server.engine.clock.advance(600)  # type: ignore[attr-defined]  # it is a manual clock
    assert (await server.send())[0] == 404
    assert await server.captured() == []


async def test_accepted_duplicate_and_rejected_requests_say_what_became_of_them(server: Server) -> None:
    await server.open("orders")
    await server.open("signed")
    id_ = {"Idempotency-Key": "1"} | JSON
    _, accepted = await server.send("orders", b'{"a": 1}', id_)
    await server.send("orders", b"{", JSON)
    await server.send("orders", b"", {}, "HEAD")
    await server.send("signed", b'{"a": 1}', JSON | {"Authorization": "Bearer wrong"})
    taken, broken, head = await server.captured("orders")
    assert (taken["result"], taken["execution_id"]) == ("accepted", accepted["execution_id"])
    assert (broken["result"], broken["status"], broken["body"]) == ("rejected", 400, "{")
    assert broken["code"] == "request.malformed"
    assert broken["reason"]
    assert (head["result"], head["method"]) == ("answered", "HEAD")
    (rejected,) = await server.captured("signed")
    assert (rejected["status"], rejected["code"], rejected["body"]) == (401, "request.not_verified", '{"a": 1}')
    assert "Bearer wrong" not in str(rejected)


async def test_a_captured_message_runs_as_any_other(server: Server, harness: Harness) -> None:
    await server.open("orders")
    _, answer = await server.send("orders", b'{"a": 1.50}')
    await harness.until(server.engine, answer["execution_id"])
    assert [call[3] for call in harness.probe.calls] == [{"a": 1.5}]
    status, replayed = await server.ask("POST", f"executions/{answer['execution_id']}/replay")
    assert status == 202, replayed


@pytest.mark.parametrize(
    ("body", "headers", "kept"),
    [
        (b'{"user": {"password": "hunter2", "tokens": 3}}', JSON, '{"user":{"password":"***","tokens":3}}'),
        (b'{"authorization": "hunter2", "signed": true}', JSON, '{"authorization":"***","signed":true}'),
        (b"a=1&api_key=hunter2", {"Content-Type": "application/x-www-form-urlencoded"}, "a=1&api_key=***"),
        (b"a=1&api_key=hunter2", {"Content-Type": "Application/X-WWW-Form-URLencoded; x=1"}, "a=1&api_key=***"),
        (
            b'--b\r\nContent-Disposition: form-data; name="password"\r\n\r\nhunter2\r\n--b--',
            {"Content-Type": "multipart/form-data; boundary=b"},
            None,
        ),
        (b'{"big": 12345678901234567890.10}', JSON, '{"big": 12345678901234567890.10}'),
        (b"no secret here", {"Content-Type": "text/plain"}, "no secret here"),
        (b"", {}, ""),
        # JSON that a hook takes, in other encodings.
        (b'\xef\xbb\xbf{"password": "hunter2"}', JSON, '{"password":"***"}'),
        ('{"password": "hunter2"}'.encode("utf-16"), JSON, '{"password":"***"}'),
        ('{"password": "hunter2"}'.encode("utf-16-be"), charset("utf-16"), '{"password":"***"}'),
        ('{"é": 1, "password": "hunter2"}'.encode("latin-1"), charset("iso-8859-1"), '{"é":1,"password":"***"}'),
        ('{"é": 1}'.encode("latin-1"), charset("iso-8859-1"), '{"é": 1}'.encode("latin-1")),
        ('{"é": 1}'.encode("utf-16"), JSON, '{"é": 1}'.encode("utf-16")),
        # Only the last of members with one name is read.
        (b'{"password": "hunter2", "password": ""}', JSON, '{"password":""}'),
        (b'{"a": [{"password": "hunter2", "passw\\u006frd": ""}]}', JSON, '{"a":[{"password":""}]}'),
        # Lists below a name.
        (
            b'{"multiValueHeaders": {"Authorization": ["Bearer hunter2"], "Cookie": [["hunter2", 1]], "Host": ["a"]}}',
            JSON,
            '{"multiValueHeaders":{"Authorization":["***"],"Cookie":[["***",1]],"Host":["a"]}}',
        ),
        (b'{"signatures": [{"id": "a", "token": "hunter2"}]}', JSON, '{"signatures":[{"id":"a","token":"***"}]}'),
        # JSON in texts.
        (rb'{"body": "{\"password\": \"hunter2\", \"a\": 1}"}', JSON, r'{"body":"{\"password\":\"***\",\"a\":1}"}'),
        (rb'{"body": "{\"password\": \"hunter2"}', JSON, '{"body":"***"}'),
        (rb'{"body": "{\"password\": \"hunter2\", \"password\": \"\"}"}', JSON, r'{"body":"{\"password\":\"\"}"}'),
        # What can't be told apart is left out.
        (b'{"password": "hunter2"', JSON, None),
        (b'{"password" "hunter2"}', JSON, None),
        (b'{"a": 1', JSON, '{"a": 1'),
        ('{"password": "hunter2"'.encode("utf-16"), JSON, None),
        (b'{"password": "hunter2"}\n{"password": "hunter2"}\n', {"Content-Type": "application/x-ndjson"}, None),
        (b"user: ada\npassword: hunter2\n", {"Content-Type": "text/plain"}, None),
        (b"https://example/?a=1&sig=hunter2", {}, None),
        # XML.
        (b"<login><password>hunter2</password></login>", XML, None),
        (b'<login password="hunter2"/>', XML, None),
        (b'<wsse:Password Type="a">hunter2</wsse:Password>', XML, None),
        (b'<a><field name="password">hunter2</field></a>', XML, None),
        (b"<a><!-- <password>hunter2</password> --></a>", XML, None),
        (b"<a><![CDATA[<password>hunter2</password>]]></a>", XML, None),
        (b"<login><password>hunter2</login>", XML, None),
        ("<login><password>hunter2</password></login>".encode("utf-16"), XML, None),
        (b"<login><password>hunter2</password></login>", {"Content-Type": "text/plain"}, None),
        (b"<login><password>hunter2</password></login>", {}, None),
        (b"<a><b>a secret token</b></a>", XML, "<a><b>a secret token</b></a>"),
        # Forms, and what is sent as one.
        (b'{"password": "hunter2"}', FORM, '{"password":"***"}'),
        (b'{"password": "hunter2', FORM, None),
        (b"<password>hunter2</password>", FORM, None),
        (b"a=1&password:hunter2", FORM, "a=1&***"),
        (b"user[password]=hunter2&a=1", FORM, "user[password]=***&a=1"),
        (b"payload=%7B%22token%22%3A+%22hunter2%22%7D&a=1", FORM, "payload=%7B%22token%22%3A%22***%22%7D&a=1"),
        (b"payload=%7B%22token%22%3A+%22hunter2%22&a=1", FORM, "payload=***&a=1"),
        ("a=1&password=hunter2".encode("utf-16"), charset("utf-16", FORM), "a=1&password=***"),
        (b'--b\r\nContent-Disposition: form-data; name = "a;password"\r\n\r\nhunter2\r\n--b--', MULTIPART, None),
        (
            b'--b\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: application/json\r\n\r\n'
            b'{"password": "hunter2"}\r\n--b--',
            MULTIPART,
            None,
        ),
    ],
)
async def test_secrets_are_masked_by_their_names(
    server: Server, body: bytes, headers: Mapping[str, str], kept: str | bytes | None
) -> None:
    await server.open()
    await server.send("new?x=1&token=hunter2", body, {"Authorization": "hunter2", "X-Api-Key": "hunter2", **headers})
    (request,) = await server.captured()
    found = request["body"] if request["encoding"] == "text" else base64.b64decode(request["body"])
    assert found == kept
    assert request["query"] == f"x=1&token={MASK}"
    plain = found.replace(b"\0", b"").decode("latin-1") if isinstance(found, bytes) else ""
    assert "hunter2" not in str(request) + plain
    assert (found is None) == (request["left_out"] is not None)


async def test_a_document_that_is_sent_as_a_parameter_is_masked(server: Server) -> None:
    await server.open()
    for query in ("%7B%22password%22:%22hunter2%22%7D", "a=1&p=%5B%7B%22password%22:%22hunter2%22%7D%5D"):
        await server.send(f"new?{query}", b"")
    named, in_value = await server.captured()
    assert named["query"] == MASK
    assert in_value["query"] == "a=1&p=%5B%7B%22password%22%3A%22***%22%7D%5D"


async def test_what_a_flow_redacts_is_masked_in_other_encodings(server: Server) -> None:
    await server.open("private")
    text = '{"card": {"number": "4111111111111111"}, "n": 1}'
    for body in (text.encode("utf-16"), text.encode("utf-8-sig"), b""):
        await server.send("private", body)
    *shown, empty = await server.captured("private")
    assert [json.loads(one["body"]) for one in shown] == [{"card": {"number": MASK}, "n": 1}] * 2
    assert empty["body"] is None


async def test_what_a_flow_redacts_is_masked(server: Server) -> None:
    await server.open("private")
    await server.send("private?n=4111111111111111", b'{"card": {"number": "4111111111111111"}, "n": 1}')
    await server.send("private", b'{"card": "4111', JSON)
    shown, broken = await server.captured("private")
    assert json.loads(shown["body"]) == {"card": {"number": MASK}, "n": 1}
    assert (broken["body"], broken["result"]) == (None, "rejected")
    assert "redacts" in broken["left_out"]
    assert "4111" not in str([shown, broken])


async def test_a_body_that_is_too_large_or_compressed_is_left_out(server: Server) -> None:
    await server.open()
    await server.send(body=b"x" * BODY_CAPTURED)
    await server.send(body=b"x" * (BODY_CAPTURED + 1))
    await server.send(body=b"x", headers={"Content-Encoding": "gzip"})
    await server.send(body=b"\0\xff", headers={"Content-Type": "image/png"})
    whole, large, compressed, binary = await server.captured()
    assert (len(whole["body"]), whole["left_out"]) == (BODY_CAPTURED, None)
    assert (large["body"], large["size"]) == (None, BODY_CAPTURED + 1)
    assert "65,536" in large["left_out"]
    assert (compressed["body"], compressed["left_out"]) == (None, "it is compressed")
    assert (base64.b64decode(binary["body"]), binary["encoding"]) == (b"\0\xff", "base64")


async def test_the_newest_requests_are_kept_for_an_hour(server: Server, harness: Harness) -> None:
    await server.open()
    for number in range(MAX_CAPTURED + 2):
        await server.send(body=b"%d" % number)
    assert [one["body"] for one in await server.captured()] == [str(n) for n in range(2, MAX_CAPTURED + 2)]
    assert (await server.ask("GET", "captures"))[1]["items"][0]["requests"] == MAX_CAPTURED
    harness.clock.advance(3601)
    assert (await server.ask("GET", "captures/new"))[0] == 200, "it was closed less than an hour ago"
    assert await server.captured() == []
    assert (await server.ask("GET", "captures"))[1]["items"][0]["requests"] == 0, "before and after they are removed"
    await server.engine._sweeper.sweep()
    assert (await server.engine.store.captures(harness.clock.now() - CAPTURED_KEPT))[0].requests == 0
    harness.clock.advance(601)
    await server.engine._sweeper.sweep()
    assert list(await server.engine.store.captures(harness.clock.now())) == []
    assert (await server.ask("GET", "captures/new"))[0] == 404


async def test_a_capture_is_opened_again_closed_and_removed(server: Server, harness: Harness) -> None:
    first = await server.open()
    await server.send()
    harness.clock.advance(300)
    status, longer = await server.ask("POST", "captures", {"flow_id": "new"})
    assert (status, longer["opened_at"]) == (200, first["opened_at"])
    assert longer["expires_at"] > first["expires_at"]
    status, closed = await server.ask("POST", "captures/new/close")
    assert (status, closed["open"]) == (200, False)
    assert len(await server.captured()) == 1
    assert (await server.ask("DELETE", "captures/new"))[0] == 204
    for method, path in (("GET", ""), ("GET", "/requests"), ("POST", "/close"), ("DELETE", "")):
        status, problem = await server.ask(method, f"captures/new{path}")
        assert (status, problem["code"]) == (404, "capture.not_found")


async def test_a_limited_token_captures_only_its_flows(server: Server) -> None:
    await server.open("orders")
    given = {"name": "ann", "scopes": ["author"], "flows": ["new"]}
    _, made = await server.ask("POST", "tokens", given)
    ann = made["token"]
    assert (await server.ask("POST", "captures", {"flow_id": "orders"}, ann))[0] == 404
    assert (await server.ask("GET", "captures/orders/requests", token=ann))[0] == 404
    assert (await server.ask("POST", "captures", {"flow_id": "new"}, ann))[0] == 201
    _, listed = await server.ask("GET", "captures", token=ann)
    assert [one["flow_id"] for one in listed["items"]] == ["new"]


async def test_a_captured_request_is_an_event(server: Server) -> None:
    await server.open()
    with server.engine.events.listen() as listener:
        await server.send()
        (request,) = await server.captured()
        (event,) = listener.take()
    assert (event.kind, event.flow_id) == ("request.captured", "new")
    assert (event.data["request_id"], event.data["result"]) == (request["id"], "captured")


async def test_a_slow_sender_gets_its_answer_and_its_body_is_left_out(server: Server) -> None:
    """What has come within two seconds is looked at; more isn't waited for."""
    await server.open()
    connection = server.client.request("/hook/new", method="POST", headers={"Content-Length": "10", **JSON})
    async with connection:
        await connection.send(b"12345")
        async with asyncio.timeout(10):
            while not (found := await server.captured()):  # noqa: ASYNC110 - it is answered in another task
                await asyncio.sleep(0.05)
        await connection.disconnect()
    (request,) = found
    assert (request["body"], request["left_out"]) == (None, "it didn't come to its end")


async def test_without_a_capture_a_request_asks_the_store_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise AssertionError("the captures were asked")

    monkeypatch.setattr(type(server.engine.captures), "takes", fail)
    assert (await server.send("orders"))[0] == 202
    assert (await server.send("nothing"))[0] == 404


@pytest.mark.postgres
async def test_each_node_captures_and_shows_what_others_have_captured(tables: str, tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    async with two_engines(tmp_path, tables) as engines:
        one, other = map(Server, engines)
        opened = await one.open()
        assert opened["pending"] == []
        assert (await other.send(body=b"1"))[0] == 202
        assert [request["body"] for request in await other.captured()] == ["1"]
        assert [request["body"] for request in await one.captured()] == ["1"]
        await other.ask("DELETE", "captures/new")
        assert (await one.send())[0] == 404
        assert (await one.ask("GET", "captures/new"))[0] == 404
