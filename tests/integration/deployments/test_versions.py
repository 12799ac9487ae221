"""Settings that have versions: flows written for older ones go on working, and are rewritten where that is certain."""

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from click.testing import CliRunner
from tests.integration.engine_harness import Harness, fails

from hookline.api import Connector, Context, Duration, FromVars, PollContext, PollItem, PollResult, hookimpl
from hookline.cli.author import fmt as fmt_module
from hookline.cli.main import main
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.authoring.settings_upgrade import upgrade_flow
from hookline.flows.check.check_flow import check_flow
from hookline.kernel.errors import PluginError
from hookline.kernel.json import encode
from hookline.model.access import SYSTEM
from hookline.model.execution import Outcome, State

TRIGGER = {"use": "webhook", "with": {"verify": "none"}}


class Acme:
    """A plugin at a version, whose action has had three kinds of settings."""

    def __init__(self, version: int = 3) -> None:
        self.ordered: list[tuple[str, int, Any]] = []
        self.looked: list[Any] = []
        self.connector = connector = Connector("acme")

        def from_1(article: str, count: int = 1, note: str | None = None) -> dict[str, Any]:
            return {"order": {"sku": article, "quantity": count}, **({} if note is None else {"note": note})}

        def from_2(order: dict[str, Any], note: str = "") -> dict[str, Any]:
            return {**order, "note": note.upper() if note.islower() else note}

        if version == 1:

            @connector.action(name="order", version=1, idempotent=True)
            async def order_1(article: str, count: int = 1, note: str | None = None) -> list[Any]:
                """Order."""
                self.ordered.append((article, count, note))
                return [article, count, note]

        if version == 3:

            @connector.action(version=3, upgrades={1: from_1, 2: from_2}, idempotent=True)
            async def order(
                ctx: Context[None], sku: str, quantity: int = 1, note: str = "", wait: Duration | None = None
            ) -> list[Any]:
                """Order."""
                self.ordered.append((sku, quantity, note))
                return [sku, quantity, note]

        def folder_1(dir: str) -> dict[str, Any]:
            return {"folder": dir, "deep": False}

        @connector.poll(every="1m", version=2, upgrades={1: folder_1})
        async def files(ctx: PollContext[None], cursor: Any, folder: str, deep: bool = True) -> PollResult:
            """Look."""
            self.looked.append((cursor, folder, deep))
            number = (cursor or 0) + 1
            return PollResult([PollItem(str(number), {"n": number})], number)

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        """Acme."""
        return [self.connector]


def registry_of(acme: Acme) -> Registry:
    return load_plugins(extra_plugins=[acme])


@pytest.fixture
def acme() -> Acme:
    return Acme()


@pytest.fixture
def harness(tmp_path: Path, acme: Acme) -> Harness:
    made = Harness(tmp_path)
    made.plugins.append(acme)
    return made


def order(use: str, **settings: Any) -> dict[str, Any]:
    return {"id": "order", "use": use, "with": settings}


@pytest.mark.parametrize(
    ("step", "made"),
    [
        (order("acme.order", sku="$.body", quantity=2), ("a", 2, "")),
        (order("acme.order@3", sku="$.body", quantity=2), ("a", 2, "")),
        (order("acme.order@2", order={"sku": "$.body", "quantity": 4}, note="$.body"), ("a", 4, "A")),
        (order("acme.order@1", article="$.body"), ("a", 1, "")),
        (order("acme.order@1", article="$.body", count="{{ 1 + 2 }}", note="MiXed"), ("a", 3, "MiXed")),
    ],
)
async def test_a_step_has_the_settings_of_its_version(harness: Harness, acme: Acme, step: Any, made: Any) -> None:
    harness.flow("f", [step])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", "a")
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert (await harness.journal(engine, execution_id))["order"].use == step["use"]
    assert acme.ordered == [made]


async def test_what_an_upgrade_function_can_not_do_fails_the_step(harness: Harness) -> None:
    harness.flow("f", [order("acme.order@2", order="$.body", note="x")])
    async with harness.engine() as engine:
        for body, said in (("text", "it must be an object"), ({"quantity": 1}, "it is missing")):
            done = await harness.until(engine, await harness.send(engine, "f", body))
            assert done.error is not None
            assert (done.error.code, said in done.error.message) == ("step.settings", True)


async def test_running_executions_outlive_an_upgrade_of_the_plugin(tmp_path: Path) -> None:
    harness, old, new = Harness(tmp_path), Acme(1), Acme(3)
    harness.plugins.append(old)
    harness.probe.does.update(late=fails(1, retryable=True, retry_after=60))
    late = {"id": "late", "use": "probe.act", "with": {"value": 1}}
    harness.flow("f", [order("acme.order@1", article="a"), late, {**order("acme.order@1", article="b"), "id": "again"}])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", None)
        waiting = await harness.until(engine, execution_id, State.WAITING)
    harness.plugins[:] = [new]
    async with harness.engine() as engine:
        done = await harness.advance_until(engine, execution_id, seconds=60)
        assert (done.outcome, done.flow_version) == (Outcome.COMPLETED, waiting.flow_version)
    assert (old.ordered, new.ordered) == ([("a", 1, None)], [("b", 1, "")])


async def test_an_operators_retry_takes_the_rewritten_flow(harness: Harness, acme: Acme) -> None:
    harness.probe.does.update(bad=fails(1, retryable=False))
    bad = {"id": "bad", "use": "probe.act", "with": {"value": 1}}
    harness.flow("f", [order("acme.order@1", article="a"), bad])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", None)
        failed = await harness.until(engine, execution_id)
        assert failed.state is State.FAILED
    harness.flow("f", [order("acme.order@3", sku="a"), bad])
    async with harness.engine() as engine:
        await engine.operations.retry(execution_id, by=SYSTEM)
        done = await harness.until(engine, execution_id, State.SUCCEEDED)
        assert done.flow_version != failed.flow_version
    assert len(acme.ordered) == 1, "what is done is done, whatever its settings were called"


async def test_a_trigger_keeps_its_cursor_over_versions(harness: Harness, acme: Acme) -> None:
    for use, settings in (
        ("acme.files@1", {"dir": "in", "every": "1h"}),
        ("acme.files@2", {"folder": "in", "every": "1h"}),
        ("acme.files", {"folder": "in", "every": "1h"}),
    ):
        harness.flow("f", [{"use": "log", "with": {"message": "x"}}], trigger={"use": use, "with": settings})
        async with harness.engine() as engine:
            await harness.looked(engine, "f")
        harness.clock.advance(3600)
    assert acme.looked == [(None, "in", False), (1, "in", True), (2, "in", True)]


def found(registry: Registry, *steps: Any, trigger: Any = TRIGGER) -> list[tuple[str, str, str]]:
    document = encode({"id": "f", "trigger": trigger, "steps": list(steps)})
    return [
        (one.pointer, one.code, one.severity)
        for one in check_flow(document, registry).problems
        if one.code != "not_verified"
    ]


def test_check_warnings_on_older_settings_and_says_the_remedy(acme: Acme) -> None:
    registry = registry_of(acme)
    old = order("acme.order@1", article="a")
    assert found(registry, old) == [("/steps/0/use", "older_version", "note")]
    _, problem = check_flow(encode({"id": "f", "trigger": TRIGGER, "steps": [old]}), registry).problems
    assert problem.message == "'acme.order' has settings of version 3, and these are of version 1"
    assert "`hookline fmt --upgrade`" in problem.remedy
    assert found(registry, order("acme.order", sku="a")) == []
    assert found(registry, order("acme.order@3", sku="a")) == []
    poll = {"use": "acme.files@1", "with": {"dir": "in"}}
    assert found(registry, order("acme.order", sku="a"), trigger=poll) == [("/trigger/use", "older_version", "note")]
    # Judged as what they are.
    assert ("/steps/0/with/count", "invalid_value", "error") in found(
        registry, order("acme.order@1", article="a", count="x")
    )
    assert ("/steps/0/with", "unknown_key", "error") in found(registry, order("acme.order@1", sku="a")) or (
        "/steps/0/with/sku",
        "unknown_key",
        "error",
    ) in found(registry, order("acme.order@1", sku="a"))


def test_check_knows_older_settings_that_do_not_say_so(acme: Acme) -> None:
    registry = registry_of(acme)
    document = encode({"id": "f", "trigger": TRIGGER, "steps": [order("acme.order", article="a")]})
    problems = check_flow(document, registry).problems
    assert any(problem.severity == "error" for problem in problems)
    (note,) = [problem for problem in problems if problem.code == "older_version"]
    assert 'write "use": "acme.order@1"' in note.remedy
    assert "unknown_action" in {code for _, code, _ in found(registry, order("acme.order@4", sku="a"))}


@pytest.mark.parametrize(
    ("step", "becomes"),
    [
        (order("acme.order@1", article="$.body.a", count=3), {"sku": "$.body.a", "quantity": 3, "note": ""}),
        (
            order("acme.order@1", article="{{ body.a }}", count={"jsonpath": "$.body.n", "default": 2}, note="low"),
            {"sku": "{{ body.a }}", "quantity": {"jsonpath": "$.body.n", "default": 2}, "note": "LOW"},
        ),
        (
            order("acme.order@2", order={"sku": {"literal": "$.x"}, "quantity": "$.body.n"}),
            {"sku": {"literal": "$.x"}, "quantity": "$.body.n", "note": ""},
        ),
        (order("acme.order@2", order={"sku": "a"}, note={"literal": "Is {{ it }}"}), None),
        (order("acme.order@1", article="a", note="$.body.note"), None),
        (order("acme.order@2", order="$.body"), None),
    ],
)
def test_fmt_rewrites_what_can_be_carried_over(acme: Acme, step: Any, becomes: Any) -> None:
    nested = [{"id": "each", "foreach": "$.body", "steps": [step, {**order("acme.order", sku="a"), "id": "b"}]}]
    document = {"id": "f", "trigger": TRIGGER, "steps": nested}
    made, problems = upgrade_flow(document, registry_of(acme))
    if becomes is None:
        assert made == document
        ((pointer, code),) = [(one.pointer, one.code) for one in problems]
        assert (pointer, code) == ("/steps/0/steps/0/with", "cannot_upgrade")
        return
    assert problems == []
    expected = {**step, "use": "acme.order@3", "with": becomes}
    assert made["steps"][0]["steps"] == [expected, nested[0]["steps"][1]]  # type: ignore[index]  # it is JSON
    assert not [one for one in check_flow(encode(made), registry_of(acme)).problems if one.severity == "error"]


def test_fmt_upgrade_writes_the_file(acme: Acme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hookline.discovery.plugin_loader.load_plugins", lambda: registry_of(acme))
    assert fmt_module.fmt is not None
    good, bad = tmp_path / "flows" / "good.json", tmp_path / "flows" / "bad.json"
    good.parent.mkdir()
    good.write_text(
        json.dumps(
            {
                "id": "good",
                "trigger": {"use": "acme.files@1", "with": {"dir": "in"}},
                "steps": [order("acme.order@1", article="$.body.a")],
            }
        )
    )
    bad.write_text(
        json.dumps({"id": "bad", "trigger": TRIGGER, "steps": [order("acme.order@1", article="a", note="$.body")]})
    )
    done = CliRunner().invoke(main, ["fmt"])
    assert (done.exit_code, "@1" in good.read_text()) == (0, True), "asked for, and not otherwise"
    done = CliRunner().invoke(main, ["fmt", "--upgrade"])
    assert done.exit_code == 1
    assert "depends on the value of an expression" in done.stdout or "depends on the type of" in done.stdout
    written = json.loads(good.read_text())
    assert written["trigger"] == {"use": "acme.files@2", "with": {"folder": "in", "deep": False}}
    assert written["steps"][0]["use"] == "acme.order@3"
    assert "acme.order@1" in bad.read_text()


def test_upgrade_functions_are_complete_and_plain_functions() -> None:
    connector = Connector("acme")

    def from_1(a: str) -> dict[str, Any]:
        return {"b": a}

    async def later(a: str) -> dict[str, Any]:
        return {"b": a}

    async def act(b: str) -> None:
        """Act."""

    for version, upgrades in ((3, {1: from_1}), (None, {1: from_1}), (2, {}), (0, {}), (2, {1: from_1, 2: from_1})):
        with pytest.raises(PluginError, match="each version before it needs one"):
            connector.action(version=version, upgrades=upgrades)(act)
    with pytest.raises(PluginError, match="must not be an async function"):
        connector.action(version=2, upgrades={1: later})(act)  # type: ignore[dict-item]  # what is rejected

    async def careful(a: Annotated[str, FromVars()]) -> None:
        """Act."""

    with pytest.raises(PluginError, match="mark 'a'"):
        connector.action(version=2, upgrades={1: from_1})(careful)
