"""Deployments over the API, to flows in a folder and in the database."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.integration.deployments.admin_client import AdminClient, calling, document
from tests.integration.engine_harness import Harness

from hookline.deployments.deployment_request import DeploymentRequest
from hookline.kernel.errors import FlowInvalid
from hookline.kernel.json import encode
from hookline.model.access import SYSTEM
from hookline.model.execution import State
from hookline.storage.change_declarations import ForgetVersions

CASES = {"cases": [{"name": "it runs", "input": {"body": {}}, "expect": {"outcome": "completed"}}]}


@pytest.fixture(params=["folder", "database"])
async def api(request: pytest.FixtureRequest, harness: Harness) -> AsyncIterator[AdminClient]:
    async with harness.engine(**({"flows": None} if request.param == "database" else {})) as engine:
        yield AdminClient(harness, engine)


def operations(stands: Any) -> list[str]:
    """The operations of the audit, the newest first."""
    _, _, _, _, (_, entries), _ = stands
    return [entry.operation for entry in entries]


@pytest.mark.rule(48)
async def test_a_new_title_is_served_and_stored_and_recorded_although_the_version_stays(api: AdminClient) -> None:
    assert (await api.put(document("f", title="first")))[0] == 201
    status, answer = await api.put(document("f", title="second"))
    assert status == 200
    assert answer["deployment_id"] is not None
    assert (await api.ask("GET", "flows/f"))[1]["title"] == "second"
    stored = (await api.ask("GET", "flows/f/versions/current"))[1]
    assert (stored["version"], stored["document"]["title"]) == (answer["version"], "second")
    assert operations(await api.stands()) == ["flow.deploy"] * 2
    before = await api.stands()
    assert await api.engine.version_switch.refresh()
    assert await api.stands() == before


async def test_a_flow_that_is_like_this_already_is_not_deployed_again(api: AdminClient) -> None:
    given = document("f", vars={"b": 1, "a": 2})
    await api.put(given)
    before = await api.stands()
    # The canonical form sorts the first keys.
    for again in (given, dict(reversed(given.items()))):
        status, answer = await api.put(again)
        assert (status, answer["deployment_id"]) == (200, None)
    assert (await api.deploy(given))["deployment"] is None
    assert await api.stands() == before


async def test_a_dry_run_changes_nothing_at_all(api: AdminClient) -> None:
    await api.deploy(document("f"), cases={"f": CASES})
    before = await api.stands()
    status, answer = await api.put(document("f", 1), "?dry_run=true")
    assert (status, answer["deployment_id"]) == (200, None)
    assert answer["version"] is not None
    assert (await api.put(document("new"), "?dry_run=true"))[0] == 200
    assert (await api.ask("DELETE", "flows/f?dry_run=true"))[0] == 200
    answer = await api.deploy(document("f", 1), document("new"), cases={"f": {"cases": []}}, dry_run=True)
    assert answer["deployment"] is None
    status, problem = await api.put(calling("f", "nothing") | {"title": 1}, "?dry_run=true")
    assert (status, {one["pointer"] for one in problem["problems"]}) == (422, {"/steps/0/with/id", "/title"})
    assert await api.stands() == before


async def test_of_authors_at_once_one_wins_and_the_others_get_412(api: AdminClient) -> None:
    await api.deploy(document("f"), document("g"))
    tag = await api.etag("flows/f")
    answers = await asyncio.gather(*(api.put(document("f", number), if_match=tag) for number in range(1, 5)))
    assert sorted(status for status, _ in answers) == [200, 412, 412, 412]
    expected = {one["id"]: one["version"] for one in (await api.ask("GET", "flows"))[1]["items"]}
    sets = [
        {"flows": {name: document(name, 10 + number) for name in ("f", "g")}, "expected": expected}
        for number in range(3)
    ]
    answers = await asyncio.gather(*(api.ask("POST", "deployments", one) for one in sets))
    assert sorted(status for status, _ in answers) == [200, 412, 412]
    (won,) = (answer["deployment"] for status, answer in answers if status == 200)
    now = {one["id"]: one["version"] for one in (await api.ask("GET", "flows"))[1]["items"]}
    assert now == {one["flow_id"]: one["version"] for one in won["flows"]}
    history = (await api.ask("GET", "deployments"))[1]["items"]
    # Each names the version that the one before it served, so that none was overwritten unseen.
    assert len(history) == 3
    for flow_id in ("f", "g"):
        changes = [one for each in reversed(history) for one in each["flows"] if one["flow_id"] == flow_id]
        assert [one["before"] for one in changes] == [None, *(one["version"] for one in changes[:-1])]


async def test_one_of_two_authors_of_a_title_gets_412(api: AdminClient) -> None:
    """The version is the same, and the other title would be lost."""
    await api.deploy(document("f", title="first"))
    tag = await api.etag("flows/f")
    answers = await asyncio.gather(*(api.put(document("f", title=title), if_match=tag) for title in ("a", "b")))
    assert sorted(status for status, _ in answers) == [200, 412]


async def test_cases_travel_with_their_flow(api: AdminClient) -> None:
    await api.deploy(document("f"), cases={"f": CASES})
    assert (await api.ask("GET", "flows/f/cases"))[1] == CASES
    tag = await api.etag("flows/f/cases")
    more = {"cases": [*CASES["cases"], {**CASES["cases"][0], "name": "it runs again"}]}
    answers = [await api.ask("PUT", "flows/f/cases", more, {"If-Match": tag}) for _ in range(2)]
    assert [status for status, _ in answers] == [204, 412]
    answer = await api.deploy(document("f", 1), cases={"f": CASES})
    version = answer["deployment"]["flows"][0]["version"]
    entries = (await api.ask("GET", "audit?operation=flow.cases"))[1]["items"]
    assert entries[0]["flow_version"] == version
    assert (await api.ask("DELETE", "flows/f"))[0] == 200
    await api.deploy(document("f"))
    assert (await api.ask("GET", "flows/f/cases"))[1] == {"cases": []}


async def test_cases_that_somebody_else_has_saved_are_not_overwritten_by_a_deployment(api: AdminClient) -> None:
    async def deploy(number: int, tag: str | None, **more: Any) -> int:
        body = {"flows": {"f": document("f", number)}, "cases": {"f": CASES}, "expected_cases": {"f": tag}, **more}
        status, answer = await api.ask("POST", "deployments", body)
        assert status == 200 or answer["code"] == "cases.conflict"
        return status

    await api.deploy(document("f"), cases={"f": CASES})
    tag = (await api.etag("flows/f/cases")).strip('"')
    more = {"cases": [*CASES["cases"], {**CASES["cases"][0], "name": "it runs again"}]}
    assert (await api.ask("PUT", "flows/f/cases", more))[0] == 204
    before = await api.stands()
    assert await deploy(1, tag) == 412
    assert await deploy(1, None) == 412
    assert await deploy(1, tag, dry_run=True) == 412
    assert (await api.ask("POST", "deployments", {"flows": {"f": None}, "expected_cases": {"f": tag}}))[0] == 412
    assert await api.stands() == before
    assert (await api.ask("GET", "flows/f/cases"))[1] == more
    assert await deploy(1, (await api.etag("flows/f/cases")).strip('"')) == 200
    assert (await api.ask("PUT", "flows/f/cases", {"cases": []}))[0] == 204
    assert await deploy(2, None) == 200
    many = {"flows": {}, "expected_cases": {f"f{number}": None for number in range(1001)}}
    assert (await api.ask("POST", "deployments", many))[0] == 400


async def test_a_flow_that_others_call_is_not_deleted_alone(api: AdminClient) -> None:
    await api.deploy(document("called"), calling("caller", "called"))
    before = await api.stands()
    status, problem = await api.ask("DELETE", "flows/called")
    assert status == 422
    (found,) = problem["problems"]
    assert found["code"] == "unknown_flow"
    assert "'caller'" in found["detail"]
    assert "/steps/0/with/id" in found["detail"]
    status, problem = await api.ask("POST", "deployments", {"flows": {"called": None}})
    assert (status, problem["problems"][0]["pointer"]) == (422, "/flows/called")
    assert await api.stands() == before
    status, _ = await api.ask("POST", "deployments", {"flows": {"called": None, "caller": None}})
    assert status == 200


async def test_a_call_of_a_flow_that_is_deleted_meanwhile_is_found(api: AdminClient) -> None:
    """Each of two deployments is right among the flows that it was checked with."""
    await api.deploy(document("called"))
    checked = [
        await api.engine.version_switch.check(request_of(document("caller"), calling("caller", "called"))),
        await api.engine.version_switch.check(request_of(document("called"), None)),
    ]
    await api.engine.version_switch.deploy(checked[1])
    with pytest.raises(FlowInvalid, match="called"):
        await api.engine.version_switch.deploy(checked[0])
    assert await api.engine.store.served_flows() == []


def request_of(named: dict[str, Any], given: dict[str, Any] | None) -> DeploymentRequest:
    return DeploymentRequest(SYSTEM, {named["id"]: None if given is None else encode(given)})


async def test_a_limited_token_deploys_and_sees_only_its_flows(api: AdminClient) -> None:
    first = (await api.deploy(document("mine"), document("other")))["deployment"]["id"]
    only_other = (await api.deploy(document("other", 1)))["deployment"]["id"]
    mine = await api.limited("mine", "new")
    before = await api.stands()
    assert (await mine.put(document("other", 2)))[0] == 404
    assert (await mine.ask("DELETE", "flows/other"))[0] == 404
    for body in (
        {"flows": {"mine": document("mine", 1), "other": document("other", 2)}},
        {"flows": {"mine": document("mine", 1)}, "cases": {"other": CASES}},
        {"flows": {"mine": document("mine", 1)}, "expected": {"other": None}},
        {"flows": {"mine": document("mine", 1)}, "expected_cases": {"other": None}},
    ):
        assert (await mine.ask("POST", "deployments", body))[0] == 404
    # Their names aren't told either.
    status, problem = await mine.put(calling("mine", "othr"))
    assert status == 422
    assert "'other'" not in problem["problems"][0]["remedy"]
    assert (await mine.ask("PUT", "flows/mine?dry_run=true", calling("mine", "other")))[0] == 200
    listed = (await mine.ask("GET", "deployments"))[1]["items"]
    assert [(one["id"], [flow["flow_id"] for flow in one["flows"]]) for one in listed] == [(first, ["mine"])]
    assert [one["flow_id"] for one in (await mine.ask("GET", f"deployments/{first}"))[1]["flows"]] == ["mine"]
    for path in (f"deployments/{only_other}", f"deployments/{only_other}/rollback"):
        assert (await mine.ask("POST" if path.endswith("rollback") else "GET", path))[0] == 404
    status, problem = await mine.ask("POST", f"deployments/{first}/rollback")
    assert (status, problem["code"]) == (403, "token.limited")
    assert "other" not in problem["detail"].replace("other flows", "")
    assert await api.stands() == before
    await mine.deploy(document("mine", 1), document("new"))
    status, answer = await mine.ask("POST", f"deployments/{only_other}/rollback")
    assert status == 404, "it has no flow that the token sees"
    made = await mine.deploy(document("mine", 2))
    await mine.deploy(document("mine", 3), {**document("new", 1)})
    status, answer = await mine.ask("POST", f"deployments/{made['deployment']['id']}/rollback")
    assert status == 200, answer
    assert {one["flow_id"] for one in answer["deployment"]["flows"]} == {"mine", "new"}


async def test_a_flow_that_a_hidden_one_calls_is_not_deleted_and_the_other_is_not_named(api: AdminClient) -> None:
    await api.deploy(document("mine"), calling("hidden", "mine"))
    status, problem = await (await api.limited("mine")).ask("DELETE", "flows/mine")
    assert status == 422
    assert "hidden" not in str(problem)


async def test_a_rollback_to_a_version_that_is_purged_changes_nothing(api: AdminClient) -> None:
    first = (await api.deploy(document("f"), document("g"), document("h")))["deployment"]
    await api.deploy(document("f", 1), document("g", 1), document("h", 1))
    versions = {one["flow_id"]: one["version"] for one in first["flows"]}
    await api.engine.store.commit([ForgetVersions(name, (versions[name],)) for name in ("f", "h")])
    before = await api.stands()
    status, problem = await api.ask("POST", f"deployments/{first['id']}/rollback")
    assert status == 422
    assert [(one["pointer"], one["code"]) for one in problem["problems"]] == [
        ("/flows/f", "version_gone"),
        ("/flows/h", "version_gone"),
    ]
    assert await api.stands() == before


async def test_retention_keeps_the_versions_of_the_last_deployments(api: AdminClient, harness: Harness) -> None:
    first = (await api.deploy(document("f")))["deployment"]["id"]
    for number in range(1, 25):
        harness.clock.advance(60)
        await api.deploy(document("f", number))
    execution_id = await harness.send(api.engine, "f", 1)
    await harness.until(api.engine, execution_id)
    harness.clock.advance(60 * 86400)
    await api.engine._sweeper.sweep()
    assert (await api.ask("POST", f"deployments/{first}/rollback"))[0] == 200
    assert (await api.ask("GET", "flows/f/versions/current"))[1]["document"] == document("f")


async def test_a_wrong_body_is_rejected_as_everywhere(api: AdminClient) -> None:
    for method, path in (("PUT", "flows/f"), ("PUT", "flows/f/cases"), ("POST", "deployments")):
        assert (await api.ask(method, path, {}, {"Content-Type": "text/plain"}))[0] == 415


async def test_a_deployment_and_a_rollback_have_the_plan_of_the_executions_that_wait(
    api: AdminClient, harness: Harness
) -> None:
    hold = {"id": "hold", "use": "webhook"}
    first = (await api.deploy(document("f", steps=[hold])))["deployment"]["id"]
    execution_id = await harness.send(api.engine, "f", 1)
    await harness.until(api.engine, execution_id, State.WAITING)
    log = {"id": "log", "use": "log", "with": {"message": "after"}}
    answers = [
        await api.deploy(document("f", steps=[hold, log]), dry_run=True),
        await api.deploy(document("f", steps=[hold, log])),
        (await api.ask("POST", f"deployments/{first}/rollback"))[1],
    ]
    for answer in answers:
        (plan,) = answer["plans"]
        assert [(one["execution_id"], one["fits"], one["lands"]) for one in plan["items"]] == [
            (execution_id, True, ["hold"])
        ]
    # It stays where it is until it is moved.
    execution = await api.engine.store.execution(execution_id)
    assert execution is not None
    assert execution.flow_version == answers[2]["plans"][0]["version"]


@pytest.mark.parametrize("flow_id", ["a%00b", "a" * 300, "..", "A"])
async def test_an_id_that_no_flow_can_have_is_a_problem_of_the_document(api: AdminClient, flow_id: str) -> None:
    before = await api.stands()
    status, answer = await api.ask("PUT", f"flows/{flow_id}", document(flow_id.replace("%00", "\0")))
    assert status == 422
    assert [problem["pointer"] for problem in answer["problems"]] == ["/id"]
    assert (await api.ask("PUT", f"flows/{flow_id}/cases", CASES))[0] == 404
    assert (await api.ask("GET", f"flows/{flow_id}"))[0] == 404
    assert await api.stands() == before


@pytest.mark.parametrize("how", ["deployment", "flow"])
async def test_a_rollback_brings_back_the_cases_that_a_deleted_flow_had(api: AdminClient, how: str) -> None:
    others = {"cases": [{**CASES["cases"][0], "name": "another"}]}
    made = await api.deploy(document("f"), document("g"), cases={"f": others, "g": others})
    first, version = made["deployment"]["id"], made["deployment"]["flows"][0]["version"]
    assert (await api.ask("PUT", "flows/f/cases", CASES))[0] == 204
    assert (await api.ask("DELETE", "flows/f"))[0] == 200
    assert (await api.ask("GET", "flows/f/cases"))[0] == 404
    if how == "flow":
        assert (await api.ask("POST", "flows/f/rollback", {"version": version}))[0] == 200
    else:
        assert (await api.ask("POST", f"deployments/{first}/rollback"))[0] == 200
    assert (await api.ask("GET", "flows/f/cases"))[1] == CASES
    assert (await api.ask("GET", "flows/g/cases"))[1] == others


async def test_a_new_flow_has_no_cases_of_a_deleted_one_and_a_rollback_changes_those_of_no_flow_that_serves(
    api: AdminClient,
) -> None:
    first = (await api.deploy(document("f"), cases={"f": CASES}))["deployment"]["id"]
    assert (await api.ask("DELETE", "flows/f"))[0] == 200
    await api.deploy(document("f", 1))
    assert (await api.ask("GET", "flows/f/cases"))[1] == {"cases": []}
    assert (await api.ask("POST", f"deployments/{first}/rollback"))[0] == 200
    assert (await api.ask("GET", "flows/f/cases"))[1] == {"cases": []}
    # It had none when it was deleted again.
    assert (await api.ask("DELETE", "flows/f"))[0] == 200
    assert (await api.ask("POST", f"deployments/{first}/rollback"))[0] == 200
    assert (await api.ask("GET", "flows/f/cases"))[1] == {"cases": []}
