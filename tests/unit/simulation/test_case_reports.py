"""What `hookline test` says besides: coverage, JUnit's file, chosen cases; and cases as tests of pytest."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from hookline.cli.main import main

pytest_plugins = ["pytester"]

FLOW = {
    "id": "orders",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [
        {
            "id": "kind",
            "switch": [
                {"when": "{{ body.n > 9 }}", "steps": [{"id": "large", "use": "map", "with": {"body": "large"}}]},
                {"otherwise": True, "steps": [{"id": "small", "use": "map", "with": {"body": "small"}}]},
            ],
        },
        {
            "id": "safe",
            "try": [{"id": "odd", "when": "{{ body == 'odd' }}", "use": "map", "with": {"body": 1}}],
            "catch": [{"id": "caught", "use": "map", "with": {"body": 2}}],
        },
    ],
}


def case(name: str, n: int, body: str) -> dict[str, Any]:
    return {"name": name, "input": {"body": {"n": n}}, "expect": {"outcome": "completed", "body": body}}


def write(folder: Path, *cases: dict[str, Any]) -> None:
    (folder / "flows").mkdir(exist_ok=True)
    (folder / "flows" / "orders.json").write_text(json.dumps(FLOW, indent=1))
    (folder / "flows" / "orders.test.json").write_text(json.dumps({"cases": cases}))


def hookline(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, case("a small one", 1, "small"), case("a large <one>", 10, "small"))
    return tmp_path


@pytest.fixture(autouse=True)
def _no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pytest within pytest forgets what it has imported: it would import Hypothesis anew each time, for seconds."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def test_coverage_names_the_steps_and_branches_that_no_case_has_come_to_with_their_lines(flows: Path) -> None:
    found = json.loads(hookline("test", "--coverage", "-k", "SMALL", "--json").stdout)["coverage"]
    (flow,) = found["flows"]
    missed = {one["what"]: one["pointer"] for one in flow["missed"]}
    assert missed == {
        "step kind/large": "/steps/0/switch/0/steps/0",
        "case 1 of kind": "/steps/0/switch/0",
        "step safe/odd": "/steps/1/try/0",
        "step safe/caught": "/steps/1/catch/0",
        "catch of safe": "/steps/1/catch",
    }
    assert (flow["reached"], flow["total"], found["percent"]) == (4, 9, 44)
    lines = (flows / "flows" / "orders.json").read_text().splitlines()
    large = next(one for one in flow["missed"] if one["what"] == "case 1 of kind")
    assert lines[large["line"] - 1].strip() == "{"
    assert "orders.json:" in hookline("test", "--coverage").stdout


def test_too_little_coverage_fails(flows: Path) -> None:
    assert hookline("test", "-k", "small", "--fail-under", "44").exit_code == 0
    result = hookline("test", "-k", "small", "--fail-under", "45")
    assert result.exit_code == 1
    assert "should be 45 %" in result.stdout


def test_junit_has_a_suite_for_each_flow_and_the_differences_of_what_failed(flows: Path) -> None:
    assert hookline("test", "--junit", "out.xml").exit_code == 1
    (suite,) = ElementTree.parse("out.xml").getroot()
    assert suite.attrib | {"time": ""} == {"name": "orders", "tests": "2", "failures": "1", "time": ""}
    good, bad = suite
    assert (good.get("name"), len(good)) == ("a small one", 0)
    assert bad.get("name") == "a large <one>"
    assert "body should be 'small', and is 'large'" in (bad[0].text or "")


def test_a_name_that_no_case_has_is_wrong_usage(flows: Path) -> None:
    result = hookline("test", "-k", "nothing")
    assert result.exit_code == 2
    assert "'nothing'" in result.stderr


def test_pytest_runs_cases_where_the_plugin_is_asked_for(pytester: pytest.Pytester) -> None:
    write(pytester.path, case("right", 1, "small"), case("wrong", 1, "large"))
    pytester.runpytest_inprocess().assert_outcomes()
    result = pytester.runpytest_inprocess("-p", "hookline.testing.pytest_plugin")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*body should be 'large', and is 'small'*"])
    assert "Traceback" not in result.stdout.str()


def test_pytest_says_what_is_wrong_with_a_case_file(pytester: pytest.Pytester) -> None:
    write(pytester.path, {**case("a", 1, "small"), "stub": {}})
    result = pytester.runpytest_inprocess("-p", "hookline.testing.pytest_plugin")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*orders.test.json:1:*did you mean 'stubs'*"])


def test_a_flow_is_run_in_three_lines_also_in_a_test_with_an_event_loop(pytester: pytest.Pytester) -> None:
    write(pytester.path)
    pytester.makepyfile(
        """
        import asyncio

        def test_small(run_flow):
            result = run_flow("flows/orders.json", {"n": 1})
            assert (result.outcome, result.body) == ("completed", "small")

        def test_in_a_loop(run_flow):
            async def inside():
                return run_flow("flows/orders.json", {"n": 10}, expect={"outcome": "completed", "body": "small"})
            assert asyncio.run(inside()).differences == ("body should be 'small', and is 'large'",)
        """
    )
    (pytester.path / "flows" / "orders.test.json").unlink()
    result = pytester.runpytest_inprocess("-p", "hookline.testing.pytest_plugin")
    result.assert_outcomes(passed=2)
