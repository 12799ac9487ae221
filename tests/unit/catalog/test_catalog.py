"""The catalog serves a folder's flows, and what is wrong with a file takes nothing away that served."""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hookline.catalog import folder_catalog
from hookline.catalog.catalog import CatalogChanges
from hookline.catalog.folder_catalog import FolderCatalog
from hookline.discovery.registry import Registry
from hookline.kernel.errors import FlowInvalid
from hookline.kernel.json import encode

Write = Callable[..., Path]


@pytest.fixture
def catalog(tmp_path: Path, registry: Registry) -> FolderCatalog:
    return FolderCatalog(tmp_path, registry)


@pytest.fixture
def write(tmp_path: Path, flow: Callable[..., dict[str, Any]]) -> Write:
    """Writes a flow that says `vars.n`; or the text that it is given."""

    def of(name: str, n: int = 1, text: bytes | None = None, flow_id: str | None = None, **more: Any) -> Path:
        path = tmp_path / f"{name}.json"
        document = flow({"use": "stop"}, vars={"n": n}, **more) | {"id": flow_id or name}
        # Another file under the same name, as editors and deploys do it; so that its stamp is another, too.
        fresh = tmp_path / f".{name}.new"
        fresh.write_bytes(encode(document) if text is None else text)
        fresh.replace(path)
        return path

    return of


def ids(changes: CatalogChanges) -> dict[str, list[str]]:
    kinds = {
        "added": changes.added,
        "changed": changes.changed,
        "removed": changes.removed,
        "broken": changes.broken,
    }
    return {kind: [entry.id for entry in entries] for kind, entries in kinds.items() if entries}


def serves(catalog: FolderCatalog, flow_id: str) -> int | None:
    flow = catalog.entries[flow_id].flow
    return None if flow is None else flow.vars["n"]


def test_flows_are_found_by_id(catalog: FolderCatalog, write: Write) -> None:
    write("b", 2)
    write("a", 1, state="paused")
    assert ids(catalog.refresh()) == {"added": ["a", "b"]}
    assert list(catalog.entries) == ["a", "b"]
    assert (catalog.entries["a"].state, catalog.entries["b"].state) == ("paused", "active")
    assert not catalog.refresh()


def test_case_files_the_schema_and_others_are_no_flows(catalog: FolderCatalog, write: Write, tmp_path: Path) -> None:
    write("a.test")
    write("flow.schema")
    write(".hidden")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "folder.d").mkdir()
    assert not catalog.refresh()


def test_a_folder_that_does_not_exist_has_no_flows(tmp_path: Path, registry: Registry, write: Write) -> None:
    catalog = FolderCatalog(tmp_path / "later", registry)
    assert not catalog.refresh()
    write("a")
    (tmp_path / "later").symlink_to(tmp_path)
    assert ids(catalog.refresh()) == {"added": ["a"]}


def test_a_changed_file_is_taken_and_its_old_version_stays_at_hand(catalog: FolderCatalog, write: Write) -> None:
    write("a", 1)
    write("b", 1)
    catalog.refresh()
    old = catalog.entries["a"].flow
    assert old is not None
    write("a", 2)
    assert ids(catalog.refresh()) == {"changed": ["a"]}
    assert serves(catalog, "a") == 2
    assert catalog.version("a", old.version) is old
    current = catalog.entries["a"].flow
    assert current is not None
    assert catalog.version("a", current.version) is current
    assert catalog.version("a", "0" * 16) is None


def test_only_files_that_changed_are_read(
    catalog: FolderCatalog, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a", 1)
    write("b", 1)
    catalog.refresh()
    read: list[str] = []

    def note(path: Path) -> bytes:
        read.append(path.name)
        return path.read_bytes()

    monkeypatch.setattr(folder_catalog, "read_file", note)
    write("b", 2)
    catalog.refresh()
    assert read == ["b.json"]


@pytest.mark.rule(11)
def test_a_broken_file_leaves_the_last_good_version_serving(catalog: FolderCatalog, write: Write) -> None:
    write("a", 1)
    catalog.refresh()
    write("a", text=b'{"id": "a",\n "trigger"')
    assert ids(catalog.refresh()) == {"broken": ["a"]}
    entry = catalog.entries["a"]
    assert (serves(catalog, "a"), entry.state) == (1, "active")
    assert [(problem.code, problem.line) for problem in entry.problems] == [("syntax", 2)]
    assert not catalog.refresh()
    write("a", 1)
    assert ids(catalog.refresh()) == {"changed": ["a"]}
    assert not catalog.entries["a"].problems


@pytest.mark.rule(12)
def test_a_file_that_was_never_good_is_broken_and_not_absent(catalog: FolderCatalog, write: Write) -> None:
    write("a", trigger={"use": "webhok"})
    assert ids(catalog.refresh()) == {"added": ["a"], "broken": ["a"]}
    entry = catalog.entries["a"]
    assert (entry.flow, entry.state) == (None, "broken")
    assert [problem.code for problem in entry.errors] == ["unknown_trigger"]
    write("a")
    assert ids(catalog.refresh()) == {"changed": ["a"]}


@pytest.mark.rule(12)
def test_a_flow_whose_plugin_failed_is_broken_with_the_cause(
    tmp_path: Path, broken_registry: Registry, write: Write
) -> None:
    write("a", trigger={"use": "webhook", "with": {"verify": "none"}}, steps=[{"use": "acme.create_order"}])
    catalog = FolderCatalog(tmp_path, broken_registry)
    catalog.refresh()
    (error,) = catalog.entries["a"].errors
    assert error.code == "plugin_failed"
    assert "acme-plugin 1.2" in error.message
    assert "ImportError: no licence" in error.message


@pytest.mark.rule(11)
def test_a_deleted_file_stops_the_flow(catalog: FolderCatalog, write: Write) -> None:
    path = write("a")
    catalog.refresh()
    flow = catalog.entries["a"].flow
    assert flow is not None
    path.unlink()
    assert ids(catalog.refresh()) == {"removed": ["a"]}
    assert not catalog.entries
    # What runs on it goes on.
    assert catalog.version("a", flow.version) is flow


def test_two_files_with_one_id_are_both_rejected_and_both_named(catalog: FolderCatalog, write: Write) -> None:
    write("a", 1)
    write("copy", 2, flow_id="a")
    assert ids(catalog.refresh()) == {"added": ["a"], "broken": ["a"]}
    entry = catalog.entries["a"]
    assert entry.flow is None
    doubled = [problem for problem in entry.problems if problem.code == "duplicate_flow"]
    assert {Path(str(problem.file)).name for problem in doubled} == {"a.json", "copy.json"}
    assert all("a.json" in problem.message and "copy.json" in problem.message for problem in doubled)
    assert all(problem.line == 1 for problem in doubled)


def test_a_copy_takes_nothing_away_that_serves_and_its_removal_repairs_all(
    catalog: FolderCatalog, write: Write
) -> None:
    write("a", 1)
    catalog.refresh()
    copy = write("copy", 2, flow_id="a")
    write("a", 3)
    assert ids(catalog.refresh()) == {"broken": ["a"]}
    assert serves(catalog, "a") == 1
    copy.unlink()
    assert ids(catalog.refresh()) == {"changed": ["a"]}
    assert serves(catalog, "a") == 3
    assert not catalog.entries["a"].problems


def test_a_file_is_named_after_its_flow(catalog: FolderCatalog, write: Write) -> None:
    write("b", flow_id="a")
    catalog.refresh()
    (problem,) = catalog.entries["a"].errors
    assert (problem.code, problem.line) == ("file_name", 1)
    assert "a.json" in problem.remedy


def test_an_id_changed_by_problem_leaves_the_flow_serving(catalog: FolderCatalog, write: Write) -> None:
    write("a", 1)
    catalog.refresh()
    write("a", 2, flow_id="b")
    assert ids(catalog.refresh()) == {"broken": ["a"]}
    assert serves(catalog, "a") == 1


def test_a_file_that_cannot_be_read_is_a_problem(
    catalog: FolderCatalog, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reject(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    write("a")
    monkeypatch.setattr(folder_catalog, "read_file", reject)
    catalog.refresh()
    assert [problem.code for problem in catalog.entries["a"].errors] == ["unreadable"]


def test_a_published_version_is_compiled_once(catalog: FolderCatalog, write: Write) -> None:
    write("a", 1)
    catalog.refresh()
    flow = catalog.entries["a"].flow
    assert flow is not None
    other = FolderCatalog(catalog.directory / "nowhere", catalog._registry)
    assert other.version("a", flow.version) is None
    made = other.compile_published(flow.source)
    assert made.version == flow.version
    assert other.version("a", flow.version) is made


def test_a_published_version_that_cannot_run_now_says_why(tmp_path: Path, catalog: FolderCatalog, write: Write) -> None:
    write("a")
    catalog.refresh()
    flow = catalog.entries["a"].flow
    assert flow is not None
    with pytest.raises(FlowInvalid):
        FolderCatalog(tmp_path, Registry()).compile_published(flow.source)


def test_versions_that_stay_compiled_are_bounded(tmp_path: Path, registry: Registry, write: Write) -> None:
    catalog = FolderCatalog(tmp_path, registry, kept=2)
    versions: list[str] = []
    for n in range(5):
        write("a", n)
        catalog.refresh()
        flow = catalog.entries["a"].flow
        assert flow is not None
        versions.append(flow.version)
    assert [catalog.version("a", version) is not None for version in versions] == [False, False, True, True, True]


@pytest.mark.rule(13)
def test_the_environment_overrides_vars(tmp_path: Path, registry: Registry, write: Write) -> None:
    write("a", 1)
    catalog = FolderCatalog(tmp_path, registry, environment={"HOOKLINE_VARS_A__N": "7"})
    catalog.refresh()
    assert serves(catalog, "a") == 7


def test_a_flow_takes_little_memory(
    tmp_path: Path, catalog: FolderCatalog, flow: Callable[..., dict[str, Any]]
) -> None:
    """A server with ten thousand flows keeps each of them, and most of them wait."""

    def write(numbers: range) -> None:
        for n in numbers:
            note = {"use": "map", "with": {"body": {"id": "$.body.id", "note": f"{n} {{{{ body.time[:10] }}}}"}}}
            stop = {"use": "stop", "when": "{{ body.id == vars.n }}"}
            document = flow(note, stop, vars={"n": n}) | {"id": f"f{n}"}
            (tmp_path / f"f{n}.json").write_bytes(encode(document))

    write(range(5))
    catalog.refresh()  # what all flows share
    write(range(5, 105))
    gc.collect()
    tracemalloc.start()
    try:
        catalog.refresh()
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / 100 < 14_000
