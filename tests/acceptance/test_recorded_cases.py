"""Cases that are made of what a real server did."""

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess, eventually

SHIPPED = Path(__file__).parents[2] / "flows"
KEY = "key-of-the-travel-site"
ACCESS = "an-access-token-of-the-hotel"
TRIP = {"trip": "t-1", "flight": {"no": "LH1"}, "hotel": {"name": "Ritz"}, "car": {"size": "s"}}
TEXT = b"sku;count\nS-1;2\n"
FORM = b'--b\r\nContent-Disposition: form-data; name="list"; filename="list.csv"\r\n\r\n' + TEXT + b"\r\n--b--\r\n"


class Partner:
    """Books flights and hotels, the flights at the second try, has no cars, and takes what people are asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        tried: list[str] = []
        partner = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
                tried.append(self.path)
                if self.path == "/ask":
                    partner.asked.append(body)
                answers: Mapping[str, tuple[int, Any]] = {
                    "/flights/bookings": (503 if tried.count(self.path) == 1 else 201, {"id": "f1"}),
                    "/hotels/bookings": (201, {"id": "h1", "access_token": ACCESS, "note": f"use {ACCESS}"}),
                    "/cars/bookings": (409, {"detail": "no car is left"}),
                }
                status, value = answers.get(self.path, (200, {}))
                content = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Set-Cookie", f"session={ACCESS}")
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_DELETE = answer  # noqa: N815 - the base class names them

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def shipped(flow_id: str, **variables: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SHIPPED / f"{flow_id}.json").read_text())
    document["vars"].update(variables)
    return document


@pytest.fixture(scope="module")
def partner() -> Iterator[Partner]:
    partner = Partner()
    yield partner
    partner.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, partner: Partner) -> Iterator[ServerProcess]:
    server = ForkedServer(tmp_path_factory.mktemp("recorded"))
    booking = shipped("saga-booking", **{name: f"{partner.url}/{name}" for name in ("flights", "hotels", "cars")})
    booking["steps"][0]["try"][0]["retry"]["wait"] = "10ms"
    server.flow(booking)
    approval = shipped("order-approval", buyer=f"{partner.url}/ask", shop=f"{partner.url}/shop")
    approval["trigger"]["with"]["verify"] = "none"
    server.flow(approval)
    upload = {"use": "webhook", "with": {"verify": "none", "media_types": ["multipart/form-data"]}}
    server.flow(
        {
            "id": "upload",
            "trigger": upload,
            "steps": [{"id": "rows", "use": "csv.parse", "with": {"file": "$.attachments[0]", "delimiter": ";"}}],
        }
    )
    server.start()
    status, _, _ = server.request(
        "PUT",
        "/api/v1/credentials/travel-site",
        json.dumps({"type": "api-key", "values": {"key": KEY}}).encode(),
        {"Authorization": "Bearer test-admin-token"},
    )
    assert status < 300
    yield server
    if server.running:
        server.kill()


def made(server: ServerProcess, execution_id: str, *more: str) -> dict[str, Any]:
    """The case, once it has passed as the only one of its flow."""
    done = server.run("test", "--from-execution", execution_id, "--write", "--json", *more)
    written = json.loads(done.stdout)
    (case,) = (
        one
        for one in json.loads((server.folder / written["file"]).read_text())["cases"]
        if one["name"] == written["name"]
    )
    passed = json.loads(server.run("test", written["file"], "--json").stdout)["cases"]
    assert (written["name"], True) in [(one["name"], one["passed"]) for one in passed]
    found: dict[str, Any] = case
    return found


@pytest.fixture(scope="module")
def booked(server: ServerProcess) -> str:
    status, answer = server.post("saga-booking", TRIP, {"X-API-Key": KEY, "Cookie": "of-the-customer"})
    assert (status, answer["failed"]) == (409, "booking/car")
    (execution,) = server.executions(flow_id="saga-booking")
    ended: str = server.ended(execution["id"])["id"]
    return ended


def test_a_failed_booking_becomes_a_case_that_passes(server: ServerProcess, booked: str, partner: Partner) -> None:
    case = made(server, booked, "--name", "no car is left")
    assert case["input"]["body"] == TRIP
    assert [one.get("status", one.get("error", {}).get("code")) for one in case["stubs"]["booking/flight"]] == [
        "http.503",
        201,
    ]
    assert case["stubs"]["booking/car"]["error"]["code"] == "http.409"
    assert case["expect"]["outcome"] == "completed"
    assert case["expect"]["body"] == {}
    assert [one["step"].partition("/")[2] for one in case["expect"]["calls"]] == [
        "flight",
        "flight",
        "hotel",
        "car",
        "cancel_hotel",
        "cancel_flight",
    ]
    assert case["expect"]["calls"][4]["with"]["url"] == f"{partner.url}/hotels/bookings/h1"
    assert case["expect"]["path"][-1] == "booking"


def test_no_secret_is_in_a_case(server: ServerProcess, booked: str) -> None:
    text = server.run("test", "--from-execution", booked).stdout
    assert "t-1" in text
    assert KEY not in text
    assert ACCESS not in text
    assert "of-the-customer" not in text


def test_a_name_that_is_taken_is_rejected(server: ServerProcess, booked: str) -> None:
    made(server, booked, "--name", "taken")
    before = (server.folder / "flows" / "saga-booking.test.json").read_text()
    with pytest.raises(AssertionError, match="has a case 'taken' already; give another with --name"):
        server.run("test", "--from-execution", booked, "--write", "--name", "taken")
    assert (server.folder / "flows" / "saga-booking.test.json").read_text() == before


def test_a_case_fails_once_the_flow_does_something_else(server: ServerProcess, booked: str) -> None:
    made(server, booked, "--name", "changing")
    file = server.folder / "flows" / "saga-booking.json"
    before = file.read_text()
    try:
        file.write_text(before.replace("/bookings/{{ steps.hotel", "/holds/{{ steps.hotel"))
        with pytest.raises(AssertionError, match=r"calls\[4\]\.with\.url should be"):
            server.run("test", str(file), "--name", "changing")
    finally:
        file.write_text(before)


def test_a_call_that_came_for_a_step_is_its_answer(server: ServerProcess, partner: Partner) -> None:
    assert server.post("order-approval", {"id": "o-1", "total": 250})[0] < 300
    eventually("somebody is asked", lambda: bool(partner.asked))
    address = urlsplit(partner.asked[0]["answer_to"])
    server.request("POST", address.path, b'{"approved": true, "by": "ada"}', {"Content-Type": "application/json"})
    (execution,) = server.executions(flow_id="order-approval")
    server.ended(execution["id"])
    case = made(server, execution["id"])
    assert case["answers"]["needed/asked/answer"]["body"] == {"approved": True, "by": "ada"}
    asked, told = case["expect"]["calls"]
    assert asked["with"]["json"] == {"order": "o-1", "total": 250}
    assert told["with"]["json"] == {"approved": True, "by": "ada"}
    assert address.path.rpartition("/")[2] not in json.dumps(case)


def test_small_files_are_in_the_case_also_without_a_server(server: ServerProcess) -> None:
    status, _, _ = server.request("POST", "/hook/upload", FORM, {"Content-Type": "multipart/form-data; boundary=b"})
    assert status < 300
    (execution,) = server.executions(flow_id="upload")
    server.ended(execution["id"])
    with_server = server.run("test", "--from-execution", execution["id"], "upload").stdout
    (attachment,) = json.loads(with_server)["input"]["attachments"]
    assert attachment["content"] == TEXT.decode()
    server.stop()
    assert server.run("test", "--from-execution", execution["id"]).stdout == with_server
