"""Envelopes are created in one module."""

import ast
from pathlib import Path

import hookline
import hookline.intake.envelope_creation
import hookline.model.message

_ENGINE = Path(hookline.__file__).parent
#: The factory, the decoder of stored envelopes, and the factory of the tests.
_ALLOWED = {
    Path(hookline.intake.envelope_creation.__file__),
    Path(hookline.model.message.__file__),
    _ENGINE / "testing" / "envelopes.py",
}


def _creates_envelopes(file: Path) -> bool:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return any(
        (isinstance(function, ast.Name) and function.id == "Envelope")
        or (isinstance(function, ast.Attribute) and function.attr == "Envelope")
        for function in called
    )


def test_only_the_factory_creates_envelopes() -> None:
    creating = {file for file in _ENGINE.rglob("*.py") if _creates_envelopes(file)}
    assert creating == _ALLOWED


def test_each_new_envelope_says_whether_its_numbers_are_exact() -> None:
    """Otherwise the version that runs would convert the numbers of each message."""
    tree = ast.parse(Path(hookline.intake.envelope_creation.__file__).read_text(encoding="utf-8"))
    made = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Envelope"
    ]
    assert len(made) > 3
    assert [call.lineno for call in made if "exact" not in {keyword.arg for keyword in call.keywords}] == []
