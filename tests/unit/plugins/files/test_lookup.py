"""`lookup`: what a table says of a key, in the flow or in a file."""

import asyncio
import gc
import json
import os
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner
from tests.unit.plugins.action_calls import call

from hookline.api import Message, StepError
from hookline.cli.main import main
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.check.check_flow import check_flow
from hookline.plugin_host.resources import EngineResources
from hookline.testing.contracts.connector import ConnectorContract
from hookline_files.connectors import lookup as connector
from hookline_files.lookup_actions import lookup_tables

COUNTRIES = "code,name,zone\nDE,Germany,eu\nGB,United Kingdom,world\n7,Seven,\n"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


class Bench:
    def __init__(self, registry: Registry, root: Path | None) -> None:
        self._action = registry.actions["lookup"]
        self.resources = EngineResources()
        self.root = root

    async def __call__(self, *, message: Message | None = None, exact: bool = False, **settings: Any) -> Any:
        context = {"message": message or Message(), "resources": self.resources, "exact": exact}
        return await call(self._action, settings, files_root=self.root, **context)

    async def fails(self, **settings: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            await self(**settings)
        return caught.value

    def write(self, name: str, content: str | bytes) -> Path:
        assert self.root is not None
        place = self.root / name
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        # As a file that has been there for a while.
        os.utime(place, ns=(10**18, 10**18 + len(content)))
        return place


@pytest.fixture
async def look(registry: Registry, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(registry, tmp_path)
    yield bench
    await bench.resources.close()


async def test_a_table_of_the_flow_is_an_object_or_rows(look: Bench) -> None:
    assert await look(key="DE", table={"DE": "Germany", "GB": None}) == "Germany"
    assert await look(key="GB", table={"DE": "Germany", "GB": None}) is None
    rows = [{"code": "DE", "name": "Germany", "tax": 19}, {"code": 7, "name": "Seven", "tax": 0}]
    assert await look(key="DE", table=rows) == rows[0]
    assert await look(key=7, table=rows, gives="name") == "Seven"
    assert await look(key="Seven", table=rows, by="name", gives=["tax", "code"]) == {"tax": 0, "code": 7}
    assert await look(key="DE", table={"DE": {"name": "Germany"}}, gives="name") == "Germany"


async def test_several_keys_give_several_values(look: Bench) -> None:
    assert await look(key=["b", "a", "b"], table={"a": 1, "b": 2}) == [2, 1, 2]
    assert await look(key=[], table={"a": 1}) == []
    assert await look(key=["a", "x"], table={"a": 1}, default=None) == [1, None]


async def test_what_is_not_there_is_an_error_or_the_default(look: Bench) -> None:
    error = await look.fails(key="germny", table={"germany": 1, "france": 2})
    assert (error.error_code, error.retryable) == ("lookup.missing", False)
    assert error.message == "the table has no 'germny'; did you mean 'germany'?"
    assert "`default`" in (await look.fails(key="x", table={"germany": 1})).message
    assert await look(key="x", table={}, default={"none": True}) == {"none": True}


async def test_letters_may_be_small_or_capital(look: Bench) -> None:
    assert await look(key="STRASSE", table={"straße": 1}, ignore_case=True) == 1
    assert (await look.fails(key="STRASSE", table={"straße": 1})).error_code == "lookup.missing"
    twice = await look.fails(key="a", table={"a": 1, "A": 2}, ignore_case=True)
    assert "'A' more than once" in twice.message


@pytest.mark.parametrize("key", [None, True, {"a": 1}, [["a"]], [None]])
async def test_a_key_is_a_text_or_a_number(look: Bench, key: Any) -> None:
    assert (await look.fails(key=key, table={"a": 1}, default=0)).error_code == "lookup.key"


async def test_a_key_that_is_a_fraction_is_its_text(look: Bench) -> None:
    assert await look(key=1.5, table={"1.5": "a"}) == "a"
    assert await look(key=Decimal("1.50"), table={"1.50": "a"}) == "a"


async def test_the_result_may_stand_in_the_body(look: Bench) -> None:
    body = {"code": "DE", "total": 1}
    made = await look(key="DE", table={"DE": "Germany"}, into="country", message=Message(body))
    assert made == {"code": "DE", "total": 1, "country": "Germany"}
    assert "country" not in body
    assert (await look.fails(key="DE", table={"DE": 1}, into="a", message=Message([]))).error_code == "lookup.into"


async def test_a_file_is_a_table(look: Bench) -> None:
    look.write("countries.csv", COUNTRIES)
    look.write("countries.tsv", COUNTRIES.replace(",", "\t"))
    look.write("latin.txt", COUNTRIES.replace("Germany", "Ägypten").replace(",", ";").encode("windows-1252"))
    look.write("countries.json", json.dumps({"DE": {"name": "Germany"}}))
    look.write("rows.json", json.dumps([{"code": "DE", "rate": 0.1}, {"code": 7}]))
    assert await look(key="DE", file="countries.csv") == {"code": "DE", "name": "Germany", "zone": "eu"}
    assert await look(key=7, file="countries.csv", gives="name") == "Seven"
    assert await look(key="Germany", file="countries.csv", by="name", gives="code") == "DE"
    assert await look(key="GB", file="countries.tsv", gives=["zone"]) == {"zone": "world"}
    latin = await look(key="DE", file="latin.txt", delimiter=";", encoding="windows-1252", gives="name")
    assert latin == "Ägypten"
    assert await look(key="DE", file="countries.json", gives="name") == "Germany"
    assert await look(key="DE", file="rows.json", gives="rate") == 0.1
    assert await look(key="DE", file="rows.json", gives="rate", exact=True) == Decimal("0.1")
    look.write("table", COUNTRIES)
    assert await look(key="DE", file="table", format="csv", gives="name") == "Germany"
    assert (await look.fails(key="DE", file="table")).error_code == "lookup.format"


async def test_a_file_is_read_once_and_again_when_it_has_changed(look: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    parsed = lookup_tables._parsed

    def counted(data: bytes, shown: str, reading: lookup_tables.Reading) -> lookup_tables.Index:
        reads.append(shown)
        return parsed(data, shown, reading)

    monkeypatch.setattr(lookup_tables, "_parsed", counted)
    look.write("a.csv", "k,v\na,1\n")
    assert await asyncio.gather(*(look(key="a", file="a.csv", gives="v") for _ in range(20))) == ["1"] * 20
    assert len(reads) == 1
    look.write("a.csv", "k,v\na,12\n")
    assert await look(key="a", file="a.csv", gives="v") == "12"
    assert len(reads) == 2


async def test_a_file_that_has_just_changed_may_change_again_unseen(look: Bench) -> None:
    assert look.root is not None
    place = look.root / "a.csv"
    place.write_text("k,v\na,1\n")
    times = place.stat()
    assert await look(key="a", file="a.csv", gives="v") == "1"
    with place.open("r+") as file:
        file.write("k,v\na,2\n")
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert await look(key="a", file="a.csv", gives="v") == "2"


async def test_a_file_that_changes_while_it_is_read_is_read_anew(look: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    place = look.write("a.csv", "k,v\na,1\n")
    looked, changes = lookup_tables._look, 3

    def looks(place: Path) -> Any:
        nonlocal changes
        changes -= 1
        if changes == 0:
            look.write("a.csv", "k,v\na,22\n")
        return looked(place)

    monkeypatch.setattr(lookup_tables, "_look", looks)
    assert await look(key="a", file="a.csv", gives="v") == "22"
    del place

    def always(place: Path) -> Any:
        os.utime(place)
        return looked(place)

    monkeypatch.setattr(lookup_tables, "_look", always)
    error = await look.fails(key="a", file="a.csv", gives="v")
    assert (error.error_code, error.retryable) == ("lookup.content", True)


async def test_tables_that_were_not_used_for_long_go(look: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup_tables, "_MOST_KEPT", 100)
    for name in ("a.csv", "b.csv", "c.csv"):
        look.write(name, f"k,v\na,{name}" + " " * 30)
        assert (await look(key="a", file=name, gives="v")).strip() == name
    kept = look.resources.get(lookup_tables.Tables)._kept
    assert [place.name for place, _ in kept] == ["b.csv", "c.csv"]
    monkeypatch.setattr(lookup_tables, "_MOST_TABLES", 1)
    await look(key="a", file="a.csv")
    assert [place.name for place, _ in kept] == ["a.csv"]


async def test_files_that_are_not_there_leave_nothing_behind(look: Bench) -> None:
    for number in range(20):
        await look.fails(key="a", file=f"{number}.csv")
    # Frames of errors have held the locks; a thread may hold the last of them still.
    gc.collect()
    kept = look.resources.get(lookup_tables.Tables)
    assert len(kept._kept) == 0
    assert len(kept._reading) <= 2


@pytest.mark.parametrize(
    ("name", "content", "code", "says"),
    [
        ("a.csv", "k,v\na,1\nb\n", "lookup.content", "line 3 has 1 values, but there are 2 columns"),
        ("a.csv", "k,v\na,1\na,2\n", "lookup.content", "has 'a' more than once"),
        # The rows that follow aren't made.
        ("a.csv", "k,v\na,1\na,2\nb\n", "lookup.content", "has 'a' more than once"),
        ("a.csv", "k,k\na,1\n", "lookup.content", "needs a name of its own"),
        ("a.csv", 'k,v\na,"1\n', "lookup.content", "line 2"),
        ("a.csv", b"k,v\na,\xff\n", "lookup.content", "byte 7 is not utf-8"),
        ("a.json", "{", "lookup.content", "is not JSON"),
        ("a.json", "[1]", "lookup.content", "is not a table"),
        ("a.json", '[{"k": "a"}, {}]', "lookup.content", "row 2 has no column 'k'"),
        ("a.json", '[{"k": null}]', "lookup.content", "neither a text nor a number"),
        ("a.json", '{"a": 1}', "lookup.column", "a value under 'a', not a row with 'v'"),
        ("a.json", '{"a": {"w": 1}}', "lookup.column", "has no column 'v' under 'a'; it has w"),
        ("a.csv", "", "lookup.missing", "has no 'a'"),
    ],
)
async def test_a_file_that_is_no_table_is_named(look: Bench, name: str, content: Any, code: str, says: str) -> None:
    look.write(name, content)
    error = await look.fails(key="a", file=name, gives="v")
    assert error.error_code == code
    assert says in error.message
    assert name in error.message


async def test_a_file_stays_under_its_folder(look: Bench, registry: Registry, tmp_path: Path) -> None:
    look.root = tmp_path / "files"
    look.root.mkdir()
    (tmp_path / "secret.json").write_text('{"a": 1}')
    (look.root / "link.json").symlink_to(tmp_path / "secret.json")
    (look.root / "folder.json").mkdir()
    assert (await look.fails(key="a", file="../secret.json")).error_code == "file.path"
    assert (await look.fails(key="a", file=str(tmp_path / "secret.json"))).error_code == "file.path"
    for name in ("link.json", "folder.json", "nothing.json"):
        assert (await look.fails(key="a", file=name)).error_code == "file.system"
    look.root = None
    assert (await look.fails(key="a", file="a.json")).error_code == "file.no_root"


@pytest.mark.rule(16)
@pytest.mark.parametrize("end", ["", "\n", "\r"])
async def test_a_line_that_is_too_long_is_rejected(look: Bench, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setattr(lookup_tables, "LONGEST", 10)
    look.write("a.csv", f"k,v{end or chr(10)}a,123456{end}b,1234567890{end}")
    error = await look.fails(key="a", file="a.csv")
    assert error.error_code == "lookup.content"
    assert "more than 10 characters" in error.message


async def test_a_file_that_is_too_large_is_rejected(look: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup_tables, "LARGEST", 10)
    look.write("a.csv", "k,v\na,1\nb,2\n")
    assert (await look.fails(key="a", file="a.csv")).error_code == "lookup.size"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"key": "a"}, "both are missing"),
        ({"key": "a", "table": {"a": 1}, "file": "a.csv"}, "give either `file` or `table`, not both"),
        ({"table": {"a": 1}}, "key"),
        ({"key": "a", "table": 1}, "table"),
        ({"key": "a", "table": [1]}, "table"),
        ({"key": "a", "file": "a.csv", "delimiter": ";;"}, "delimiter"),
        ({"key": "a", "file": "a.csv", "encoding": "utf-9"}, "is not a text encoding"),
        ({"key": "a", "file": "a.csv", "format": "xml"}, "format"),
        ({"key": "a", "file": "a.csv", "column": "b"}, "column"),
    ],
)
def test_the_checker_finds_what_can_not_work(registry: Registry, settings: dict[str, Any], says: str) -> None:
    step = {"id": "a", "use": "lookup", "with": settings}
    flow = {"id": "f", "trigger": {"use": "manual"}, "steps": [step]}
    errors = [
        one for one in check_flow(json.dumps(flow).encode(), registry, file="f").problems if one.severity == "error"
    ]
    assert len(errors) >= 1
    assert any(says in f"{one.pointer} {one.message} {one.remedy}" for one in errors), errors


@pytest.mark.parametrize(
    "settings",
    [
        {"key": "$.body.a", "table": "$.vars.table"},
        {"key": "$.body.a", "table": "$.body.table", "default": None},
        {"key": "{{ body.a }}", "file": "{{ body.b }}.csv"},
        {"key": {"literal": "$.a"}, "file": "a.csv"},
    ],
)
def test_the_checker_takes_what_is_not_known_before(registry: Registry, settings: dict[str, Any]) -> None:
    step = {"id": "a", "use": "lookup", "with": settings}
    flow = {"id": "f", "trigger": {"use": "manual"}, "vars": {"table": {"a": 1}}, "steps": [step]}
    assert [
        one for one in check_flow(json.dumps(flow).encode(), registry, file="f").problems if one.severity == "error"
    ] == []


def test_a_table_of_the_flow_is_looked_into_where_flows_are_tested(tmp_path: Path) -> None:
    step = {"id": "a", "use": "lookup", "with": {"key": "$.body", "table": "$.vars.names"}}
    flow = {"id": "f", "trigger": {"use": "manual"}, "vars": {"names": {"DE": "Germany"}}, "steps": [step]}
    (tmp_path / "f.json").write_text(json.dumps(flow))
    case = {"name": "all", "input": {"body": "DE"}, "expect": {"outcome": "completed", "body": "Germany", "calls": []}}
    (tmp_path / "f.test.json").write_text(json.dumps({"cases": [case]}))
    ran = CliRunner().invoke(main, ["test", str(tmp_path / "f.json")])
    assert ran.exit_code == 0, ran.output


class TestContract(ConnectorContract):
    connector = connector
    calls: ClassVar[dict[str, dict[str, Any]]] = {"lookup": {"key": "a", "table": {"a": 1}}}
    level = "gold"
