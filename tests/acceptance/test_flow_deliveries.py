"""Flows that ship, over a real server: each takes its provider's documented event, signed as the provider signs it."""

import base64
import hmac
import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.acceptance.server_process import ServerProcess
from tests.acceptance.sink import Sink

FLOWS = Path(__file__).parents[2] / "flows"
SECRET = "a-secret-of-the-sender-0123456789"


def sample(name: str) -> bytes:
    return (FLOWS / "samples" / name).read_bytes()


def serving(
    make_server: Callable[..., ServerProcess],
    flow_id: str,
    credential: str,
    kind: str,
    tables: str = "",
    database: str = "",
    **environment: str,
) -> ServerProcess:
    """A server with one of the flows that ship, its credential and its database."""
    server = make_server(environment=environment)
    shutil.copy(FLOWS / f"{flow_id}.json", server.folder / "flows")
    if tables:
        with sqlite3.connect(server.files / database) as connection:
            connection.executescript(tables)
        connection.close()
    secret = "key" if kind == "api-key" else "secret"
    server.run("credentials", "set", credential, "--type", kind, f"{secret}={SECRET}")
    server.start()
    return server


def mac(data: bytes) -> bytes:
    return hmac.new(SECRET.encode(), data, "sha256").digest()


def deliver(server: ServerProcess, flow_id: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """Send it; gives the execution, once it has ended."""
    status, answer, _ = server.request("POST", f"/hook/{flow_id}", body, headers)
    assert status == 202, answer
    execution = server.ended(answer["execution_id"])
    assert execution["state"] == "succeeded", execution["error"]
    return execution


def rows(server: ServerProcess, database: str, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(server.files / database)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_a_shopify_order_is_written_with_its_lines_once(make_server: Callable[..., ServerProcess]) -> None:
    server = serving(
        make_server,
        "shopify-order",
        "shopify",
        "shopify",
        "create table orders (number text primary key, shopify_id integer, customer text, currency text, total text,"
        " ordered_at text);"
        "create table order_lines (order_number text, position integer, sku text, quantity integer, price text);",
        "orders.db",
    )
    body = sample("shopify-order.json")
    headers = {
        "Content-Type": "application/json",
        "X-Shopify-Topic": "orders/paid",
        "X-Shopify-Event-Id": "98880550-7158-44d4-b7cd-2c97c8a091b5",
        "X-Shopify-Hmac-Sha256": base64.b64encode(mac(body)).decode(),
    }
    deliver(server, "shopify-order", body, headers)
    status, answer, _ = server.request("POST", "/hook/shopify-order", body, headers)
    assert (status, answer["status"]) == (200, "duplicate")
    forged = {**headers, "X-Shopify-Hmac-Sha256": base64.b64encode(mac(body + b" ")).decode()}
    assert server.request("POST", "/hook/shopify-order", body, forged)[0] == 401
    order = ("#9999", 820982911946154508, "jon@example.com", "USD", "398.00", "2021-12-31T19:00:00-05:00")
    assert rows(server, "orders.db", "select * from orders") == [order]
    assert rows(server, "orders.db", "select * from order_lines order by position") == [
        ("#9999", 1, "IPOD2008PINK", 1, "199.00"),
        ("#9999", 2, "Engraving", 1, "199.00"),
    ]


def test_a_stripe_payment_is_booked_once(make_server: Callable[..., ServerProcess]) -> None:
    server = serving(
        make_server,
        "stripe-payment",
        "stripe",
        "stripe",
        "create table payments (reference text primary key, amount_minor integer, currency text, customer text,"
        " live boolean);",
        "accounting.db",
    )
    body = sample("stripe-payment.json")

    def signed(at: int) -> dict[str, str]:
        signature = mac(f"{at}.".encode() + body).hex()
        return {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": f"t={at},v1={signature}"}

    deliver(server, "stripe-payment", body, signed(int(time.time())))
    # Stripe signs anew when it tries again.
    status, answer, _ = server.request("POST", "/hook/stripe-payment", body, signed(int(time.time()) - 1))
    assert (status, answer["status"]) == (200, "duplicate")
    assert server.request("POST", "/hook/stripe-payment", body, signed(int(time.time()) - 3600))[0] == 401
    assert rows(server, "accounting.db", "select * from payments") == [
        ("pi_3MtwBwLkdIwHu7ix28a3tqPa", 2000, "USD", None, 0)
    ]


def test_uploaded_files_are_in_a_folder_of_their_delivery(
    make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    (tmp_path / "kept").mkdir()
    server = serving(make_server, "file-to-directory", "scanner", "api-key", HOOKLINE_FILES="kept")
    pdf = sample("file-to-directory.pdf")
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="scanner"\r\n\r\nfront desk\r\n',
        *(
            b'--b\r\nContent-Disposition: form-data; name="page"; filename="%b"\r\n'
            b"Content-Type: application/pdf\r\n\r\n%b\r\n" % (name, pdf)
            for name in (b"letter.pdf", b"../../out.pdf")
        ),
        b"--b--\r\n",
    ]
    headers = {"X-API-Key": SECRET, "Content-Type": "multipart/form-data; boundary=b"}
    execution = deliver(server, "file-to-directory", b"".join(parts), headers)
    written = {path.relative_to(server.folder / "kept"): path for path in (server.folder / "kept").rglob("*.pdf")}
    assert len(written) == 2
    assert all(path.parts[:2] == ("inbox", execution["id"]) and len(path.parts) == 3 for path in written)
    assert {path.read_bytes() for path in written.values()} == {pdf}
    assert server.request("POST", "/hook/file-to-directory", pdf, {**headers, "X-API-Key": "other"})[0] == 401
    # The key that the scanner shows is nowhere among what is kept.
    for path in server.folder.rglob("hookline.db*"):
        assert SECRET.encode() not in path.read_bytes()

    # The file may be the whole body too, and what it says it is has to be true.
    alone = {
        "X-API-Key": SECRET,
        "Content-Type": "application/pdf",
        "Content-Disposition": 'attachment; filename="a.pdf"',
    }
    execution = deliver(server, "file-to-directory", pdf, alone)
    assert (server.folder / "kept" / "inbox" / execution["id"] / "1-a.pdf").read_bytes() == pdf
    assert server.request("POST", "/hook/file-to-directory", b"MZ\x90\x00" + bytes(60), alone)[0] == 415


def test_each_reading_of_a_batch_is_written_and_what_is_hot_raises_an_alarm(
    make_server: Callable[..., ServerProcess], sink: Sink
) -> None:
    server = serving(
        make_server,
        "iot-bulk",
        "gateway",
        "hmac",
        "create table readings (device text, at text, celsius real);",
        "readings.db",
        HOOKLINE_VARS_IOT_BULK__ALARM=sink.url,
    )
    body = sample("iot-bulk.json")
    headers = {"Content-Type": "application/json", "X-Signature": mac(body).hex()}
    execution = deliver(server, "iot-bulk", body, headers)
    assert execution["steps"][-1]["output"]["body"] == {"received": 4, "written": 3}
    assert rows(server, "readings.db", "select device, celsius from readings order by device, celsius") == [
        ("boiler-1", 61.5),
        ("boiler-1", 61.75),
        ("boiler-2", 92.0),
    ]
    assert [one.body["device"] for one in sink.received] == ["boiler-2"]

    wrong = json.dumps([{"device": "x", "celsius": "hot"}]).encode()
    status, answer, _ = server.request("POST", "/hook/iot-bulk", wrong, {**headers, "X-Signature": mac(wrong).hex()})
    assert (status, len(answer["problems"])) == (422, 2)


def test_a_slack_command_is_answered_within_its_request(make_server: Callable[..., ServerProcess]) -> None:
    server = serving(
        make_server,
        "slack-command",
        "slack",
        "slack",
        "create table order_lines (order_number text, position integer, sku text, quantity integer, price text);"
        "insert into order_lines values ('PO-1041', 1, 'BOLT-M8', 200, '0.12'), ('PO-1041', 2, 'NUT-M8', 200, '0.08');",
        "orders.db",
    )
    body = b"command=%2Forder&text=PO-1041&user_name=ada&trigger_id=13345224609.738474920.8088930838d88f008e0"
    at = str(int(time.time()))
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": at,
        "X-Slack-Signature": "v0=" + mac(b"v0:%b:%b" % (at.encode(), body)).hex(),
    }
    for _ in range(2):
        # Slack's second try gets the first one's answer.
        status, answer, _ = server.request("POST", "/hook/slack-command", body, headers)
        assert (status, answer["text"]) == (200, "Order PO-1041: 200 × BOLT-M8, 200 × NUT-M8")
    assert server.request("POST", "/hook/slack-command", body + b"0", headers)[0] == 401
    assert len(server.executions(flow_id="slack-command")) == 1
