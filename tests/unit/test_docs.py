"""The documentation holds: its blocks run, its links lead somewhere, and each hook is in it and in use."""

import ast
import inspect
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType

import click
import pytest
from pydantic import ValidationError

import hookline.api
from hookline.cli.main import main
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.check.check_flow import check_flow
from hookline.sdk import hookspecs
from hookline.server_settings import Settings
from hookline.simulation.cases import CaseFile

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            if match[1] == language:
                line = text.count("\n", 0, match.start()) + 1
                yield f"{page.relative_to(ROOT)}:{line}", match[2]


def given(language: str) -> pytest.MarkDecorator:
    found = list(blocks(language))
    return pytest.mark.parametrize(("place", "text"), found, ids=[place for place, _ in found])


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


@given("json")
def test_a_json_block_is_a_flow_without_problems_or_a_file_of_cases(place: str, text: str, registry: Registry) -> None:
    value = json.loads(text)
    if "cases" in value:
        CaseFile.model_validate(value)
        return
    assert "steps" in value, f"{place}: neither a flow nor cases; another kind of JSON needs a test of its own"
    problems = check_flow(text.encode(), registry, file=place).problems
    assert [str(problem) for problem in problems if problem.severity == "error"] == []


@given("python")
def test_a_python_block_runs(place: str, text: str) -> None:
    # A name of its own, since pydantic and typing look annotations up in the module.
    exec(compile(text, place, "exec"), {"__name__": "docs_block"})


@given("toml")
def test_a_toml_block_is_settings_or_a_project(place: str, text: str) -> None:
    value = tomllib.loads(text)
    if "project" not in value:
        assert value.keys() <= Settings.model_fields.keys(), place
        Settings(**value)


def test_there_are_blocks_of_each_kind() -> None:
    for language in ("json", "python", "toml"):
        assert list(blocks(language)), f"no page has a block of {language}: the pattern no longer finds them"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_to_files(page: Path) -> None:
    targets = _LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w -]", "", plain.strip().lower()).replace(" ", "-")
        number = next(number for number in count() if (f"{anchor}-{number}" if number else anchor) not in found)
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_to_headings(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    found = [(page.parent / target if target else page, anchor) for target, anchor in links]
    assert [(target.name, anchor) for target, anchor in found if anchor not in anchors(target)] == []


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"\btests/[\w/]+\.py\b", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_modules_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"`(hookline(?:_\w+)?(?:\.\w+)+)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not name.endswith(".toml") and not is_importable(name)] == []


def is_importable(name: str) -> bool:
    """Return True for a module, and for a name that a module defines."""
    module, _, attribute = name.rpartition(".")
    try:
        if find_spec(name) is not None:
            return True
    except ModuleNotFoundError:
        pass
    return find_spec(module) is not None and hasattr(import_module(module), attribute)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_commands_that_a_page_gives_are_there(page: Path) -> None:
    given = re.findall(r"^    (?:\.venv/bin/)?hookline ([a-z].*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [command for command in given if not is_command(command.split())] == []


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_credentials_that_a_page_sets_have_values_that_go_together(page: Path, registry: Registry) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for type_, given in re.findall(r"^    hookline credentials set \S+ --type (\S+) ([^\n#]*)", text, re.MULTILINE):
        values = dict(value.split("=", 1) for value in shlex.split(given))
        if values.get("url") == "-":
            values["url"] = "amqp://broker.example/"  # some types look at the whole URL
        model = registry.credential_types.get(type_)
        if model is None:  # one of a plugin's that the page writes itself
            continue
        try:
            model.model_validate(values)
        except ValidationError as error:
            # What stands for a value need be none; that a key is missing or none at all is a problem, and so is what
            # the whole model says.
            wrong = [
                problem
                for problem in error.errors(include_input=False)
                if problem["type"] in ("missing", "extra_forbidden") or (not problem["loc"] and "=@" not in given)
            ]
            assert wrong == [], f"{type_} {given}"


def is_command(words: list[str]) -> bool:
    """Whether these words begin with a command and, in a group, one of the group's."""
    command: click.Command | None = main
    for word in words:
        if not isinstance(command, click.Group) or (command.invoke_without_command and not word[0].isalpha()):
            break
        command = command.get_command(click.Context(command), word)
    return command is not None and (not isinstance(command, click.Group) or command.invoke_without_command)


def test_every_page_is_reached_from_the_first_one() -> None:
    first = ROOT / "docs" / "README.md"
    reached = {first}
    waiting = [first]
    while waiting:
        page = waiting.pop()
        for target in _LINK.findall(page.read_text(encoding="utf-8")):
            found = (page.parent / target).resolve()
            if found.suffix == ".md" and found not in reached:
                reached.add(found)
                waiting.append(found)
    lost = {str(page.relative_to(ROOT)) for page in set(ROOT.glob("docs/**/*.md")) - reached}
    assert lost == set(), "link them from docs/README.md"


def test_the_whole_check_is_the_command_that_the_first_page_gives() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    (python3 -m venv .+)$", page, re.MULTILINE)
    assert len(commands) == 2
    last = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1]
    assert last == f'{commands[1]} "$@"'


def hook_signatures() -> list[str]:
    tree = ast.parse(inspect.getsource(hookspecs))
    return [
        f"def {node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}:"
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.returns is not None
    ]


@pytest.mark.parametrize("signature", hook_signatures())
def test_each_hook_is_documented_with_its_literal_signature(signature: str) -> None:
    assert signature in (ROOT / "docs" / "reference" / "hooks.md").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("signature", hook_signatures())
def test_each_hook_is_used_by_a_real_plugin(signature: str) -> None:
    head = signature.partition("(")[0]
    sources = [path.read_text(encoding="utf-8") for path in ROOT.glob("plugins/*/__init__.py")]
    assert any(re.search(rf"^@hookimpl\n{head}\(", source, re.MULTILINE) for source in sources)


def test_all_generated_pages_are_checked_and_no_hand_written_one_is() -> None:
    listed = {ROOT / line for line in (ROOT / "docs" / "pages.txt").read_text(encoding="utf-8").split()}
    generated = {page for page in PAGES if "[[[cog" in page.read_text(encoding="utf-8")}
    assert generated == listed


def test_each_connector_has_its_page_and_nothing_else_has(registry: Registry) -> None:
    pages = {page.stem for page in (ROOT / "docs" / "reference" / "connectors").glob("*.md")}
    assert pages == registry.connectors.keys(), "python docs/render_connectors.py, and then cog"


def test_each_news_fragment_has_a_type_and_says_something() -> None:
    types = {"feature", "bugfix", "doc", "removal", "misc"}
    fragments = [path for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    wrong = [path.name for path in fragments if not re.fullmatch(rf"[+\w-]+\.({'|'.join(types)})\.md", path.name)]
    assert wrong == []
    assert [path.name for path in fragments if len(path.read_text(encoding="utf-8").split()) < 3] == []


@pytest.mark.parametrize(
    ("page", "sentences"),
    [
        ("reference/flows.md", ["A *branch* is a list of steps", "are no branches"]),
        ("how-to/write-a-poll.md", ['start nothing, unless the flow says `"existing": true`']),
        ("how-to/schedules-polling-manual-starts.md", ['count as seen, unless the trigger says `"existing": true`']),
    ],
)
def test_what_a_test_of_behaviour_holds_is_said(page: str, sentences: list[str]) -> None:
    text = " ".join((ROOT / "docs" / page).read_text(encoding="utf-8").split())
    assert [sentence for sentence in sentences if sentence not in text] == []


@pytest.fixture(scope="module")
def rendered_api() -> ModuleType:
    """The module that renders the page of `hookline.api`."""
    spec = spec_from_file_location("render_api", ROOT / "docs" / "render_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", hookline.api.__all__)
def test_each_name_of_the_api_has_a_docstring(name: str, rendered_api: ModuleType) -> None:
    text = rendered_api.docstring_of(name)
    assert text.split("\n")[0].rstrip().endswith((".", ":", ",")) or "\n" in text, f"{name}: {text!r}"


def test_the_page_of_the_api_has_each_name_once(rendered_api: ModuleType) -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### `(\w+)`$", page, re.MULTILINE)) == sorted(hookline.api.__all__)
    assert rendered_api.api() in page, "it is stale: tox run -e docs -- -r"
    assert " at 0x" not in page
