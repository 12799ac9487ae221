"""The flows that the console offers as examples have no problems, besides that their senders aren't verified yet."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.check.check_flow import check_flow

_ROOT: Final = Path(__file__).parents[3]
_FILE: Final = _ROOT / "plugins" / "hookline_console" / "web" / "src" / "begin" / "examples.json"
_EXAMPLES: Final = json.loads(_FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda each: each["title"])
def test_an_example_has_no_problems(example: dict[str, Any], registry: Registry) -> None:
    problems = check_flow(json.dumps(example["flow"]).encode(), registry, file="example.json").problems
    assert [str(each) for each in problems if "requests are not verified" not in str(each)] == []
