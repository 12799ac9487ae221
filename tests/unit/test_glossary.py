"""One word for each thing: the words of the glossary are those of the public names, and those ruled out are nowhere."""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from hookline import api, api_storage
from hookline.cli.main import COMMANDS, main
from hookline.model import flow as language
from hookline.server_settings import Settings

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "reference" / "glossary.md"

#: Commands and resources that are no thing of the glossary.
VERBS = {
    *("check", "demo", "deploy", "diff", "fmt", "graph", "login", "logout", "new", "run", "send", "serve"),
    *("start", "test", "backtest", "open"),
}
ORDINARY = {"db", "events", "me", "schema", "storage"}
#: Resources that are asked to do something.
REQUESTS = {"check", "diff", "evaluate", "evaluate-step", "format", "test", "try"}

#: Riddles: sentences with these words have plainer ones.
RIDDLES = ("whoever", "mend", "mended", "mends", "nobody has cared", "aside", "deed", "lent")

#: Beginnings of a docstring or a description whose subject isn't the thing, or that is only a clause.
_BEGINNING = re.compile(r"(?:What|Whether|How|Where|Which|Who|Whom|Whose|Whoever)\b|When\b(?![^.;]*,)")
#: The arguments with which a setting, a command or an action is described to users.
_DESCRIBING = {"description", "help", "short_help", "summary"}
#: The methods of a logger whose first argument is an event.
_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


class Entry(NamedTuple):
    word: str
    meaning: str
    public: tuple[str, ...]
    ruled_out: tuple[str, ...]


def entries() -> list[Entry]:
    """The rows of the glossary."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.*?)\| ?(.*?)\|$", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
    return [
        Entry(word, meaning, tuple(re.findall(r"`([^`]+)`", public)), tuple(re.findall(r"[^,]+", ruled_out.strip())))
        for word, meaning, public, ruled_out in rows
        if word not in ("word", "---")
    ]


ENTRIES = [entry._replace(ruled_out=tuple(one.strip() for one in entry.ruled_out)) for entry in entries()]


# --- the words of the glossary are those in public --------------------------------------------------------------------


@cache
def resources() -> frozenset[str]:
    """The paths of the admin API, without `/api/v1`."""
    found: set[str] = set()
    for path in (ROOT / "engine" / "hookline" / "service").rglob("*.py"):
        found |= set(re.findall(r'\.(?:get|put|post|delete|route)\(\s*"(/[^"]+)"', path.read_text(encoding="utf-8")))
    return frozenset(found)


@cache
def keys() -> frozenset[str]:
    """The keys of a flow's document."""
    models = [language.FlowDocument, language.TriggerDocument, language.ActionStep, *language.BLOCKS.values()]
    return frozenset(field.alias or name for model in models for name, field in model.model_fields.items())


def is_command(words: list[str]) -> bool:
    command: click.Command | None = main
    for word in words:
        if not isinstance(command, click.Group):
            return False
        command = command.get_command(click.Context(command), word)
    return command is not None


def is_public(name: str) -> bool:
    """Return true if the code has a public name of the column."""
    if name.startswith("hookline "):
        return is_command(name.split()[1:])
    if name.startswith("/"):
        return name in resources()
    if name.startswith('"'):
        return name.strip('"') in keys()
    return name in {*api.__all__, *api_storage.__all__, *Settings.model_fields}


def test_the_glossary_has_a_sentence_for_each_of_some_sixty_words() -> None:
    words = [entry.word for entry in ENTRIES]
    assert 40 <= len(words) == len(set(words)) <= 64
    assert [entry.word for entry in ENTRIES if not re.fullmatch(r"[A-Z][^.]+(?:\.\S[^.]*)*\.", entry.meaning)] == []


def test_each_entry_has_a_word_that_is_not_used_for_its_thing_and_no_two_the_same() -> None:
    assert [entry.word for entry in ENTRIES if not entry.ruled_out] == []
    assert sorted(set(RULED_OUT)) == sorted(RULED_OUT)


def test_no_word_of_the_glossary_is_ruled_out() -> None:
    named = [text for entry in ENTRIES for text in (entry.word, entry.meaning) if _RULED_OUT.search(text)]
    assert named == []


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.word)
def test_each_name_of_the_glossary_is_public(entry: Entry) -> None:
    assert [name for name in entry.public if not is_public(name)] == []


@pytest.mark.parametrize("name", ["hookline mistakes", "/refusals", '"nodes"', "Trial"])
def test_a_name_that_nobody_has_is_noticed(name: str) -> None:
    assert not is_public(name)


def test_commands_and_resources_are_named_by_words_of_the_glossary() -> None:
    words = {entry.word for entry in ENTRIES}
    known = {*words, *(f"{word.replace(' ', '-')}s" for word in words), *ORDINARY, "rejected", "stats"}
    named = {path.split("/")[1] for path in resources() if not re.search(r"[.:]", path)}
    probes = {"healthz", "readyz", "metrics"}
    pages = {"hook", "id", "oauth", "problems", "resume"}
    assert named - known - probes - pages - REQUESTS == set()
    assert set(COMMANDS) - known - VERBS == set()


# --- words that are ruled out -----------------------------------------------------------------------------------------


class Found(NamedTuple):
    area: str
    place: str
    text: str


def area_of(path: Path) -> str:
    """The room, the plugin or the folder of docs that a file belongs to."""
    parts = path.relative_to(ROOT).parts
    if parts[0] == "engine":
        return parts[2] if len(parts) > 3 else "hookline"
    return parts[1] if parts[0] == "plugins" else "/".join(parts[:-1])


def spelt(word: str) -> str:
    """A pattern for a word, in singular and plural, and with any space between its parts."""
    return r"\b" + r"\s+".join(re.escape(part) for part in word.split()) + r"(?:s|es)?\b"


RULED_OUT = [word for entry in ENTRIES for word in entry.ruled_out] + list(RIDDLES)
_RULED_OUT = re.compile("|".join(spelt(word) for word in RULED_OUT), re.IGNORECASE)


def words_of(identifier: str) -> str:
    """An identifier as words: `sealKey`, `seal_key` and `SealKey` are `seal key`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_+|-", " ", identifier).strip().lower()


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for folder in ("engine", "plugins"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" in path.parts:  # they are history
                continue
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def defined(node: ast.AST) -> Iterator[str]:
    """The names that a node gives to something: names of libraries that it uses are none of ours."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.arg():
            yield node.arg
        case ast.Name(ctx=ast.Store()):
            yield node.id
        case ast.Attribute(ctx=ast.Store()):
            yield node.attr


def pages() -> list[Path]:
    """What users and developers read: the documentation, the news, the flows, and the texts of the console."""
    texts = ROOT / "plugins" / "hookline_console" / "web" / "src" / "texts"
    flows = [*ROOT.glob("flows/*.json"), *ROOT.glob("tests/acceptance/flows/*.json")]
    return sorted(
        [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("changes/*.md"), *texts.glob("*.ts"), *flows]
    )


@cache
def ruled_out() -> list[Found]:
    found: list[Found] = []
    for path in pages():
        if path != GLOSSARY:
            text = path.read_text(encoding="utf-8")
            for match in _RULED_OUT.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                found.append(Found(area_of(path), f"{path.relative_to(ROOT)}:{line}", match[0]))
    for path, tree in sources():
        if match := _RULED_OUT.search(words_of(path.stem)):
            found.append(Found(area_of(path), str(path.relative_to(ROOT)), match[0]))
        for node in ast.walk(tree):
            texts = [words_of(name) for name in defined(node)]
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            for text in texts:
                for match in _RULED_OUT.finditer(text):
                    line = node.lineno + text.count("\n", 0, match.start())  # type: ignore[attr-defined]  # they have it
                    found.append(Found(area_of(path), f"{path.relative_to(ROOT)}:{line}", match[0]))
    return found


def constant_text(node: ast.expr) -> str | None:
    """The text that an expression begins with, as far as it is written there."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=[first, *_]):
            return constant_text(first)
        case ast.BinOp(op=ast.Add() | ast.Mod(), left=left):
            return constant_text(left)
        case ast.IfExp(body=chosen):
            return constant_text(chosen)
    return None


def descriptive_texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The docstrings and descriptions that belong to a node, with their lines."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(node, documented) and (docstring := ast.get_docstring(node)) is not None:
        yield getattr(node, "lineno", 1), docstring
    if isinstance(node, ast.ClassDef | ast.Module):
        # An attribute's docstring is the text behind it.
        for before, after in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(before, ast.Assign | ast.AnnAssign)
                and isinstance(after, ast.Expr)
                and (text := constant_text(after.value)) is not None
            ):
                yield after.lineno, text
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg in _DESCRIBING and (text := constant_text(keyword.value)) is not None:
                yield keyword.value.lineno, text


def odd_beginnings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The first lines of docstrings and descriptions that don't begin with the thing."""
    for node in ast.walk(tree):
        for line, text in descriptive_texts(node):
            if _BEGINNING.match(text):
                yield line, text.partition("\n")[0][:60]


@cache
def beginnings() -> list[Found]:
    return [
        Found(area_of(path), f"{path.relative_to(ROOT)}:{line}", text)
        for path, tree in sources()
        for line, text in odd_beginnings(tree)
    ]


def keys_of_log_events(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The log events that are keys such as `file.lost`; an event is a sentence."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=level), args=[ast.Constant(value=str(event)), *_]):
                if level in _LEVELS and re.fullmatch(r"\w+(?:\.\w+)+", event):
                    yield node.lineno, event


def test_no_text_and_no_name_has_a_word_that_the_glossary_rules_out() -> None:
    assert list(ruled_out()) == []


def test_docstrings_and_descriptions_begin_with_the_thing() -> None:
    assert list(beginnings()) == []


@pytest.mark.parametrize(
    "source",
    [
        'def f():\n    """Which one is meant."""',
        'size = 1\n"""How large it is."""',
        'class A:\n    """When it was made."""',
        "Field(description='Whether ' 'it runs.')",
        "click.option('--wait', help='How long to wait.')",
        "action(summary=f'Where {name} is.')",
        "Field(description=('Who sends.' if few else 'The senders.'))",
    ],
)
def test_a_beginning_that_is_not_the_thing_is_noticed(source: str) -> None:
    assert list(odd_beginnings(ast.parse(source))) != []


@pytest.mark.parametrize(
    "source",
    [
        "Field(description='The time for which keys are remembered.')",
        "Field(description='When the flow ends, the sender gets its last body.')",
        "call(title='How it works')",
    ],
)
def test_a_sentence_with_a_subject_is_not_noticed(source: str) -> None:
    assert list(odd_beginnings(ast.parse(source))) == []


def test_log_events_are_sentences() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {event}"
        for path, tree in sources()
        for line, event in keys_of_log_events(tree)
    ]
    assert found == []


def test_a_log_event_that_is_a_key_is_noticed() -> None:
    tree = ast.parse("log.warning('a file is lost')\nlog.warning('file.lost', id=1)")
    assert list(keys_of_log_events(tree)) == [(2, "file.lost")]


@pytest.mark.parametrize("text", ["It is refused.", "two mistakes", words_of("sealed_key"), words_of("TrialRun")])
def test_a_word_that_is_ruled_out_is_noticed(text: str) -> None:
    assert _RULED_OUT.search(text)


# --- tests, the scripts of the docs, and the console's front end ------------------------------------------------------

#: The usual words for a connection that no server accepts.
_NETWORK = re.compile("connection refused|refused connection")


def scripts() -> list[Path]:
    """The Python files outside the packages, without this one, which names the words."""
    found = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").glob("*.py")]
    return sorted(path for path in found if path != Path(__file__))


def front_end() -> list[Path]:
    folder = ROOT / "plugins" / "hookline_console" / "web" / "src"
    return sorted([*folder.rglob("*.ts"), *folder.rglob("*.tsx")])


def named(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The names that a module gives to something, as words, and its docstrings, each with its line."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 1)
        yield from ((line, words_of(name)) for name in defined(node))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield line, ast.get_docstring(node) or ""


def ruled_out_in(texts: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    """The words that are ruled out, each with the line of its text."""
    return [(line, match[0]) for line, text in texts for match in _RULED_OUT.finditer(_NETWORK.sub("", text))]


def test_no_path_of_tests_or_of_the_front_end_has_a_word_that_the_glossary_rules_out() -> None:
    paths = [path.relative_to(ROOT) for path in (*scripts(), *front_end())]
    assert [str(path) for path in paths if _RULED_OUT.search(words_of(re.sub(r"[/.]", " ", str(path))))] == []


def test_no_name_in_tests_has_a_word_that_the_glossary_rules_out() -> None:
    trees = {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in scripts()}
    assert [f"{path}:{line}: {word}" for path, tree in trees.items() for line, word in ruled_out_in(named(tree))] == []


def test_no_text_of_the_front_end_has_a_word_that_the_glossary_rules_out() -> None:
    """Its names, comments and texts: all of each file."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in front_end()
        for line, word in ruled_out_in(enumerate(map(words_of, path.read_text(encoding="utf-8").splitlines()), 1))
    ]
    assert found == []


def test_a_name_with_a_word_that_is_ruled_out_is_noticed() -> None:
    module = '"""It is refused."""\nclass TrialRun:\n    def test_a_mistake(self, aside): deed = "deed"'
    assert ruled_out_in(named(ast.parse(module))) == [
        (1, "refused"),
        (2, "trial"),
        (3, "mistake"),
        (3, "aside"),
        (3, "deed"),
    ]
    assert ruled_out_in([(1, "a refused connection")]) == []
