"""`hookline drafts` and `hookline captures`: what authors keep on a server."""

import json
from collections.abc import Iterator

import pytest
from tests.acceptance.forked_server import ForkedServer
from tests.integration.cli.places import Place, here


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    server = ForkedServer(tmp_path_factory.mktemp("authors"), "--flows", "database")
    server.launch()
    try:
        server.eventually("the server is ready", server.is_ready, 60)
        yield here(server)
    finally:
        server.stop()


def test_a_draft_is_saved_shown_replaced_and_deleted(place: Place) -> None:
    file = place.folder / "orders.json"
    file.write_text('{"id": "orders", ü', encoding="utf-8")
    first = place.json("drafts", "save", "orders", str(file), "--base", "ab12")["version"]
    (listed,) = place.json("drafts", "list")["items"]
    assert (listed["flow_id"], listed["version"], listed["base"]) == ("orders", first, "ab12")
    assert "orders" in place.ok("drafts", "list")
    assert place.ok("drafts", "show", "orders").strip() == '{"id": "orders", ü'
    second = place.ok("drafts", "save", "orders", "-", "--replaces", first, text="{}")
    assert "the draft of orders is saved as" in second
    assert place.json("drafts", "show", "orders")["text"] == "{}"
    assert "deleted" in place.ok("drafts", "delete", "orders")
    assert place.json("drafts", "list")["items"] == []
    assert "no draft" in place.error("drafts", "show", "orders")


def test_the_draft_of_somebody_else_is_not_replaced_unseen(place: Place) -> None:
    file = place.folder / "letters.json"
    file.write_text("{}", encoding="utf-8")
    place.ok("drafts", "save", "letters", str(file))
    place.error("drafts", "save", "letters", str(file))
    place.error("drafts", "save", "letters", str(file), "--replaces", "0" * 12)
    place.ok("drafts", "save", "letters", str(file), "--replaces", "*")
    assert "can't be read" in place.error("drafts", "save", "letters", "nothing.json", code=2)
    place.ok("drafts", "delete", "letters")


def test_requests_to_a_flow_that_does_not_exist_are_captured(place: Place) -> None:
    opened = place.json("captures", "open", "parcels")
    assert opened["url"].endswith("/hook/parcels")
    assert "is captured until" in place.ok("captures", "open", "parcels")
    status, answer = place.server.post("parcels", {"weight": 3, "password": "0123456789"})
    assert (status, answer["status"]) == (202, "captured")
    place.server.eventually(
        "it is kept", lambda: bool(place.server.get("/api/v1/captures/parcels/requests")[1]["items"])
    )
    assert "parcels" in place.ok("captures", "list")
    (request,) = place.json("captures", "requests", "parcels")["items"]
    assert (request["method"], request["result"]) == ("POST", "captured")
    assert "POST parcels" in place.ok("captures", "requests", "parcels")
    shown = place.ok("captures", "show", "parcels", request["id"])
    assert "POST /hook/parcels" in shown
    assert json.loads(shown[shown.rindex("{") :])["weight"] == 3
    assert "0123456789" not in shown
    assert "is closed" in place.ok("captures", "close", "parcels")
    assert place.json("captures", "list")[0]["open"] is False
    assert "is deleted" in place.ok("captures", "delete", "parcels")
    assert place.json("captures", "list") == []
