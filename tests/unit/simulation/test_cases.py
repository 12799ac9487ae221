"""Cases run as flows do in production, but for what is outside, and for the time that it takes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from hookline.discovery.plugin_loader import load_plugins
from hookline.flows.compiler.compile import compile_flow
from hookline.flows.documents.read import read
from hookline.kernel.clocks import SystemClock
from hookline.kernel.errors import FlowInvalid
from hookline.simulation.case_run import CaseResult, CaseRunner
from hookline.simulation.cases import Case, CaseFile, cases_schema, check_names, read_cases

REGISTRY = load_plugins()
Try: TypeAlias = Callable[..., CaseResult]
POST = {
    "id": "post",
    "use": "http.request",
    "with": {"method": "POST", "url": "https://x.example.com", "json": "$.body"},
}
WAIT = {"id": "answer", "use": "webhook", "with": {"timeout": "2d"}}


def flow(*steps: Any, **settings: Any) -> dict[str, Any]:
    trigger = {"use": "webhook", "with": {"verify": "none", **settings.pop("webhook", {})}}
    return {"id": "orders", "trigger": trigger, "steps": list(steps), **settings}


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[CaseRunner]:
    blobs = REGISTRY.blob_stores["file"](f"file://{tmp_path}/blobs", clock=SystemClock())
    with CaseRunner(REGISTRY, blobs) as runner:
        yield runner


@pytest.fixture
def run(runner: CaseRunner, tmp_path: Path) -> Try:
    def run(document: dict[str, Any], expect: dict[str, Any], body: Any = None, **case: Any) -> CaseResult:
        compiled = compile_flow(json.dumps(document).encode(), REGISTRY)
        given = {"name": "one", "input": {"body": body}, "expect": expect, **case}
        return runner.run(compiled, Case.model_validate(given), tmp_path)

    return run


def test_a_wait_is_answered_after_its_time_without_taking_any(run: Try) -> None:
    expect = {
        "outcome": "completed",
        "took": "90m",
        "body": {"yes": True},
        "steps": {"answer": {"method": "POST", "headers": {"x-who": "Ada"}}},
    }
    answer = {"body": {"yes": True}, "headers": {"X-Who": "Ada"}, "after": "90m"}
    assert run(flow(WAIT), expect, answers={"answer": answer}).differences == ()


def test_a_wait_that_nobody_answers_times_out(run: Try) -> None:
    expect = {"outcome": "failed", "took": "2d", "error": {"code": "wait_timed_out", "step": "answer"}}
    assert run(flow(WAIT), expect, answers={"answer": None}).differences == ()
    caught = flow({"id": "asked", "try": [WAIT], "catch": [{"id": "late", "use": "map", "with": {"body": "late"}}]})
    assert run(caught, {"outcome": "completed", "body": "late", "took": "2d"}).differences == ()


@pytest.mark.rule(52)
def test_an_answer_is_read_by_the_page_of_its_step(run: Try) -> None:
    page = {
        "title": "Pay {{ body.sum }}?",
        "fields": {"count": {"type": "integer", "required": True}},
        "choices": [{"label": "Yes", "body": {"ok": True}}],
    }
    paged = flow({"id": "answer", "use": "webhook", "with": {"page": page}})
    expect = {"outcome": "completed", "body": {"count": 3, "ok": True}}
    given = {"body": {"sum": 1}}
    assert run(paged, expect, input=given, answers={"answer": {"body": {"count": "3", "ok": True}}}).differences == ()
    wrong = run(paged, expect, input=given, answers={"answer": {"body": {"count": "many", "ok": True}}})
    assert "step answer: its page doesn't take the answer: /count this must be a whole number" in str(wrong.differences)


def test_a_wait_without_end_is_said_to_want_an_answer(run: Try) -> None:
    forever = {"id": "answer", "use": "webhook", "with": {"timeout": None}}
    result = run(flow(forever), {"outcome": "completed"})
    assert "answers" in result.differences[0]
    assert "answer" in result.differences[0]


def test_stubs_by_attempt_let_a_step_fail_first(run: Try) -> None:
    step = {**POST, "retry": {"attempts": 3, "wait": "10m", "cap": "1h"}}
    away = {"error": {"code": "http.503", "retryable": True}}
    expect = {"outcome": "completed", "body": "ok", "steps": {"post": {"attempts": 3, "status": 201}}}
    result = run(flow(step), expect, stubs={"post": [away, away, {"result": "ok", "status": 201}]})
    assert result.differences == ()
    assert len(result.calls) == 3
    assert result.took.total_seconds() > 600
    result = run(flow(step), {"outcome": "failed", "error": {"code": "http.503"}}, stubs={"post": away})
    assert result.differences == ()


def test_a_flows_timeout_ends_a_case_while_it_sleeps(run: Try) -> None:
    sleeping = flow({"id": "nap", "use": "sleep", "with": {"for": "20s"}}, timeout="5s")
    assert run(sleeping, {"outcome": "timed_out", "took": "5s"}).differences == ()
    long = flow({"id": "nap", "use": "sleep", "with": {"for": "3h"}}, timeout="1h")
    assert run(long, {"outcome": "timed_out", "took": "1h"}).differences == ()


def test_branches_side_by_side_take_the_time_of_the_longest(run: Try) -> None:
    naps = {name: [{"id": f"nap_{name}", "use": "sleep", "with": {"for": f"{name[1:]}m"}}] for name in ("b2", "b9")}
    assert run(flow({"id": "both", "parallel": naps}), {"outcome": "completed", "took": "9m"}).differences == ()


def test_a_called_flow_runs_with_the_stubs_behind_the_calling_step_or_is_stubbed_whole(
    run: Try, tmp_path: Path
) -> None:
    (tmp_path / "ship.json").write_text(json.dumps(flow(POST, id="ship")))
    calling = flow({"id": "ask", "use": "flow", "with": {"id": "ship", "body": {"n": 1}}})
    expect = {"outcome": "completed", "body": "sent", "calls": [{"step": "ask/post", "with": {"json": {"n": 1}}}]}
    assert run(calling, expect, stubs={"ask/post": {"result": "sent"}}).differences == ()
    whole = {"outcome": "completed", "body": "done", "calls": [{"step": "ask", "use": "flow", "with": {"id": "ship"}}]}
    assert run(calling, whole, stubs={"ask": {"result": "done"}}).differences == ()
    failed = {"outcome": "failed", "error": {"code": "no.stock", "step": "ask"}}
    assert run(calling, failed, stubs={"ask": {"error": {"code": "no.stock"}}}).differences == ()
    elsewhere = flow({"id": "ask", "use": "flow", "with": {"id": "elsewhere"}})
    assert "elsewhere" in run(elsewhere, {"outcome": "failed"}).differences[0]


def test_a_missing_stub_fails_the_case_although_the_flow_goes_on(run: Try) -> None:
    lenient = flow({**POST, "on_error": "continue"})
    result = run(lenient, {"outcome": "completed"})
    assert '"stubs": {"post"' in result.differences[0]


def test_the_reply_the_path_and_the_start_are_expected(run: Try) -> None:
    steps = [
        {"id": "small", "when": "{{ body < 10 }}", "use": "map", "with": {"body": "$.execution.now"}},
        {"id": "large", "when": "{{ trigger.body >= 10 }}", "use": "map", "with": {"body": "large"}},
        {"id": "tell", "use": "reply", "with": {"status": 202, "body": "$.body"}},
    ]
    expect = {
        "outcome": "completed",
        "reply": {"status": 202, "body": "2026-03-29T01:00:00.000000Z"},
        "path": ["small", "tell"],
        "steps": {"large": None},
    }
    document = flow(*steps, webhook={"respond": "reply"})
    assert run(document, expect, 3, now="2026-03-29T01:00:00Z").differences == ()
    result = run(document, expect | {"reply": None, "path": ["tell"]}, 30)
    assert [text.partition(" ")[0] for text in result.differences] == ["reply", "step", "path:"]


def test_vars_of_a_case_replace_the_flows(run: Try) -> None:
    document = flow({"id": "a", "use": "map", "with": {"body": "$.vars.limit"}}, vars={"limit": 5})
    assert run(document, {"outcome": "completed", "body": 7}, vars={"limit": 7}).differences == ()


def test_items_are_expected_one_by_one_and_stubbed_by_number(run: Try) -> None:
    document = flow({"id": "lines", "foreach": "$.body", "on_error": "continue", "steps": [POST]})
    expect = {
        "outcome": "completed",
        "steps": {"lines[0]/post": {"body": "ok"}, "lines[1]/post": {"error": {"code": "full"}}},
    }
    stubs = {"lines/post": {"result": "ok"}, "lines[1]/post": {"error": {"code": "full"}}}
    assert run(document, expect, [1, 2, 3], stubs=stubs).differences == ()


def test_all_that_is_wrong_with_a_case_file_is_said_at_once_with_its_line_and_what_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "orders.test.json"
    path.write_text('{"cases": [\n{"nam": "a",\n "expect": {"outcome": "complted"},\n "stub": {}}\n]}')
    with pytest.raises(FlowInvalid) as caught:
        read_cases(path)
    said = {(problem.line, problem.remedy) for problem in caught.value.problems}
    assert {(2, "did you mean 'name'?"), (4, "did you mean 'stubs'?")} <= said
    assert any(problem.line == 3 for problem in caught.value.problems)


def test_names_that_the_flow_has_not_are_said_with_what_was_meant(tmp_path: Path) -> None:
    document = flow(POST, WAIT, vars={"limit": 1})
    case = {"name": "a", "vars": {"limt": 1}, "stubs": {"pots": {}}, "answers": {"anser": None}}
    path = tmp_path / "orders.test.json"
    path.write_text(json.dumps({"cases": [case | {"expect": {"outcome": "completed", "path": ["post", "nothing"]}}]}))
    compiled = compile_flow(json.dumps(document).encode(), REGISTRY)
    found = {
        one.pointer: one.remedy for one in check_names(read_cases(path), compiled, read(path.read_bytes(), str(path)))
    }
    assert found == {
        "/cases/0/vars/limt": "did you mean 'limit'?",
        "/cases/0/stubs/pots": "did you mean 'post'?",
        "/cases/0/answers/anser": "did you mean 'answer'?",
        "/cases/0/expect/path/1": "there are post, answer",
    }


def test_the_schema_of_case_files_names_every_key() -> None:
    schema = json.loads(cases_schema())
    assert set(schema["$defs"]["Case"]["properties"]) == set(Case.model_fields)
    assert "cases" in schema["required"]
    assert CaseFile.model_config["extra"] == "forbid"


def test_a_flow_keeps_what_it_sets_and_counts(run: Try) -> None:
    steps = [
        {"id": "count", "use": "state.set", "with": {"key": "n", "add": 2}},
        {"id": "again", "use": "state.set", "with": {"key": "n", "add": 1}},
    ]
    expect = {"outcome": "completed", "steps": {"count": {"body": 2}, "again": {"body": 3}}}
    assert run(flow(*steps), expect).differences == ()


GATHER = {"id": "lines", "use": "batch", "with": {"size": 3, "within": "10s"}}


def test_one_message_is_a_batch_by_itself_when_its_time_is_over_and_a_stub_says_what_others_bring(run: Try) -> None:
    alone = {"outcome": "completed", "body": [1], "took": "10s", "path": ["lines"]}
    assert run(flow(GATHER), alone, 1).differences == ()
    together = {"outcome": "completed", "body": [1, 2, 3], "took": "0s"}
    assert run(flow(GATHER), together, 1, stubs={"lines": {"result": [1, 2, 3]}}).differences == ()


def test_executions_of_a_called_flow_gather_in_a_case(run: Try, tmp_path: Path) -> None:
    (tmp_path / "inner.json").write_text(json.dumps(flow(GATHER) | {"id": "inner"}))
    call = {"id": "add", "use": "flow", "with": {"id": "inner", "body": "$.item"}}
    outer = flow({"id": "each", "foreach": "$.body", "concurrency": 9, "steps": [call]})
    # Who has joined gives null, as whatever is filtered.
    expect = {"outcome": "completed", "took": "10s", "body": [[1, 2, 3], None, None, [4]]}
    assert run(outer, expect, [1, 2, 3, 4]).differences == ()


def test_a_case_has_its_request_and_what_the_flow_keeps(run: Try) -> None:
    read = {"id": "read", "use": "state.get", "with": {"key": "seen", "default": 0}}
    count = {"id": "count", "use": "state.set", "with": {"key": "count", "add": 2}}
    told = {"body": ["$.trigger.method", "$.trigger.path", "$.trigger.query.since", "$.steps.read.body", "$.body"]}
    document = flow(read, count, {"id": "told", "use": "map", "with": told}, webhook={"methods": ["PUT", "POST"]})
    given = {"method": "PUT", "path": "shop/7", "query": {"since": "2026"}}
    expect = {"outcome": "completed", "body": ["PUT", "shop/7", "2026", 5, 42]}
    assert run(document, expect, input=given, state={"seen": 5, "count": 40}).differences == ()


def test_a_stub_stands_for_all_items_of_a_foreach(run: Try) -> None:
    each = {"id": "each", "foreach": "$.body", "steps": [POST]}
    expect = {"outcome": "completed", "body": [7], "path": ["each"], "calls": []}
    assert run(flow(each), expect, list(range(3)), stubs={"each": {"result": [7]}}).differences == ()
    error = {"error": {"code": "http.409", "step": "each[1]/post"}}
    expect = {"outcome": "failed", "error": {"code": "http.409", "step": "each[1]/post"}}
    assert run(flow(each), expect, [1, 2], stubs={"each": error}).differences == ()


def test_a_foreach_over_a_stream_that_a_case_has_not_wants_a_stub(run: Try) -> None:
    each = {"id": "each", "foreach": "$.body", "steps": [{**POST, "id": "write"}]}
    count = {"id": "count", "use": "map", "with": {"body": "$.steps.post.body.count"}}
    document, stubs = flow(POST, each, count), {"post": {"stream": 20000}}
    expect = {"outcome": "completed", "body": 20000}
    assert run(document, expect, stubs={**stubs, "each": {"result": {"count": 20000}}}).differences == ()
    assert "step each: it goes through a stream" in run(document, expect, stubs=stubs).differences[0]


def test_an_operators_retry_goes_on_with_the_next_stubs(run: Try) -> None:
    stubs = {"post": [{"error": {"code": "http.422"}}, {"result": "ok"}]}
    attempt = {"id": "told", "use": "map", "with": {"body": "{{ execution.attempt }}"}}
    expect = {"outcome": "completed", "body": 2}
    assert run(flow(POST, attempt), expect, stubs=stubs, retries=1).differences == ()
    assert run(flow(POST, attempt), {"outcome": "failed"}, stubs=stubs).differences == ()


def test_what_a_flow_can_not_be_given_is_said(tmp_path: Path) -> None:
    inner = {"id": "both", "parallel": {"a": [POST]}}
    wrong = {
        "name": "one",
        "input": {"method": "PUT"},
        "state": {"": 1, "long": "x" * 300_000},
        "stubs": {"both": {"result": 1}, "answer": {"result": 1}},
        "expect": {"outcome": "completed"},
    }
    file = tmp_path / "orders.test.json"
    file.write_text(json.dumps({"cases": [wrong]}))
    compiled = compile_flow(json.dumps(flow(inner, WAIT)).encode(), REGISTRY)
    problems = check_names(read_cases(file), compiled, read(file.read_bytes(), str(file)))
    assert [problem.pointer.removeprefix("/cases/0/") for problem in problems] == [
        "input/method", "state/", "state/long", "stubs/both", "stubs/answer"
    ]  # fmt: skip
    manual = compile_flow(json.dumps({"id": "orders", "trigger": {"use": "manual"}, "steps": []}).encode(), REGISTRY)
    wrong = {"name": "one", "input": {"query": {"a": "b"}}, "expect": {"outcome": "completed"}}
    file.write_text(json.dumps({"cases": [wrong]}))
    (problem,) = check_names(read_cases(file), manual, read(file.read_bytes(), str(file)))
    assert "no request starts the flow" in str(problem)
