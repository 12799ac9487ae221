"""Money through a real server, digit for digit: received, kept, killed, sent on, answered and shown."""

from collections.abc import Callable

import pytest

from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

ORDER = b'{"amount":1.10,"lines":[0.30,12345678901234567.891],"count":3}'


@pytest.mark.long  # It starts a server twice, and a command.
def test_an_amount_has_the_same_digits_wherever_it_goes_also_after_a_kill(
    make_server: Callable[..., ServerProcess], sink: Sink
) -> None:
    server = make_server()
    webhook = {"verify": "none", "numbers": "exact"}
    post = {"use": "http.request", "with": {"url": sink.url, "method": "POST", "json": "$.body"}}
    total = {"total": "{{ body.amount * body.count }}", "gross": "{{ body.amount * 1.19 }}", "order": "$.body"}
    steps = [
        {"id": "first", **post},
        {"id": "restore", "use": "map", "with": {"body": "$.trigger.body"}},
        {"id": "total", "use": "map", "with": {"body": total}},
        {"id": "second", **post},
        {"id": "answer", "use": "map", "with": {"body": "$.steps.total.body"}},
    ]
    answering = {"use": "webhook", "with": {**webhook, "respond": "finished"}}
    server.flow({"id": "orders", "trigger": answering, "steps": steps})
    server.flow({"id": "later", "trigger": {"use": "webhook", "with": webhook}, "steps": steps})
    server.start()
    expected = b'{"total":3.30,"gross":1.3090,"order":%b}' % ORDER
    headers = {"Content-Type": "application/json"}
    status, answer, _ = server.request("POST", "/hook/orders", ORDER, headers)
    assert (status, answer["total"], answer["gross"]) == (200, 3.3, 1.309)
    assert [one.content for one in sink.received] == [ORDER, expected]

    sink.received.clear()
    sink.delay = 0.3
    status, accepted, _ = server.request("POST", "/hook/later", ORDER, headers)
    assert status == 202
    eventually("the second request is under way", lambda: len(sink.received) == 2)
    server.kill()
    sink.delay = 0.0
    server.start()
    assert server.ended(accepted["execution_id"])["state"] == "succeeded"
    assert {one.content for one in sink.received} == {ORDER, expected}

    shown = server.run("executions", "show", accepted["execution_id"], "--json").stdout
    assert '"gross":1.3090' in shown
    assert "12345678901234567.891" in shown
