"""Events go in and out of a real server, made and read by the SDK of the specification's own project."""

import json
from pathlib import Path
from typing import Any

from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import eventually

ATTRIBUTES = {"id": "1", "source": "/shop", "type": "com.example.order", "subject": "Grüße 17", "urgent": "yes"}
DATA = {"number": 17, "lines": [{"sku": "a", "price": 1.5}]}


def event(**more: Any) -> CloudEvent:
    return CloudEvent({**ATTRIBUTES, "datacontenttype": "application/json", **more}, DATA)


def test_events_are_received_in_each_mode_and_handed_on(tmp_path: Path) -> None:
    server = ForkedServer(tmp_path)
    forward = {
        "id": "forward",
        "use": "cloudevents.send",
        "with": {
            "url": f"{server.url}/hook/second",
            "type": "{{ body.type }}.seen",
            "source": "/hookline",
            "subject": "$.body.subject",
            "data": "$.body.data",
            "mode": "structured",
        },
    }
    keep = {"id": "kept", "use": "map", "with": {"body": "$.body"}}
    events = {"use": "cloudevents", "with": {"verify": "none", "types": ["com.example.*"]}}
    server.flow({"id": "first", "trigger": events, "steps": [forward]})
    server.flow({"id": "second", "trigger": events, "steps": [keep]})
    server.start()
    try:
        bodies = []
        for made, number in ((to_binary_event, "1"), (to_structured_event, "2")):
            message = made(event(id=number))
            status, answer, _ = server.request("POST", "/hook/first", message.body, message.headers)
            assert status == 202, answer
            bodies.append(server.ended(answer["execution_id"]))
            again, answer, _ = server.request("POST", "/hook/first", message.body, message.headers)
            assert (again, answer["status"]) == (200, "duplicate")
        assert [one["state"] for one in bodies] == ["succeeded", "succeeded"]
        batch = [
            json.loads(to_structured_event(event(id=str(number), type=kind)).body)
            for number, kind in (
                (2, "com.example.order"),
                (3, "com.example.order"),
                (3, "com.example.order"),
                (4, "org.other"),
            )
        ]
        status, answer, _ = server.request(
            "POST",
            "/hook/first",
            json.dumps(batch).encode(),
            {"Content-Type": "application/cloudevents-batch+json"},
        )
        assert (status, [one["status"] for one in answer["executions"]]) == (202, ["duplicate", "queued", "duplicate"])
        eventually("three events were handed on", lambda: len(server.executions(flow_id="second")) == 3)
        for execution in server.executions(flow_id="second"):
            (step,) = server.ended(execution["id"])["steps"]
            body = step["output"]["body"]
            assert body["type"] == "com.example.order.seen"
            assert (body["source"], body["subject"], body["data"]) == ("/hookline", "Grüße 17", DATA)
            assert body["datacontenttype"] == "application/json"
        status, answer, _ = server.request("POST", "/hook/first", b"{}", {"ce-id": "1", "ce-specversion": "2.0"})
        assert status == 400
        assert sorted(problem["pointer"] for problem in answer["problems"]) == ["/source", "/specversion", "/type"]
        status, _, headers = server.request(
            "OPTIONS", "/hook/first", headers={"WebHook-Request-Origin": "emitter.example.com"}
        )
        assert (status, headers["webhook-allowed-origin"]) == (200, "emitter.example.com")
    finally:
        server.kill()
