"""`hookline check`, `run`, `test`, `components` and `plugins`."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hookline.cli.main import main

GOOD = {
    "id": "greet",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [{"id": "hello", "use": "map", "with": {"body": {"hello": "$.body.name"}}}],
}


@pytest.fixture(autouse=True)
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "flows"
    folder.mkdir()
    (folder / "greet.json").write_text(json.dumps(GOOD))
    return folder


def hookline(*arguments: str, input: str | None = None) -> Any:
    return CliRunner().invoke(main, list(arguments), input=input, catch_exceptions=False)


def checked(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    result = hookline("check", "--json", *arguments)
    found = json.loads(result.stdout)["problems"]
    # How these files are laid out is no matter here.
    return result.exit_code, [problem for problem in found if problem["severity"] != "note"]


def test_a_good_flow_passes_and_that_it_verifies_nothing_is_warned() -> None:
    code, problems = checked()
    assert code == 0
    assert [(problem["severity"], problem["pointer"]) for problem in problems] == [("warning", "/trigger/with/verify")]
    assert checked("--strict")[0] == 1


def test_a_scheme_that_signs_the_url_is_warned_where_there_is_no_public_url(
    flows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verified(scheme: str) -> dict[str, Any]:
        return {"verify": {"scheme": scheme, "credential": scheme}}

    wait = {"id": "sms", "use": "webhook", "with": verified("twilio")}
    flow = {"id": "greet", "trigger": {"use": "webhook", "with": verified("square")}, "steps": [wait]}
    (flows / "greet.json").write_text(json.dumps(flow))

    def warned() -> list[tuple[str, str]]:
        code, problems = checked("--no-credentials")
        assert code == 0
        return [(one["pointer"], one["severity"]) for one in problems if one["code"] == "public_url_missing"]

    assert warned() == [("/trigger/with/verify", "warning"), ("/steps/0/with/verify", "warning")]
    monkeypatch.setenv("HOOKLINE_PUBLIC_URL", "https://hooks.example")
    assert warned() == []
    monkeypatch.delenv("HOOKLINE_PUBLIC_URL")
    (flows / "greet.json").write_text(json.dumps({**flow, "trigger": GOOD["trigger"], "steps": []}))
    assert warned() == []


EXACT = {
    "id": "bill",
    "trigger": {"use": "webhook", "with": {"verify": "none", "numbers": "exact"}},
    "steps": [
        {"id": "sum", "use": "map", "with": {"body": {"gross": "{{ body.net * 1.19 }}", "net": "$.body.net"}}},
    ],
}


def test_a_flow_whose_numbers_are_exact_runs_on_the_digits_of_its_input(flows: Path) -> None:
    (flows / "bill.json").write_text(json.dumps(EXACT))
    result = hookline("run", "bill", "--json", "--input", "-", input='{"net": 1.10}')
    assert result.exit_code == 0
    assert '"output":{"body":{"gross":1.3090,"net":1.10}}' in result.stdout
    result = hookline("run", "bill", "--input", "-", input='{"net": 1.10}')
    assert "1.3090" in result.stdout


CASES = """{"cases": [
  {"name": "right", "input": {"body": {"net": 1.10}},
   "expect": {"outcome": "completed", "body": {"gross": 1.309, "net": 1.1},
              "steps": {"sum": {"body": {"net": 1.100}}}}},
  {"name": "wrong", "input": {"body": {"net": 0.10}},
   "expect": {"outcome": "completed", "body": {"gross": 0.11900000000000000001}}}
]}"""


def test_cases_compare_exact_numbers_by_their_value(flows: Path) -> None:
    (flows / "bill.json").write_text(json.dumps(EXACT))
    (flows / "bill.test.json").write_text(CASES)
    result = hookline("test", "--json", "flows/bill.json")
    right, wrong = json.loads(result.stdout)["cases"]
    assert right["differences"] == []
    assert wrong["differences"] == ["body.gross should be 0.11900000000000000001, and is 0.1190"]


@pytest.mark.parametrize(
    "trigger",
    [
        {"use": "schedule", "with": {"cron": "0 6 * * *"}},
        {"use": "file.new", "with": {"folder": "in"}},
        {"use": "manual"},
    ],
)
def test_cases_give_flows_that_no_request_starts_their_body(flows: Path, trigger: dict[str, Any]) -> None:
    steps = [{"use": "map", "with": {"body": ["$.body.scheduled_at", "$.trigger.method"]}}]
    (flows / "own.json").write_text(json.dumps({"id": "own", "trigger": trigger, "steps": steps}))
    body = {"scheduled_at": "2026-01-31T06:00:00Z"}
    case = {
        "name": "one",
        "input": {"body": body},
        "expect": {"outcome": "completed", "body": [body["scheduled_at"], None]},
    }
    (flows / "own.test.json").write_text(json.dumps({"cases": [case]}))
    (result,) = json.loads(hookline("test", "--json", "flows/own.json").stdout)["cases"]
    assert result["differences"] == []
    assert hookline("check", "flows/own.json").exit_code == 0


def test_six_problems_are_six_problems_each_with_file_line_pointer_and_remedy(flows: Path) -> None:
    (flows / "six.json").write_text(
        """{
  "id": "six",
  "trigger": {"use": "webhook", "with": {"verify": {"scheme": "githb", "credential": "gh"}}},
  "steps": [
    {"id": "a", "use": "mpa", "with": {"body": 1}},
    {"id": "b", "use": "filter", "with": {"kep": true, "keep": true}},
    {"id": "c", "use": "map", "with": {"body": "$.steps.d.body"}},
    {"id": "d", "use": "map", "with": {"body": "{{ body. }}"}},
    {"id": "d", "use": "stop"}
  ]
}
"""
    )
    code, problems = checked("flows/six.json")
    assert code == 1
    errors = [problem for problem in problems if problem["severity"] == "error"]
    assert [(problem["pointer"], problem["line"]) for problem in errors] == [
        ("/trigger/with/verify/scheme", 3),
        ("/steps/0/use", 5),
        ("/steps/1/with/kep", 6),
        ("/steps/2/with/body", 7),
        ("/steps/3/with/body", 8),
        ("/steps/4/id", 9),
    ]
    assert all(problem["file"] == "flows/six.json" and problem["remedy"] for problem in errors)
    lines = hookline("check", "flows/six.json").stdout.splitlines()
    assert lines[0].startswith("flows/six.json:3: /trigger/with/verify/scheme: ")
    assert lines[-1].startswith("1 flow: 6 errors")


def test_what_shows_only_between_files_is_found_once(flows: Path) -> None:
    (flows / "copy.json").write_text(json.dumps(GOOD))
    code, problems = checked()
    assert code == 1
    found = [(Path(problem["file"]).name, problem["code"]) for problem in problems if problem["severity"] == "error"]
    assert ("copy.json", "file_name") in found
    assert len(found) == len(set(found))


def test_a_file_that_cant_be_read_hides_nothing_of_the_others(flows: Path) -> None:
    (flows / "folder.json").mkdir()
    (flows / "loop.json").symlink_to("loop.json")
    (flows / "text.json").write_text("no")
    code, problems = checked()
    assert code == 1
    assert sorted((problem["file"], problem["code"]) for problem in problems if problem["severity"] == "error") == [
        ("flows/folder.json", "unreadable"),
        ("flows/loop.json", "unreadable"),
        ("flows/text.json", "syntax"),
    ]


def test_missing_credentials_are_warnings_before_there_is_a_database_and_errors_after(flows: Path) -> None:
    verify = {"scheme": "github", "credential": "gh"}
    (flows / "greet.json").write_text(json.dumps(GOOD | {"trigger": {"use": "webhook", "with": {"verify": verify}}}))
    code, problems = checked()
    assert (code, [problem["code"] for problem in problems]) == (0, ["credential_missing"])
    assert hookline("credentials", "set", "other", "--type", "github", "secret=0123456789abcdef").exit_code == 0
    assert checked()[0] == 1
    assert checked("--no-credentials")[0] == 0
    assert hookline("credentials", "set", "gh", "--type", "github", "secret=0123456789abcdef").exit_code == 0
    assert checked() == (0, [])


def test_a_file_that_does_not_exist_is_wrong_usage() -> None:
    assert hookline("check", "nowhere.json").exit_code == 2


def test_run_runs_a_flow_on_an_input_and_shows_its_steps() -> None:
    result = hookline("run", "greet", "--input", "-", input='{"name": "Ada"}')
    assert result.exit_code == 0, result.output
    assert 'output {"body":{"hello":"Ada"}}' in result.stdout
    found = json.loads(hookline("run", "flows/greet.json", "-i", "-", "--json", input='{"name": "Ada"}').stdout)
    assert found["steps"][0]["output"]["body"] == {"hello": "Ada"}


def test_run_fails_with_the_flow(flows: Path) -> None:
    result = hookline("run", "greet")
    assert result.exit_code == 1
    assert "expression.missing" in result.stdout
    (flows / "greet.json").write_text(json.dumps(GOOD | {"steps": [{"use": "mpa"}]}))
    result = hookline("run", "greet")
    assert result.exit_code == 1
    assert "did you mean 'map'?" in result.stderr
    assert hookline("run", "nothing").exit_code == 1


def test_run_gives_headers_and_files_to_the_flow(flows: Path) -> None:
    body = {"who": "$.headers.x-who", "file": "$.attachments[0].filename", "size": "$.attachments[0].size"}
    steps = [{"id": "seen", "use": "map", "with": {"body": body}}]
    (flows / "greet.json").write_text(json.dumps(GOOD | {"steps": steps}))
    (flows / "note.txt").write_text("12345")
    result = hookline("run", "greet", "-H", "X-Who: Ada", "--attach", "flows/note.txt", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["steps"][0]["output"]["body"]
    assert found == {"who": "Ada", "file": "note.txt", "size": 5}


def case(expected: str) -> str:
    return json.dumps(
        {
            "cases": [
                {
                    "name": "greets",
                    "input": {"body": {"name": "Ada"}},
                    "expect": {"outcome": "completed", "body": {"hello": expected}},
                }
            ]
        }
    )


def test_test_runs_the_cases_and_fails_with_them(flows: Path) -> None:
    assert hookline("test").exit_code == 2
    (flows / "greet.test.json").write_text(case("Ada"))
    result = hookline("test")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "1 of 1 case passed")
    (flows / "greet.test.json").write_text(case("Eve"))
    result = hookline("test", "flows/greet.json", "--json")
    assert result.exit_code == 1
    (found,) = json.loads(result.stdout)["cases"]
    assert found["passed"] is False
    assert "Eve" in found["differences"][0]


def test_components_lists_everything_and_shows_the_inputs_of_one() -> None:
    names = {one["name"] for one in json.loads(hookline("components", "--json").stdout)}
    assert {"webhook", "map", "filter", "http.request", "github", "jsonpath"} <= names
    text = hookline("components", "filter").stdout
    assert "keep" in text
    assert "true or false" in text
    text = hookline("components", "http.request").stdout
    assert "Credential: " in text
    assert "basic" in text


def test_an_unknown_component_names_the_nearest() -> None:
    result = hookline("components", "http.requst")
    assert result.exit_code == 1
    assert "did you mean 'http.request'?" in result.stderr


def test_plugins_lists_each_with_its_distribution_and_version() -> None:
    found = {one["name"]: one for one in json.loads(hookline("plugins", "--json").stdout)}
    assert found["generic"] | {"version": None} == {
        "name": "generic",
        "module": "hookline_generic",
        "distribution": "hookline",
        "version": None,
        "error": None,
        "warning": None,
        "connectors": [
            {"name": name, "title": title, "quality": "gold", "lacks": []}
            for name, title in (("generic", "Generic"), ("state", "State"))
        ],
    }
    assert found["generic"]["version"]


CALLS = {
    "id": "caller",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [{"id": "call", "use": "flow", "with": {"id": "greeet", "body": {"name": "Ada"}}}],
}


def test_a_folder_tells_which_flows_there_are_to_call_and_a_single_file_does_not(flows: Path) -> None:
    (flows / "caller.json").write_text(json.dumps(CALLS))
    code, problems = checked()
    errors = [problem for problem in problems if problem["severity"] == "error"]
    assert [(error["pointer"], error["code"], error["remedy"]) for error in errors] == [
        ("/steps/0/with/id", "unknown_flow", "did you mean 'greet'?")
    ]
    assert code == 1
    assert checked(str(flows / "caller.json"))[0] == 0


def test_a_run_calls_the_other_flows_of_its_folder_and_shows_what_it_called(flows: Path) -> None:
    step = {"id": "call", "use": "flow", "with": {"id": "greet", "body": {"name": "Ada"}}}
    (flows / "caller.json").write_text(json.dumps({**CALLS, "steps": [step]}))
    result = hookline("run", "caller", "--json")
    (ran,) = json.loads(result.stdout)["steps"]
    assert ran["output"]["body"] == {"hello": "Ada"}
    assert ran["output"]["execution_id"] != json.loads(result.stdout)["id"]


def test_what_is_known_at_a_step_is_told(flows: Path) -> None:
    told = hookline("check", "--explain", "greet:hello")
    assert told.exit_code == 0
    assert "  → body: {hello: any}" in told.stdout.splitlines()
    steps = json.loads(hookline("check", "--json", "--explain", str(flows / "greet.json")).stdout)["steps"]
    assert [(step["step"], step["body"]) for step in steps] == [("hello", "{hello: any}")]


@pytest.mark.parametrize(
    ("wanted", "remedy"), [("greet:helo", "'hello'"), ("great", "'greet'"), ("nothing:at:all", "no flow 'nothing:at'")]
)
def test_what_is_to_be_told_has_to_be_there(wanted: str, remedy: str) -> None:
    rejected = hookline("check", "--explain", wanted)
    assert rejected.exit_code == 1
    assert remedy in rejected.stderr


def test_the_cases_beside_a_flow_are_samples_of_what_it_gets(flows: Path) -> None:
    cases = {"cases": [{"name": "one", "input": {"body": {"nam": "Ada"}}, "expect": {"outcome": "completed"}}]}
    (flows / "greet.test.json").write_text(json.dumps(cases))
    _, problems = checked()
    assert ("doubtful_key", "/steps/0/with/body/hello") in [(one["code"], one["pointer"]) for one in problems]
    (flows / "greet.test.json").write_text("no JSON")
    assert [one["code"] for one in checked()[1]] == ["not_verified"]


def test_a_check_knows_that_the_server_requires_verification(flows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (flows / "caller.json").write_text(json.dumps({**CALLS, "steps": []}))
    file = str(flows / "caller.json")
    assert checked(file)[0] == 0
    monkeypatch.setenv("HOOKLINE_REQUIRE_VERIFICATION", "true")
    code, problems = checked(file)
    assert (code, [one["code"] for one in problems if one["severity"] == "error"]) == (1, ["not_verified"])
    monkeypatch.setenv("HOOKLINE_UNVERIFIED_FLOWS", "other, call*")
    assert checked(file)[0] == 0
