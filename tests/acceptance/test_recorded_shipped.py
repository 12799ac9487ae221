"""A case of a real execution of each flow that ships passes at once."""

import asyncio
import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner

from hookline.catalog.flow_folder import scan
from hookline.cli.main import main
from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink
from tests.integration.paypal_server import PayPalServer
from tests.integration.slack_server import Channel, SlackServer

#: A real server runs each of them first.
pytestmark = pytest.mark.long

SHIPPED = Path(__file__).parents[2] / "flows"
SAMPLES = SHIPPED / "samples"
#: They are triggered by, and write to, services of their kind alone: mail servers, buckets, two databases.
ELSEWHERE = {"file-to-s3", "invoice-by-email", "orders-to-mariadb"}
FLOWS = sorted({path.stem for path in scan(SHIPPED)} - ELSEWHERE)
TABLES = """
    create table products (sku text, name text, price text);
    create table prices (sku text, price text, supplier text);
    create table readings (device text, at text, celsius real);
    create table orders (number text, shopify_id integer, customer text, currency text, total text, ordered_at text);
    create table order_lines (order_number text, position integer, sku text, quantity integer, price text);
    create table invoices (reference text, amount text, note text);
    create table payments (reference text, amount_minor integer, currency text, customer text, live boolean);
    insert into orders (number, customer, total, ordered_at) values ('A1', 'ada', '9.50', '2026-11-23T12:00:00Z');
    insert into order_lines (order_number, position, sku, quantity) values ('A1', 1, 'BOLT', 3);
"""
XML = b'<order number="PO-1"><items><item sku="BOLT"><quantity>200</quantity><price>0.12</price></item></items></order>'
READINGS = [
    {"device": f"boiler-{number}", "at": "2026-03-01T10:00:00Z", "celsius": 92 if number == 7 else 61.5}
    for number in range(1100)
]


def form(field: str, filename: str, content: bytes, **fields: str) -> tuple[bytes, str]:
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    ]
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{filename}"\r\n\r\n'
    return "".join(parts).encode() + head.encode() + content + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


def sample(name: str) -> tuple[bytes, str]:
    return (SAMPLES / f"{name}.json").read_bytes(), "application/json"


def values(**fields: str) -> tuple[bytes, str]:
    return urlencode(fields).encode(), "application/x-www-form-urlencoded"


def first_input(flow_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SHIPPED / f"{flow_id}.test.json").read_text())["cases"][0]["input"]
    return found


def message(flow_id: str) -> tuple[bytes, str]:
    """What is sent to a flow: body and content type."""
    rows = b"sku,name,price\n" + b"".join(b"BOLT-%d,Bolt %d,0.%d\n" % (one, one, one) for one in range(5000))
    match flow_id:
        case "bulk-import":  # too large for a case to have it
            return form("catalogue", "catalogue.csv", rows, source="shop")
        case "csv-upload":
            return form("list", "list.csv", b"sku;price\nA;1\nB;\nC;3\n", supplier="acme")
        case "file-to-directory":
            return (SAMPLES / "file-to-directory.pdf").read_bytes(), "application/pdf"
        case "purchase-order-xml":
            return XML, "application/xml"
        case "signup-form":
            return values(email="Ada@example.com", name="Ada", terms="on", topics="news")
        case "cloudevents-relay":
            return json.dumps(first_input(flow_id)["body"]).encode(), "application/cloudevents+json"
        case "slack-command":
            return values(text="A1", user_name="ada", trigger_id="t1")
        case "iot-bulk":  # too many readings to keep what became of each
            return json.dumps(READINGS).encode(), "application/json"
        case "paypal-to-accounting":
            return sample("paypal-payment")
        case "shopify-order" | "stripe-payment":
            return sample(flow_id)
        case _:
            return json.dumps(first_input(flow_id)["body"]).encode(), "application/json"


@contextlib.contextmanager
def services() -> Iterator[dict[str, tuple[str, dict[str, Any]]]]:
    """The services that flows use, on a thread of their own: for each credential its type and its values."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    slack, paypal = asyncio.run_coroutine_threadsafe(_made(), loop).result()
    try:
        yield {
            "slack-bot": ("slack-api", slack.credential()),
            "paypal-app": ("paypal-api", paypal.credential()),
            "warehouse": ("bearer", {"token": "the-warehouse-s-own-token"}),
        }
    finally:
        for one in (slack, paypal):
            asyncio.run_coroutine_threadsafe(one.server.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _made() -> tuple[SlackServer, PayPalServer]:
    slack, paypal = SlackServer(), PayPalServer()
    slack.channels["C0123456789"] = Channel("C0123456789", "orders")
    captured = {"id": "3C679366HH908993F", "status": "COMPLETED", "amount": {"currency_code": "EUR", "value": "20.00"}}
    paypal.captures[str(captured["id"])] = captured
    for one in (slack, paypal):
        await one.server.start_server()
    return slack, paypal


@pytest.fixture(scope="module")
def credentials() -> Iterator[dict[str, tuple[str, dict[str, Any]]]]:
    with services() as made:
        yield made


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, credentials: dict[str, tuple[str, dict[str, Any]]]
) -> Iterator[ServerProcess]:
    sink = Sink(answer=b'{"id": "1"}')
    sink.start()
    folder = tmp_path_factory.mktemp("shipped")
    server = ForkedServer(folder)
    with contextlib.closing(sqlite3.connect(server.files / "all.db")) as database:
        database.executescript(TABLES)
    for flow_id in FLOWS:
        text = (SHIPPED / f"{flow_id}.json").read_text()
        document: dict[str, Any] = json.loads(text)
        if "verify" in document["trigger"].get("with", {}):
            document["trigger"]["with"]["verify"] = "none"
        for name, value in document["vars"].items():
            if isinstance(value, str) and value.startswith("https:"):
                document["vars"][name] = f"{sink.url}{name}"
            elif isinstance(value, str) and value.startswith("sqlite:"):
                document["vars"][name] = "sqlite:///all.db"
        server.flow(document)
    for name, (kind, given) in credentials.items():
        server.run("credentials", "set", name, "--type", kind, *(f"{key}={value}" for key, value in given.items()))
    server.start()
    try:
        send_all(server)
        yield server
    finally:
        server.kill()
        sink.stop()


def send_all(server: ServerProcess) -> None:
    """Give each flow a message, and return once all have ended."""
    for flow_id in FLOWS:
        if flow_id == "nightly-report":
            given = json.dumps(first_input(flow_id)["body"])
            with contextlib.chdir(server.folder):
                done = CliRunner().invoke(main, ["start", flow_id, "-i", "-"], input=given, env=server.environment())
            assert done.exit_code == 0, done.output
        else:
            body, media_type = message(flow_id)
            headers = {"Content-Type": media_type, "X-GitHub-Event": "push", "X-Shopify-Topic": "orders/paid"}
            status, answer, _ = server.request("POST", f"/hook/{flow_id}", body, headers)
            assert status < 300, (flow_id, answer)

    def answered() -> bool:
        (asking,) = server.executions(flow_id="order-approval")
        if asking["state"] == "waiting":
            server.run("executions", "resume", asking["id"], "answer")
        return asking["finished_at"] is not None

    eventually("the order is decided", answered)
    eventually("all have ended", server.drained)


@pytest.mark.parametrize("flow_id", FLOWS)
def test_its_case_passes_and_its_backtest_finds_nothing(server: ServerProcess, flow_id: str) -> None:
    (execution,) = server.executions(flow_id=flow_id)
    assert (execution["outcome"], execution["error"]) == ("completed", None)
    written = json.loads(server.run("test", "--from-execution", execution["id"], "--write", "--json").stdout)
    (case,) = json.loads(server.run("test", written["file"], "--json").stdout)["cases"]
    assert case["passed"]
    found = json.loads(server.run("backtest", flow_id, "--json").stdout)
    assert (found["same"], found["unknown"], found["kinds"]) == (1, 0, [])
    assert bool(found["left_out"]) is (flow_id in ("bulk-import", "iot-bulk"))
