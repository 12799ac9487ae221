"""Every flow that ships compiles, has no errors, and passes its cases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hookline.catalog.flow_folder import scan
from hookline.discovery.plugin_loader import load_plugins
from hookline.flows.compiler.compile import compile_flow
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.clocks import SystemClock
from hookline.simulation.case_run import CaseRunner
from hookline.simulation.cases import Case, read_cases

FLOWS = Path(__file__).parents[2] / "flows"
REGISTRY = load_plugins()


def _cases() -> Iterator[tuple[Path, Case]]:
    for path in sorted(FLOWS.glob("*.test.json")):
        for case in read_cases(path).cases:
            yield path.with_name(path.name.replace(".test.json", ".json")), case


def _compiled(path: Path) -> CompiledFlow:
    return compile_flow(path.read_bytes(), REGISTRY, file=str(path))


def test_each_flow_has_its_cases_and_each_case_file_its_flow() -> None:
    flows = {path.stem for path in scan(FLOWS)}
    cases = {path.name.removesuffix(".test.json") for path in FLOWS.glob("*.test.json")}
    assert flows == cases
    assert flows >= {"paypal-to-accounting", "purchase-order-xml", "signup-form", "csv-upload", "github-push"}
    assert flows >= {"shopify-order", "stripe-payment", "slack-command", "file-to-directory", "iot-bulk"}


@pytest.mark.parametrize(("path", "case"), [pytest.param(p, c, id=f"{p.stem}: {c.name}") for p, c in _cases()])
def test_case(path: Path, case: Case, tmp_path: Path) -> None:
    with CaseRunner(REGISTRY, REGISTRY.blob_stores["file"](f"file://{tmp_path}", clock=SystemClock())) as runner:
        result = runner.run(_compiled(path), case, FLOWS)
    assert result.differences == ()
