"""A server that requires verification serves no flow that accepts unverified requests, unless its operator lets it."""

from pathlib import Path
from typing import Any

import pytest
from tests.integration.deployments.admin_client import AdminClient, document
from tests.integration.engine_harness import Harness, act

from hookline.engine import Engine
from hookline.model.execution import State

NONE: dict[str, Any] = {"verify": "none"}
UNSAFE: dict[str, Any] = {"use": "webhook", "with": NONE}
MANUAL = {"use": "manual"}
STEP = {"id": "wait", "use": "webhook", "with": NONE}
CORRELATED = {"id": "wait", "use": "webhook", "with": {**NONE, "correlate": {"key": "$.body.id", "from": "$.body.id"}}}
LONG = {"id": "wait", "use": "webhook", "with": {"verify": {"scheme": "none"}}}
FAIL = {"id": "no", "use": "fail", "with": {"message": "no"}}
PLACES: dict[str, dict[str, Any]] = {
    "the trigger": {"trigger": UNSAFE, "steps": []},
    "the trigger, in full": {"trigger": {"use": "webhook", "with": {"verify": {"scheme": "none"}}}, "steps": []},
    "a trigger of its own": {"trigger": {"use": "cloudevents", "with": NONE}, "steps": []},
    "a step": {"steps": [STEP]},
    "a step, in full": {"steps": [LONG]},
    "a step that correlates": {"steps": [CORRELATED]},
    "a case": {"steps": [{"switch": [{"when": "{{ true }}", "steps": [STEP]}]}]},
    "an item": {"steps": [{"foreach": "$.body", "steps": [STEP]}]},
    "a branch": {"steps": [{"parallel": {"a": [STEP], "b": []}}]},
    "a try": {"steps": [{"try": [STEP], "catch": []}]},
    "a catch": {"steps": [{"try": [FAIL], "catch": [STEP]}]},
    "a finally": {"steps": [{"try": [FAIL], "finally": [{"switch": [{"otherwise": True, "steps": [STEP]}]}]}]},
    "an error handler": {"steps": [FAIL], "on_error": [STEP]},
}


@pytest.fixture(params=["folder", "database"])
def where(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def required(harness: Harness, where: str, *allowed: str) -> Engine:
    return harness.engine(unverified_flows=allowed, **({"flows": None} if where == "database" else {}))


@pytest.mark.rule(5)
@pytest.mark.parametrize("place", list(PLACES))
async def test_a_flow_that_accepts_unverified_requests_is_not_deployed(
    harness: Harness, where: str, place: str
) -> None:
    given = {"id": "f", "trigger": MANUAL, **PLACES[place]}
    async with required(harness, where, "public-*") as engine:
        api = AdminClient(harness, engine)
        for method, path, body in (
            ("PUT", "flows/f", given),
            ("POST", "deployments", {"flows": {"f": given}}),
            ("POST", "check", {"document": given}),
        ):
            status, answer = await api.ask(method, path, body)
            (problem,) = [one for one in answer["problems"] if one["code"] == "not_verified"]
            assert status == (200 if path == "check" else 422), answer
            assert answer.get("valid", False) is False
            assert "scheme" in problem["remedy"]
            assert "unverified_flows" in problem["remedy"]
            assert "/verify" in problem["pointer"]
        assert dict(engine.catalog.entries) == {}
        assert (await api.ask("PUT", "flows/public-f", {**given, "id": "public-f"}))[0] == 201


@pytest.mark.rule(5)
async def test_what_was_deployed_before_is_not_served_and_what_has_begun_goes_on(harness: Harness, where: str) -> None:
    options = {"flows": None} if where == "database" else {}
    wait = {"id": "wait", "use": "webhook", "with": {}}
    async with harness.engine(**options) as engine:
        api = AdminClient(harness, engine)
        first = (await api.deploy({**document("f"), "steps": [wait, act("end", 1)]}))["deployment"]["id"]
        execution_id = await harness.send(engine, "f", 1)
        await harness.until(engine, execution_id, State.WAITING)
        await api.deploy({**document("f"), "trigger": MANUAL})
        verified = (await engine.store.served_flows())[0].version
        old = (await engine.store.served_after(first))["f"]
    async with required(harness, where) as engine:
        api = AdminClient(harness, engine)
        for path, body in ((f"deployments/{first}/rollback", None), ("flows/f/rollback", {"version": old})):
            status, answer = await api.ask("POST", path, body)
            assert (status, "unverified_flows" in str(answer)) == (422, True), answer
        assert [one.version for one in await engine.store.served_flows()] == [verified]
        assert (await api.ask("POST", f"executions/{execution_id}/resume", {"step": "wait"}))[0] in (200, 202, 204)
        await harness.until(engine, execution_id, State.SUCCEEDED)
    async with harness.engine(**options) as engine:
        await AdminClient(harness, engine).ask("POST", f"deployments/{first}/rollback")
    async with required(harness, where) as engine:
        entry = engine.catalog.entries["f"]
        assert (entry.flow, [one.code for one in entry.errors]) == (None, ["not_verified"])
    async with required(harness, where, "f") as engine:
        assert engine.catalog.entries["f"].flow is not None
