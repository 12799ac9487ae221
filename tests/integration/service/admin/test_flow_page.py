"""The routes of the admin API that a page about a flow needs: its steps, their counts, the differences of its
versions, and sending a message to it."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from quart.typing import TestClientProtocol as Client
from tests.integration.admin_api import AUTH, write_flows

from hookline.engine import Engine
from hookline.model.access import SYSTEM, AuditFilter
from hookline.model.execution import FINAL, State

SENT = AuditFilter(operation="flow.send")


def webhook(**settings: Any) -> dict[str, Any]:
    return {"use": "webhook", "with": {"verify": "none", **settings}}


def echo(value: Any) -> dict[str, Any]:
    return {"id": "echo", "use": "map", "with": {"body": value}}


def reply(value: Any) -> dict[str, Any]:
    return {"use": "reply", "with": {"body": value}}


class Flows:
    """Serves flows, and asks the API about them."""

    def __init__(self, engine: Engine, folder: Path, client: Client) -> None:
        self.engine, self._folder, self._client = engine, folder, client

    async def serve(self, flow_id: str, *steps: Any, **more: Any) -> None:
        document = {"id": flow_id, "trigger": webhook(), "steps": list(steps), **more}
        write_flows(self._folder, document)
        await self.engine.version_switch.refresh()

    async def get(self, path: str, status: int = 200) -> Any:
        response = await self._client.get(f"/api/v1/flows/{path}", headers=AUTH)
        assert response.status_code == status, await response.get_data()
        return await response.get_json(force=True)

    async def send(self, flow_id: str, status: int = 200, **message: Any) -> Any:
        response = await self._client.post(f"/api/v1/flows/{flow_id}/send", headers=AUTH, json=message)
        assert response.status_code == status, await response.get_data()
        return await response.get_json(force=True)

    async def run(self, flow_id: str, body: Any, until: frozenset[State] = FINAL) -> str:
        """Start a flow, and return the execution once it is in one of some states."""
        response = await self._client.post(f"/api/v1/flows/{flow_id}/start", headers=AUTH, json={"body": body})
        execution_id: str = (await response.get_json(force=True))["execution_id"]

        async with asyncio.timeout(30):
            while await self._state(execution_id) not in until:  # noqa: ASYNC110 - the engine has no event to wait for
                await asyncio.sleep(0.01)
        return execution_id

    async def _state(self, execution_id: str) -> State | None:
        execution = await self.engine.store.execution(execution_id)
        return None if execution is None else execution.state


@pytest.fixture
def served(engine: Engine, flows: Path, client: Client) -> Flows:
    return Flows(engine, flows, client)


def as_base64(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def replied(answer: Any) -> Any:
    return json.loads(base64.b64decode(answer["body"]))


async def test_a_version_has_the_id_of_each_of_its_steps(served: Flows) -> None:
    inner = [{"use": "log", "with": {"message": "one"}}, {"id": "two", "use": "stop"}]
    await served.serve("f", {"switch": [{"when": True, "steps": inner}]}, {"use": "log", "with": {"message": "last"}})
    assert (await served.get("f/versions/current"))["steps"] == {
        "/steps/0": "switch",
        "/steps/0/switch/0/steps/0": "log",
        "/steps/0/switch/0/steps/1": "two",
        "/steps/1": "log_2",
    }


async def test_the_differences_between_two_versions_are_those_in_meaning(served: Flows) -> None:
    await served.serve("f", echo("$.body.a"), title="Before")
    before = (await served.get("f"))["version"]
    await served.serve("f", echo("$.body.b"), {"id": "bye", "use": "stop"}, title="After", concurrency=2)
    after = (await served.get("f"))["version"]
    found = await served.get(f"f/versions/{before[:8]}/diff?to={after}")
    assert (found["old_version"], found["new_version"]) == (before, after)
    assert found["differences"] == [
        {"kind": "flow", "at": "concurrency", "new": 2},
        {"kind": "step_added", "at": "steps.bye", "new": {"use": "stop"}, "place": "after echo"},
        {"kind": "mapping", "at": "steps.echo.with.body", "old": "$.body.a", "new": "$.body.b"},
    ]
    # By default with the version that serves.
    assert await served.get(f"f/versions/{before}/diff") == found
    assert (await served.get(f"f/versions/{after}/diff"))["differences"] == []
    assert (await served.get(f"f/versions/{before}/diff?to=ffffffff", 404))["code"] == "flow.not_found"


async def test_the_counts_are_of_the_last_state_of_each_step_in_the_newest_executions(served: Flows) -> None:
    wait = {"id": "wait", "use": "webhook", "when": "$.body.waits"}
    bad = {"id": "one", "use": "fail", "when": "$.body.bad", "with": {"message": "bad"}}
    each = {"id": "each", "foreach": "$.body.items", "steps": [bad]}
    await served.serve("f", wait, each)
    await served.run("f", {"waits": False, "items": [{"bad": False}, {"bad": False}]})
    await served.run("f", {"waits": False, "items": [{"bad": True}]})
    await served.run("f", {"waits": True}, frozenset((State.WAITING,)))
    counted = await served.get("f/step-counts")
    assert counted["executions"] == 3
    assert counted["items"]["wait"] == {"waiting": 1, "skipped": 2}
    assert counted["items"]["one"] == {"failed": 1, "skipped": 2}
    # Those that wait are counted even if they aren't among the newest.
    one = await served.get("f/step-counts?executions=1")
    assert (one["executions"], one["items"]) == (1, {"wait": {"waiting": 1}})
    for wrong in ("0", "201", "000000001999", "0000000000000000005"):
        assert "a number from 1 to 200" in (await served.get(f"f/step-counts?executions={wrong}", 400))["detail"]
    # A condition that can't be evaluated fails its step before there is anything to record.
    await served.run("f", {"items": []})
    assert (await served.get("f/step-counts"))["items"]["wait"] == {"waiting": 1, "skipped": 2, "failed": 1}
    await served.serve("other", echo(1))
    assert await served.get("other/step-counts") == {"executions": 0, "since": None, "items": {}}


async def test_a_message_that_is_sent_takes_the_way_of_any_other(served: Flows) -> None:
    await served.serve("f", reply({"got": "$.body"}), trigger=webhook(respond="reply"))
    answer = await served.send("f", body=as_base64({"n": 1}), headers=[["content-type", "application/json"]])
    assert (answer["status"], answer["scheme"], answer["url"]) == (200, "none", "https://hooks.example/hook/f")
    assert replied(answer) == {"got": {"n": 1}}
    assert dict(map(tuple, answer["headers"]))["content-type"] == "application/json"
    execution = await served.engine.store.execution(answer["execution_id"])
    assert execution is not None
    (entry,) = (await served.engine.store.audit(SENT)).items
    assert (entry.operation, entry.subject, entry.flow_id) == ("flow.send", answer["execution_id"], "f")
    # It is rejected as any other, too, and then nothing is recorded in the audit.
    rejected = await served.send("f", method="DELETE")
    assert (rejected["status"], rejected["execution_id"]) == (405, None)
    assert len((await served.engine.store.audit(SENT)).items) == 1


@pytest.mark.parametrize(
    ("scheme", "values"),
    [
        ("github", {"secret": "hunter2-hunter2"}),
        # What it sends contains the secret, so it can be sent here, and not be signed for somebody else to send.
        ("basic", {"username": "u", "password": "hunter2-hunter2"}),
    ],
)
async def test_a_message_is_sent_with_its_signature_and_shows_no_secret(
    served: Flows, scheme: str, values: dict[str, str]
) -> None:
    await served.serve("f", echo(1), trigger=webhook(verify={"scheme": scheme, "credential": "key"}))
    await served.engine.credentials.put("key", scheme, values, by=SYSTEM)
    answer = await served.send("f", body=as_base64({}), headers=[["content-type", "application/json"]])
    assert (answer["status"], answer["scheme"]) == (202, scheme)
    assert answer["execution_id"] == replied(answer)["execution_id"]
    assert "hunter2" not in json.dumps(answer)


async def test_what_can_not_be_sent_says_why(served: Flows) -> None:
    await served.serve("scheduled", echo(1), trigger={"use": "schedule", "with": {"every": "1h"}})
    assert (await served.send("scheduled", 422))["code"] == "sign.impossible"
    assert (await served.send("nothing", 404))["code"] == "flow.not_found"
    await served.serve("f", echo(1))
    for headers in ([["x y", "1"]], [["x", "a\nb"]], [["Host", "other"]]):
        assert (await served.send("f", 400, headers=headers))["code"] == "request.malformed"
    for wrong in ({"rest": "/a b"}, {"rest": "@b"}, {"method": "get it"}):
        assert (await served.send("f", 400, **wrong))["code"] == "request.malformed"


async def test_a_long_reply_is_cut(served: Flows) -> None:
    await served.serve("f", reply("x" * 100_000), trigger=webhook(respond="reply"))
    answer = await served.send("f")
    assert (len(base64.b64decode(answer["body"])), answer["truncated"]) == (65_536, True)
