"""A block of the flow language has a part on each floor, and the parts know of each other."""

from hookline.executions.blocks import run_steps as running
from hookline.flows import blocks as compiling
from hookline.flows.blocks.step_type import CompiledStep
from hookline.model import flow as document


def test_each_kind_of_step_has_a_document_a_compiler_and_a_runner() -> None:
    assert list(document.BLOCKS) == list(compiling.BLOCKS)
    kinds = {one.__name__ for one in CompiledStep.__subclasses__()}
    assert {one.__name__ for one in running.STEP_RUNNERS} == kinds
    assert len(kinds) == 1 + len(compiling.BLOCKS) + len(compiling.USES)


def test_each_block_is_among_the_steps_that_a_document_takes() -> None:
    """The union is written out, for type checkers; a block that is missing there would be rejected by its own name."""
    taken = {reference["$ref"].rpartition("/")[2] for reference in _steps()["items"]["oneOf"]}
    assert taken == {step.__name__ for step in document.STEPS}


def _steps() -> dict[str, dict[str, list[dict[str, str]]]]:
    steps: dict[str, dict[str, list[dict[str, str]]]] = document.FlowDocument.model_json_schema()["properties"]["steps"]
    return steps
