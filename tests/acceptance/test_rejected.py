"""What was rejected is found: through the API and the command line, over a real server."""

import json
from collections.abc import Callable
from typing import Any

from tests.acceptance.server_process import ServerProcess, eventually

FLOW = {
    "id": "orders",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "github", "credential": "hub"}}},
    "steps": [],
}


def test_a_providers_wrong_secret_is_found_while_the_server_runs_and_after(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server()
    server.flow(FLOW)
    server.run("credentials", "set", "hub", "--type", "github", "secret=s3cr3t-that-is-long")
    server.start()
    assert server.post("orders", {}, {"X-Hub-Signature-256": "sha256=" + "0" * 64})[0] == 401
    assert server.request("POST", "/hook/ordres?token=x", b"{}")[0] == 404
    found: dict[str, Any] = {}

    def recorded() -> bool:
        nonlocal found
        status, found = server.get("/api/v1/rejected")
        assert status == 200, found
        return len(found["items"]) == 2

    eventually("both are recorded", recorded)
    unknown, wrong = found["items"]
    assert (unknown["flow_id"], unknown["path"], unknown["status"]) == ("-", "ordres", 404)
    assert (wrong["flow_id"], wrong["code"], wrong["client"]) == ("orders", "request.not_verified", "127.0.0.1")
    assert wrong["at"].endswith("Z")

    status, page = server.get("/api/v1/flows/orders/rejected?limit=1")
    assert (status, page) == (200, {"items": [wrong], "next": None})
    assert server.get("/api/v1/flows/-/rejected")[1]["items"] == [unknown]
    assert server.get("/api/v1/rejected?flow_id=-")[1]["items"] == [unknown]
    assert server.get(f"/api/v1/rejected?flow_id=orders&code={wrong['code']}")[1]["items"] == [wrong]
    assert server.get("/api/v1/rejected?code=request.other")[1]["items"] == []
    reasons = server.get("/api/v1/rejected/reasons")[1]["items"]
    assert {(one["flow_id"], one["code"]): (one["count"], one["newest_at"]) for one in reasons} == {
        (one["flow_id"], one["code"]): (1, one["at"]) for one in (unknown, wrong)
    }
    assert server.get("/api/v1/rejected?cursor=x")[0] == 400
    status, first = server.get("/api/v1/rejected?limit=1")
    assert server.get(f"/api/v1/rejected?limit=1&cursor={first['next']}")[1]["items"] == [wrong]

    listed = json.loads(server.run("rejected", "orders", "--json").stdout)
    assert listed["items"] == [wrong]
    # What was rejected last is kept when the server stops.
    assert server.request("DELETE", "/hook/orders")[0] == 405
    assert server.stop() == 0
    shown = server.run("rejected").stdout
    assert "405" in shown.splitlines()[1]
    assert "DELETE orders" in shown.splitlines()[1]
    assert len(shown.splitlines()) == 4
    assert json.loads(server.run("rejected", "orders", "--json").stdout)["items"][1:] == [wrong]


def test_what_a_rejected_sender_wrote_doesnt_reach_the_terminal(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server()
    server.start()
    assert server.request("POST", "/hook/%1b%5b31mred%0anext%e2%80%ae2e%f3%a0%80%81", b"")[0] == 404
    assert server.stop() == 0
    shown = server.run("rejected").stdout
    assert "\x1b" not in shown
    assert "\\x1b[31mred\\x0anext\\u202e2e\\U000e0001" in shown
