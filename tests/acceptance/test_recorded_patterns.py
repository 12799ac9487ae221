"""What executions have come through: a backtest of the flow as it was finds no difference, and cases of them pass."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess, eventually

pytestmark = pytest.mark.long  # a server runs every pattern first

MANY = 1001
"""So many items aren't kept one by one."""
SHEET = b"sku;price\n" + b"".join(b"S-%d;%d\n" % (number, number) for number in range(20))
FORM = b'--b\r\nContent-Disposition: form-data; name="list"; filename="list.csv"\r\n\r\n' + SHEET + b"\r\n--b--\r\n"


class Partner:
    """What flows call: by the path it is slow, rejects, or fails at first."""

    def __init__(self) -> None:
        self.repaired = threading.Event()
        self.asked: dict[str, str] = {}
        """Addresses to answer to, by who asked."""
        tried: list[str] = []
        partner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
                tried.append(self.path)
                if self.path == "/ask":
                    partner.asked[body["who"]] = body["answer_to"]
                if self.path.startswith("/slow"):
                    time.sleep(0.15)
                if self.path == "/hangs":
                    time.sleep(1)
                status = {"/rejects": 409, "/late-rejection": 409, "/broken": 422}.get(self.path, 200)
                if self.path == "/late-rejection":
                    time.sleep(0.1)
                if self.path == "/broken" and partner.repaired.is_set():
                    status = 200
                if self.path == "/flaky" and tried.count("/flaky") == 1:
                    status = 503
                content = json.dumps({"tried": len(tried), "path": self.path}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                return

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                # A client that was cut off is part of these tests.
                return

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def flow(flow_id: str, *steps: Mapping[str, Any], respond: str | None = None, **settings: Any) -> dict[str, Any]:
    webhook: dict[str, Any] = {"verify": "none", "media_types": ["application/json", "multipart/form-data"]}
    if respond is not None:
        webhook["respond"] = respond
    return {"id": flow_id, "trigger": {"use": "webhook", "with": webhook}, **settings, "steps": steps}


def flows(url: str) -> list[dict[str, Any]]:
    def post(step_id: str, path: str = "/ok", body: Any = None, **settings: Any) -> dict[str, Any]:
        # What it is given shows when it was, too.
        given = {"now": "$.execution.now", "body": "$.body", **(body or {})}
        return {
            "id": step_id,
            "use": "http.request",
            "with": {"method": "POST", "url": url + path, "json": given},
            **settings,
        }

    def mapped(step_id: str, **body: Any) -> dict[str, Any]:
        return {"id": step_id, "use": "map", "with": {"body": body}}

    def wait(step_id: str, timeout: str) -> dict[str, Any]:
        return {"id": step_id, "use": "webhook", "with": {"timeout": timeout}}

    def call(step_id: str, flow_id: str, *, waits: bool = True, **settings: Any) -> dict[str, Any]:
        return {"id": step_id, "use": "flow", "with": {"id": flow_id, "wait": waits}, **settings}

    def sleep(step_id: str, time: str) -> dict[str, Any]:
        return {"id": step_id, "use": "sleep", "with": {"for": time}}

    seen = mapped("seen", answer="$.steps.answer", hooks="$.execution.hooks")
    caught = mapped("caught", error="$.error", now="$.execution.now")
    ask = post("ask", "/ask", {"who": "$.execution.id", "answer_to": "$.execution.hooks.answer.url"})
    late = {"id": "late", "try": [wait("answer", "300ms")], "catch": [caught, post("told")]}
    failing = {"id": "failing", "try": [call("bad", "rejecting")], "catch": [caught, post("told")]}
    row = {"id": "post", "when": "{{ index % 500 == 7 }}"}
    parse = {"id": "rows", "use": "csv.parse", "with": {"file": "list", "delimiter": ";", "stream": True, "batch": 6}}
    read = {"id": "before", "use": "state.get", "with": {"key": "seen", "default": 0}}
    count = {"id": "counted", "use": "state.set", "with": {"key": "count", "add": 2}}
    kept = {"id": "kept", "use": "state.set", "with": {"key": "seen", "value": "$.trigger.body.n"}}
    numbers = "{{ range(" + str(MANY) + ") | list }}"
    branches = {
        "fast": [post("quick"), mapped("of_quick", n=1)],
        "slow": [post("slow", "/slow"), mapped("of_slow", n=2)],
    }
    cut = {"rejected": [post("rejected", "/late-rejection")], "cut": [post("cut", "/hangs")]}
    return [
        flow("called", ask, wait("answer", "1h"), seen, post("after")),
        flow("unanswered", late, post("after")),
        flow("child", post("work"), mapped("result", done="$.body.path")),
        flow("rejecting", post("work", "/rejects")),
        flow("choosy", {"id": "none", "use": "filter", "with": {"keep": False}}),
        flow(
            "calling",
            call("wait", "child"),
            post("with_result"),
            call("start", "child", waits=False),
            post("with_id"),
            call("nothing", "choosy"),
            failing,
            post("after"),
        ),
        flow(
            "replying",
            post("first"),
            {"id": "answer", "use": "reply", "with": {"status": 201, "body": "$.body"}},
            post("after"),
            respond="reply",
        ),
        flow("finishing", post("first"), mapped("last", path="$.body.path"), respond="finished"),
        flow("keeping", read, post("old"), count, post("new"), kept, post("after")),
        flow("flaky", post("flaky", "/flaky", retry={"attempts": 3, "wait": "1100ms"}), post("after")),
        flow("repaired", post("before"), post("broken", "/broken"), post("after"), on_error=[post("told")]),
        flow(
            "caught",
            {
                "id": "t",
                "try": [post("rejected", "/rejects"), post("never")],
                "catch": [caught, post("told")],
                "finally": [post("last")],
            },
            post("after"),
        ),
        flow("side", {"id": "both", "parallel": branches}, post("after")),
        flow("cutting", {"id": "t", "try": [{"id": "both", "parallel": cut}], "catch": [caught, post("told")]}),
        flow(
            "few",
            {
                "id": "each",
                "foreach": "$.body.rows",
                "concurrency": 3,
                "steps": [post("post", "/slow"), mapped("of_post", i="$.index")],
            },
            post("after"),
        ),
        flow(
            "many",
            {
                "id": "each",
                "foreach": numbers,
                "concurrency": 4,
                "steps": [row | {key: value for key, value in post("post").items() if key != "id"}],
            },
            post("after"),
        ),
        flow(
            "many-pure", {"id": "each", "foreach": numbers, "steps": [mapped("m", n="{{ item * 2 }}")]}, post("after")
        ),
        flow(
            "many-failing",
            {
                "id": "t",
                "try": [
                    {"id": "each", "foreach": numbers, "steps": [post("post", "/rejects", when="{{ index == 900 }}")]}
                ],
                "catch": [caught, post("told")],
            },
        ),
        flow("streaming", parse, {"id": "each", "foreach": "$.body", "steps": [post("post")]}, post("after")),
        flow("sleeping", sleep("short", "50ms"), post("between"), sleep("long", "1200ms"), post("after")),
        flow(
            "once",
            post("once", delivery="at_most_once"),
            {"id": "said", "use": "log", "with": {"message": "done"}},
            post("after"),
        ),
        flow(
            "lenient",
            post("rejected", "/rejects", on_error="continue"),
            post("after", body={"was": "$.steps.rejected"}),
        ),
        flow("handled", post("rejected", "/rejects"), on_error=[caught, post("told")]),
        flow("handed-on", post("rejected", "/rejects"), on_error="child"),
        flow("timed-out", post("first"), wait("answer", "1h"), timeout="2s"),
        flow("cancelled", post("first"), wait("answer", "1h")),
    ]


MESSAGES: dict[str, list[Any]] = {
    "keeping": [{"n": 1}, {"n": 2}],
    "few": [{"rows": [1, 2, 3, 4, 5]}],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    partner = Partner()
    server = ForkedServer(tmp_path_factory.mktemp("patterns"))
    documents = flows(partner.url)
    for document in documents:
        server.flow(document)
    server.start()
    try:
        run_all(server, partner, [document["id"] for document in documents])
        yield server
    finally:
        server.kill()
        partner.stop()


def run_all(server: ServerProcess, partner: Partner, flow_ids: list[str]) -> None:
    """Give each flow its messages, and return once all have ended."""
    others = ("child", "rejecting", "choosy", "cancelled", "streaming")
    mine = [one for one in flow_ids if one not in others]
    for flow_id in mine:
        for body in MESSAGES.get(flow_id, [{"n": 0}]):
            server.post(flow_id, body)
            if flow_id == "keeping":
                eventually(
                    "it has ended", lambda: all(one["finished_at"] for one in server.executions(flow_id="keeping"))
                )
    multipart = {"Content-Type": "multipart/form-data; boundary=b"}
    assert server.request("POST", "/hook/streaming", FORM, multipart)[0] < 300
    _, to_cancel = server.post("cancelled", {})
    (asking,) = server.executions(flow_id="called")
    eventually("somebody is asked", lambda: asking["id"] in partner.asked)
    address = urlsplit(partner.asked[asking["id"]]).path
    server.request("POST", f"{address}?by=ada", b'{"ok": 2.50}', {"Content-Type": "application/json", "X-Who": "ada"})
    eventually("it waits", lambda: server.executions(flow_id="cancelled")[0]["state"] == "waiting")
    server.api("POST", f"/api/v1/executions/{to_cancel['execution_id']}/cancel")
    (broken,) = server.executions(flow_id="repaired")
    server.ended(broken["id"])
    partner.repaired.set()
    server.api("POST", f"/api/v1/executions/{broken['id']}/retry")
    eventually("all have ended", lambda: server.drained())


@pytest.fixture
def backtest(server: ServerProcess, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Backtests a flow, of whose text some may be replaced."""

    def run(flow_id: str, *changes: tuple[str, str]) -> dict[str, Any]:
        for file in (server.folder / "flows").iterdir():
            text = file.read_text()
            if file.stem == flow_id:
                for old, new in changes:
                    assert old in text
                    text = text.replace(old, new)
            (tmp_path / file.name).write_text(text)
        found: dict[str, Any] = json.loads(server.run("backtest", flow_id, "--flows", str(tmp_path), "--json").stdout)
        return found

    return run


@pytest.mark.parametrize(
    "flow_id",
    ["called", "unanswered", "calling", "replying", "finishing", "keeping", "flaky", "repaired", "caught", "side",
     "cutting", "few", "many-pure", "sleeping", "once", "lenient", "handled", "handed-on", "timed-out"],
)  # fmt: skip
def test_nothing_differs(backtest: Callable[..., dict[str, Any]], flow_id: str) -> None:
    found = backtest(flow_id)
    count = len(MESSAGES.get(flow_id, [0]))
    assert found == {
        "flow_id": flow_id, "executions": count, "same": count, "unknown": 0, "kinds": [], "left_out": []
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flow_id", "step", "reason"),
    [
        ("many", "each", "its items aren't recorded; it is taken to give what it gave"),
        ("many-failing", "t/each", "its items aren't recorded; it is taken to give what it gave"),
        ("streaming", "each", "its items aren't recorded; it is taken to give what it gave"),
        ("cancelled", "", "it was cancelled"),
    ],
)
def test_what_is_not_compared_is_said(
    server: ServerProcess, backtest: Callable[..., dict[str, Any]], flow_id: str, step: str, reason: str
) -> None:
    found = backtest(flow_id)
    (execution,) = server.executions(flow_id=flow_id)
    assert (found["kinds"], found["unknown"], found["same"]) == ([], 0, 1 if step else 0)
    assert found["left_out"] == [{"why": reason, "step": step, "count": 1, "examples": [execution["id"]]}]
    text = server.run("backtest", flow_id).stdout
    assert f"because {reason}: 1 execution\n        {execution['id']}" in text


Changes = tuple[tuple[str, str], ...]


@pytest.mark.parametrize(
    ("flow_id", "changes", "kinds"),
    [
        # What follows a block whose items aren't recorded is compared.
        ("many", (('"now": "$.execution.now", "body": "$.body"', '"sum": "$.body"'),), ["changed call of after"]),
        ("many", (("range(1001)", "range(1002)"),), ["new call of each"]),
        ("many-pure", (("item * 2", "item * 3"),), ["output of each", "changed call of after"]),
        ("streaming", (('"batch": 6', '"batch": 7'),), ["new call of rows"]),
        ("called", (('"answer": "$.steps.answer"', '"answer": "$.steps.answer.body"'),),
         ["output of seen", "changed call of after"]),
        ("called", (('"id": "answer", "use"', '"id": "reply", "use"'), ("steps.answer", "steps.reply"),
                    ("hooks.answer", "hooks.reply")), ["new call of reply"]),
        ("calling", (('"id": "child", "wait": true', '"id": "child", "wait": true, "body": {"n": 1}'),),
         ["changed call of wait"]),
        ("replying", (('"status": 201', '"status": 202'),), ["output of answer"]),
        ("finishing", (('"path": "$.body.path"', '"at": "$.body.path"'),), ["output of last", "output of $reply"]),
        ("keeping", (('"key": "count", "add": 2', '"key": "count", "add": 3'),), ["changed call of counted"]),
        ("sleeping", (('"for": "1200ms"', '"for": "20m"'),), ["changed call of long", "changed call of after"]),
        # One branch makes another call, and the other goes on as it did.
        ("side", (('"id": "slow"', '"id": "other"'), ('"n": 2', '"n": 3')), ["new call of both/other"]),
        ("side", (('"n": 2', '"n": 3'),), ["output of both/of_slow", "output of both", "changed call of after"]),
        ("timed-out", (('"timeout": "2s"', '"timeout": "2h"'),), ["new call of answer"]),
        ("handled", (('"id": "caught"', '"id": "known"'),), ["path of ", "dropped call of on_error/caught"]),
    ],
)  # fmt: skip
def test_a_change_shows_where_it_makes_a_difference(
    backtest: Callable[..., dict[str, Any]], flow_id: str, changes: Changes, kinds: list[str]
) -> None:
    found = backtest(flow_id, *changes)
    assert [f"{kind['kind']} of {kind['step']}" for kind in found["kinds"]] == kinds
    assert found["same"] + found["unknown"] == (1 if kinds[-1].startswith("new call") else 0) * found["executions"]


def case_of(server: ServerProcess, flow_id: str) -> dict[str, Any]:
    """The case of a flow's newest execution, once it has passed."""
    execution = server.executions(flow_id=flow_id)[0]
    written = json.loads(server.run("test", "--from-execution", execution["id"], "--write", "--json").stdout)
    passed = json.loads(server.run("test", written["file"], "-k", execution["id"], "--json").stdout)["cases"]
    assert [one["passed"] for one in passed] == [True]
    file = json.loads((server.folder / written["file"]).read_text())
    (case,) = (one for one in file["cases"] if one["name"] == written["name"])
    found: dict[str, Any] = case
    return found


@pytest.mark.parametrize(
    "flow_id",
    ["called", "unanswered", "calling", "replying", "finishing", "flaky", "caught", "side", "few", "many-pure",
     "many-failing", "sleeping", "once", "lenient", "handled", "handed-on", "timed-out"],
)  # fmt: skip
def test_a_case_of_it_passes_at_once(server: ServerProcess, flow_id: str) -> None:
    case = case_of(server, flow_id)
    assert case["expect"]["outcome"] == server.executions(flow_id=flow_id)[0]["outcome"]


def test_a_case_has_what_the_flow_kept(server: ServerProcess) -> None:
    case = case_of(server, "keeping")
    assert case["state"] == {"seen": 1, "count": 2}
    assert [call["with"]["json"]["body"] for call in case["expect"]["calls"]][:2] == [1, 4]


def test_a_case_is_retried_as_the_execution_was(server: ServerProcess) -> None:
    case = case_of(server, "repaired")
    assert case["retries"] == 1
    assert [stub.get("error", {}).get("code") for stub in case["stubs"]["broken"]] == ["http.422", None]


def test_a_case_has_what_a_large_foreach_gave(server: ServerProcess) -> None:
    case = case_of(server, "many")
    assert len(case["stubs"]["each"]["result"]) == MANY
    assert case["expect"]["path"] == ["each", "after"]
    streamed = case_of(server, "streaming")
    assert streamed["stubs"]["each"]["result"] == {"count": 4, "failed": 0}
