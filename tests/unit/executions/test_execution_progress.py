"""The context of an execution is read-only, and only one file writes its progress."""

import ast
from pathlib import Path

import pytest

import hookline.executions
from hookline.executions.execution_context import ExecutionContext
from hookline.executions.execution_progress import ExecutionProgress

ROOM = Path(hookline.executions.__file__).parent


def test_the_context_is_read_only() -> None:
    assert ExecutionContext.__struct_config__.frozen


@pytest.mark.parametrize("file", sorted(ROOM.rglob("*.py")), ids=lambda file: str(file.relative_to(ROOM)))
def test_only_one_file_writes_progress(file: Path) -> None:
    stored = [
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del)
    ]
    for target in stored:
        assert "progress" not in ast.unparse(target.value), f"line {target.lineno}"


def test_progress_has_no_writable_attribute() -> None:
    progress = ExecutionProgress(lambda: None)  # type: ignore[arg-type,return-value]
    for name in dir(progress):
        if not name.startswith("_") and not callable(getattr(progress, name)):
            with pytest.raises(AttributeError):
                setattr(progress, name, None)
