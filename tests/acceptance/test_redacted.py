"""What a flow redacts is in no view and nowhere in the open on the disk, and its steps have it all the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hookline.secrets.encryption import generate_key
from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import TOKEN as ADMIN
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

CARD = "4929-1234-5678-9012"
PIN = "pin-of-the-customer"
TOKEN = "tok_0123456789abcdef"
FIRST_KEY = generate_key()

HOOK: dict[str, Any] = {"use": "webhook", "with": {"verify": "none"}}
BODY = {"order": 7, "card": {"number": CARD, "holder": "A. N. Other"}, "again": f"paid with {CARD}, thank you"}


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """Where steps send to."""
    made = Sink()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[ServerProcess]:
    """A server with every flow of these tests."""
    made = ForkedServer(tmp_path_factory.mktemp("redacted"), environment={"HOOKLINE_SECRET_KEY": FIRST_KEY})
    post = {"use": "http.request", "with": {"method": "POST", "url": sink.url, "json": "$.body"}}
    masks = {"redact": ["$.body.card.number"]}
    noted = {"id": "noted", "use": "log", "with": {"message": "{{ body.to }} pays {{ body.order }}"}}
    numbered = {
        "id": "charge",
        "use": "map",
        "with": {"body": {"to": "{{ body.card.number }}", "order": "$.body.order"}},
    }
    for id_, steps, settings in (
        ("pays", [numbered, noted, {"id": "sent", **post}], masks),
        (
            "fails",
            [
                {"id": "sent", **post},
                {
                    "id": "check",
                    "use": "fail",
                    "with": {"message": "card {{ trigger.body.card.number }} is blocked", "code": "card.blocked"},
                    "when": "$.vars.strict",
                },
            ],
            {**masks, "vars": {"strict": True}, "on_error": "cares"},
        ),
        ("cares", [{"id": "seen", "use": "map", "with": {"body": "$.body"}}], {}),
        ("inner", [{"id": "took", "use": "map", "with": {"body": "$.body"}}, {"id": "sent", **post}], {}),
        ("outer", [{"id": "called", "use": "flow", "with": {"id": "inner", "wait": True, "body": "$.body"}}], masks),
        (
            "asks",
            [
                {"id": "asked", "use": "webhook", "with": {"timeout": "1h"}},
                {"id": "sent", **post},
            ],
            {"redact": ["$.steps.asked.body.pin"]},
        ),
        (
            "many",
            [
                {
                    "id": "each",
                    "foreach": "{{ body.names }}",
                    "concurrency": 8,
                    "steps": [
                        {"id": "one", "use": "map", "with": {"body": "{{ item }} {{ trigger.body.card.number }}"}}
                    ],
                },
                {"id": "last", "use": "map", "with": {"body": "{{ body | last }}"}},
                {"id": "sent", **post},
            ],
            masks,
        ),
        (
            "tokens",
            [
                {"id": "made", "use": "map", "with": {"body": {"token": TOKEN, "at": "$.body.order"}}},
                {"id": "sent", **post},
            ],
            {"redact": ["$..token"]},
        ),
    ):
        made.flow({"id": id_, "trigger": HOOK, **settings, "steps": steps})
    fenced = {"id": "late", "use": "fail", "with": {"message": "late", "code": "late"}, "when": "$.vars.strict"}
    for id_, steps, settings in (
        (
            "streams",
            [
                {"id": "rows", "use": "csv.parse", "with": {"text": "$.body.csv", "stream": True}},
                {
                    "id": "each",
                    "foreach": "$.body",
                    "collect": "results",
                    "steps": [{"id": "one", "use": "map", "with": {"body": "{{ item.pin }} of {{ item.name }}"}}],
                },
                fenced,
            ],
            {"redact": ["$.steps.rows.body[*].pin", "$.body.csv"], "vars": {"strict": False}},
        ),
        (
            "judges",
            [{"id": "judge", "use": "log", "with": {"message": "x"}, "when": "{{ trigger.body.card.number }}"}],
            masks,
        ),
        ("large", [{"id": "kept", "use": "map", "with": {"body": "{{ body.again }}"}}], masks),
        (
            "repeats",
            [
                {"id": "asked", "use": "webhook", "with": {"timeout": "1h"}},
                {"id": "later", "use": "fail", "with": {"message": "{{ body.pin }} is wrong", "code": "pin.wrong"}},
            ],
            {"redact": ["$.body.pin"]},
        ),
        (
            "makes",
            [{"id": "made", "use": "map", "with": {"body": {"token": TOKEN}}}, fenced],
            {"redact": ["$.steps.made.body.token"], "vars": {"strict": True}},
        ),
    ):
        made.flow({"id": id_, "trigger": HOOK, **settings, "steps": steps})
    replies = [numbered, {"id": "said", "use": "reply", "with": {"body": {"last": "{{ body.to }}"}}}]
    reply = {"use": "webhook", "with": {"verify": "none", "respond": "reply", "dedupe_key": "$.body.order"}}
    made.flow({"id": "answers", "trigger": reply, **masks, "steps": replies})
    made.start()
    yield made
    made.kill()


def shown(server: ServerProcess, execution_id: str) -> str:
    """Everything that can be seen of an execution, as one text."""
    paths = [f"/executions/{execution_id}", f"/executions/{execution_id}/steps", "/executions", "/dead-letters"]
    if server.get(f"/api/v1/executions/{execution_id}")[1]["state"] in ("succeeded", "failed", "cancelled"):
        paths.append(f"/executions/{execution_id}/recording")
    return json.dumps([server.get(f"/api/v1{path}")[1] for path in paths])


def on_disk(folder: Path, text: str) -> list[str]:
    """The files of the server that hold a text."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def accepted(server: ServerProcess, flow_id: str, body: Any = None) -> str:
    status, answer = server.post(flow_id, BODY if body is None else body)
    assert status == 202, answer
    id_: str = answer["execution_id"]
    return id_


def succeeded(server: ServerProcess, execution_id: str) -> None:
    ended = server.ended(execution_id)
    assert ended["state"] == "succeeded", ended["error"]


def hidden(server: ServerProcess, execution_id: str, secret: str = CARD) -> None:
    """A secret is nowhere to be seen."""
    assert secret not in shown(server, execution_id)
    assert on_disk(server.folder, secret) == []


def bodies(sink: Sink) -> list[Any]:
    return [one.body for one in sink.received]


def operate(server: ServerProcess, path: str, body: Any = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
    status, answer, _ = server.request("POST", path, json.dumps(body or {}).encode(), headers)
    return status, answer


def call(server: ServerProcess, url: str, body: Any) -> int:
    path = "/resume/" + url.rpartition("/")[2]
    return server.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})[0]


def replayed(server: ServerProcess, execution_id: str) -> tuple[int, Any]:
    return operate(server, f"/api/v1/executions/{execution_id}/replay", {})


@pytest.mark.rule(33)
def test_steps_have_the_values_and_views_have_not(server: ServerProcess, sink: Sink) -> None:
    """Also where a value was put into another text, or under another name."""
    id_ = accepted(server, "pays")
    succeeded(server, id_)
    assert bodies(sink)[-1] == {"to": CARD, "order": 7}
    hidden(server, id_)
    view = server.get(f"/api/v1/executions/{id_}")[1]
    assert view["steps"][0]["output"]["body"] == {"to": "***", "order": 7}
    assert "A. N. Other" in shown(server, id_), "what isn't named is shown"
    status, problem = replayed(server, id_)
    assert (status, problem["code"]) == (409, "execution.not_replayable"), problem
    assert "erased" in problem["detail"]


@pytest.mark.rule(33)
def test_a_dead_letter_keeps_them_encrypted(server: ServerProcess, sink: Sink) -> None:
    """So that it can be replayed, after a crash too, until it is discarded; who cares for failures sees masks."""
    id_ = accepted(server, "fails")
    ended = server.ended(id_)
    assert ended["state"] == "failed"
    assert ended["error"]["message"] == "card *** is blocked"
    hidden(server, id_)
    server.kill()
    server.start()
    hidden(server, id_)
    sent = len(bodies(sink))
    status, answer = replayed(server, id_)
    assert status in (200, 202), answer
    again = answer["execution_id"]
    server.ended(again)
    assert bodies(sink)[sent:] == [BODY]
    hidden(server, again)
    care = server.get("/api/v1/executions?flow_id=cares")[1]["items"]
    assert len(care) == 2
    for one in care:
        server.ended(one["id"])
        assert CARD not in shown(server, one["id"])
    assert operate(server, f"/api/v1/executions/{id_}/discard")[0] in (200, 202, 204)
    status, problem = replayed(server, id_)
    assert (status, problem["code"]) == (409, "execution.not_replayable"), problem
    assert operate(server, f"/api/v1/executions/{id_}/retry")[0] == 409
    assert replayed(server, again)[0] in (200, 202), "each has a copy of its own"


def test_a_called_flow_hides_what_it_was_given(server: ServerProcess, sink: Sink) -> None:
    """It redacts nothing itself."""
    id_ = accepted(server, "outer")
    succeeded(server, id_)
    (inner,) = server.get("/api/v1/executions?flow_id=inner")[1]["items"]
    assert bodies(sink)[-1] == BODY
    hidden(server, id_)
    assert CARD not in shown(server, inner["id"])


def test_what_a_call_brings_is_redacted_too(server: ServerProcess, sink: Sink) -> None:
    """From the moment at which it comes."""
    id_ = accepted(server, "asks", {"order": 8})
    eventually("it waits", lambda: server.get(f"/api/v1/executions/{id_}")[1]["state"] == "waiting")
    url = server.get(f"/api/v1/executions/{id_}")[1]["waits"][0]["url"]
    assert call(server, url, {"pin": PIN, "yes": True}) == 202
    succeeded(server, id_)
    assert bodies(sink)[-1] == {"pin": PIN, "yes": True}
    hidden(server, id_, PIN)


def test_many_items(server: ServerProcess, sink: Sink) -> None:
    """Whose results are kept one by one until the block has come to its end."""
    id_ = accepted(server, "many", {**BODY, "names": [f"n{number}" for number in range(1500)]})
    succeeded(server, id_)
    assert bodies(sink)[-1] == f"n1499 {CARD}"
    hidden(server, id_)


def test_at_every_depth(server: ServerProcess, sink: Sink) -> None:
    """`..` finds it in the message and in each step's result."""
    id_ = accepted(server, "tokens", {"order": 1, "deep": [{"token": PIN}]})
    succeeded(server, id_)
    assert bodies(sink)[-1] == {"token": TOKEN, "at": 1}
    hidden(server, id_, PIN)
    assert TOKEN not in shown(server, id_)


def test_items_of_a_stream(server: ServerProcess) -> None:
    """Each is known as soon as it is used."""
    id_ = accepted(server, "streams", {"csv": f"name,pin\nann,{PIN}-1\nbob,{PIN}-2\n"})
    succeeded(server, id_)
    hidden(server, id_, PIN)


def test_what_an_error_quotes(server: ServerProcess) -> None:
    """Of a long value it quotes a part."""
    long = "".join(chr(97 + number * 7 % 26) for number in range(80))
    id_ = accepted(server, "judges", {"card": {"number": long}})
    assert server.ended(id_)["error"]["code"].startswith("expression")
    hidden(server, id_, long[:16])


@pytest.mark.parametrize("size", [100, 2_000_000])
def test_a_message_of_any_size(server: ServerProcess, size: int) -> None:
    """The value is found where no path names it, too; and it may be a word that we use ourselves."""
    for number in (CARD, "body", "headers"):
        id_ = accepted(server, "large", {"card": {"number": number}, "again": f"a {number} b", "fill": "x" * size})
        succeeded(server, id_)
        assert server.get(f"/api/v1/executions/{id_}/recording")[1]["body"]["again"] == "a *** b"
    assert on_disk(server.folder, CARD) == []


def test_a_call_that_repeats_what_came_before(server: ServerProcess) -> None:
    """It is encrypted until its step takes it."""
    id_ = accepted(server, "repeats", {"pin": PIN})
    eventually("it waits", lambda: server.get(f"/api/v1/executions/{id_}")[1]["state"] == "waiting")
    assert call(server, server.get(f"/api/v1/executions/{id_}")[1]["waits"][0]["url"], {"pin": PIN}) == 202
    assert server.ended(id_)["error"]["message"] == "*** is wrong"
    hidden(server, id_, PIN)


def test_names_of_files(server: ServerProcess) -> None:
    """A sender may call a file by the number."""
    form = (
        f'--b\r\nContent-Disposition: form-data; name="pin"\r\n\r\n{PIN}\r\n'
        f'--b\r\nContent-Disposition: form-data; name="f"; filename="{PIN}.txt"\r\n\r\nhello\r\n--b--\r\n'
    )
    sent = {"Content-Type": "multipart/form-data; boundary=b"}
    status, answer, _ = server.request("POST", "/hook/repeats", form.encode(), sent)
    assert status == 202, answer
    hidden(server, answer["execution_id"], PIN)
    recorded = f"/api/v1/executions/{answer['execution_id']}"
    assert operate(server, f"{recorded}/cancel")[0] in (200, 202, 204)
    server.ended(answer["execution_id"])
    assert [file["filename"] for file in server.get(f"{recorded}/recording")[1]["attachments"]] == ["***.txt"]


@pytest.mark.rule(33)
def test_what_only_steps_had_is_erased_as_well(server: ServerProcess) -> None:
    """A replay from a step needs it, and so does a retry."""
    id_ = accepted(server, "makes", {"order": 1})
    assert server.ended(id_)["state"] == "failed"
    status, answer = operate(server, f"/api/v1/executions/{id_}/replay?from=late")
    assert status in (200, 202), answer
    server.ended(answer["execution_id"])
    assert TOKEN not in shown(server, answer["execution_id"])
    assert operate(server, f"/api/v1/executions/{id_}/discard")[0] in (200, 202, 204)
    for operation in ("replay?from=late", "retry"):
        status, problem = operate(server, f"/api/v1/executions/{id_}/{operation}")
        assert (status, problem["code"]) == (409, "execution.not_replayable"), problem
    assert operate(server, f"/api/v1/executions/{answer['execution_id']}/retry")[0] in (200, 202, 204)


def test_a_reply_is_given_whole_and_stored_masked(server: ServerProcess) -> None:
    """Who asks again, once it is erased, gets the status."""
    status, answer = server.post("answers", BODY)
    assert (status, answer) == (200, {"last": CARD})
    (one,) = server.get("/api/v1/executions?flow_id=answers")[1]["items"]
    server.ended(one["id"])
    hidden(server, one["id"])
    status, answer = server.post("answers", BODY)
    assert (status, answer) == (200, None)


def test_a_reply_of_which_all_is_masked_keeps_its_status(server: ServerProcess) -> None:
    """Its own status may be the very number that is redacted."""
    body = {"order": 9, "card": {"number": 200}}
    assert server.post("answers", body) == (200, {"last": 200})
    one = server.get("/api/v1/executions?flow_id=answers")[1]["items"][0]
    server.ended(one["id"])
    assert server.post("answers", body) == (200, None)


@pytest.mark.rule(34)
def test_the_master_key_can_be_changed(server: ServerProcess, sink: Sink) -> None:
    """Dead letters are encrypted by the new one, and the old one may go; without the new one, no server starts."""
    id_ = accepted(server, "fails")
    server.ended(id_)
    second = generate_key()
    server.kill()
    server.set("HOOKLINE_SECRET_KEY", f"{second},{FIRST_KEY}")
    server.start()
    server.run("credentials", "rotate", "--master")
    server.kill()
    server.set("HOOKLINE_SECRET_KEY", second)
    server.start()
    sent = len(bodies(sink))
    status, answer = replayed(server, id_)
    assert status in (200, 202), answer
    server.ended(answer["execution_id"])
    assert bodies(sink)[sent:] == [BODY]
    server.kill()
    server.set("HOOKLINE_SECRET_KEY", FIRST_KEY)
    server.launch()
    assert server.died() == 1
    assert "Set HOOKLINE_SECRET_KEY" in server.log()
