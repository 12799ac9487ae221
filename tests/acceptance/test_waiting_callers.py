"""Callers that wait for a flow's answer, over real processes."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink


@pytest.mark.promise(8)
@pytest.mark.rule(41)
def test_a_restart_while_a_caller_waits_answers_it_504_with_the_id_and_the_flow_goes_on(
    make_server: Callable[..., ServerProcess], sink: Sink
) -> None:
    server = make_server("--grace", "0")
    server.flow(
        {
            "id": "ask",
            "trigger": {"use": "webhook", "with": {"verify": "none", "respond": "reply"}},
            "vars": {"sink": sink.url},
            "steps": [
                {
                    "id": "ask",
                    "use": "http.request",
                    "with": {"method": "POST", "url": "$.vars.sink", "json": "$.body"},
                },
                {"id": "answer", "use": "reply", "with": {"body": {"asked": "$.trigger.body.n"}}},
            ],
        }
    )
    server.start()
    assert server.post("ask", {"n": 1}) == (200, {"asked": 1})

    sink.delay = 30
    answers: list[tuple[int, Any]] = []
    caller = threading.Thread(target=lambda: answers.append(server.post("ask", {"n": 2})))
    caller.start()
    eventually("the flow has begun", lambda: len(sink.received) == 2)
    sink.delay = 0
    assert server.stop() == 0
    caller.join()
    status, problem = answers[0]
    assert (status, problem["code"]) == (504, "reply.timeout")
    # It is stored, so that it wasn't rejected.
    assert json.loads(server.run("rejected", "--json").stdout)["items"] == []

    server.start()
    assert problem["execution_id"] in [execution["id"] for execution in server.executions(flow_id="ask")]
    eventually(
        "the flow goes on", lambda: [e["state"] for e in server.executions(flow_id="ask")] == ["succeeded", "succeeded"]
    )
    repeated = [received.key for received in sink.received if received.body == {"n": 2}]
    assert len(repeated) == 2
    assert len(set(repeated)) == 1
