"""The page of `hookline.api`, made from its names, their docstrings and their signatures."""

import ast
import dataclasses
import inspect
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

import hookline.api

#: The groups of the page: each name belongs to the first whose test it passes.
_KINDS: Final = ("Decorators and functions", "Errors", "Classes and protocols", "Values and types")


def api() -> str:
    """Each name of `hookline.api` with its signature, its docstring, and the fields and methods of classes."""
    lines: list[str] = []
    for kind in _KINDS:
        lines += [f"## {kind}", ""]
        for name in sorted(hookline.api.__all__, key=str.lower):
            value = getattr(hookline.api, name)
            if _kind(value) == kind:
                lines += [f"### `{name}`", "", *_described(name, value)]
    return "\n".join(lines).rstrip()


def docstring_of(name: str) -> str:
    """The docstring of a name: of the object, or the text below its assignment for values and types."""
    value = getattr(hookline.api, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        own = value.__doc__ or ""
        generated = dataclasses.is_dataclass(value) and own.startswith(f"{value.__name__}(")
        return "" if generated else inspect.cleandoc(own)
    return _below_assignments().get(name, "")


def _kind(value: Any) -> str:
    if inspect.isclass(value):
        return "Errors" if issubclass(value, BaseException) else "Classes and protocols"
    return "Decorators and functions" if inspect.isfunction(value) else "Values and types"


def _described(name: str, value: Any) -> list[str]:
    lines: list[str] = []
    if inspect.isfunction(value):
        lines += ["```text", f"{name}{_signature(value)}", "```", ""]
    lines += [docstring_of(name), ""]
    if inspect.isclass(value) and not issubclass(value, BaseException):
        parts = [*_fields(value), *_methods(value)]
        lines += [*parts, ""] if parts else []
    return lines


def _signature(function: Any) -> str:
    """The signature as the source has it: the names of types are those that plugins import."""
    tree: Any = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    result = "" if tree.returns is None else f" -> {ast.unparse(tree.returns)}"
    return f"({ast.unparse(tree.args)}){result}"


def _fields(value: type) -> list[str]:
    own = _source(value)
    documented = {} if own is None else _attributes(own)
    if issubclass(value, BaseModel):
        return [f"- `{one}`: {field.description or ''}".rstrip(": ") for one, field in value.model_fields.items()]
    annotated = [one for one in inspect.get_annotations(value) if not one.startswith("_")]
    return [f"- `{one}`: {documented[one]}" if documented.get(one) else f"- `{one}`" for one in annotated]


def _methods(value: type) -> list[str]:
    lines = []
    for one, function in vars(value).items():
        plain = function.fget if isinstance(function, property) else function
        if one.startswith("_") or not inspect.isfunction(inspect.unwrap(plain) if callable(plain) else plain):
            continue
        first = inspect.cleandoc(plain.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
        call = one if isinstance(function, property) else f"{one}()"
        lines.append(f"- `{call}`: {first}" if first else f"- `{call}`")
    return lines


def _source(value: type) -> ast.ClassDef | None:
    try:
        parsed = ast.parse(textwrap.dedent(inspect.getsource(value)))
    except (OSError, TypeError, SyntaxError):
        return None
    first = parsed.body[0]
    return first if isinstance(first, ast.ClassDef) else None


def _attributes(tree: ast.ClassDef | ast.Module) -> dict[str, str]:
    """The texts below the assignments of a class or a module."""
    found: dict[str, str] = {}
    for inner in (one for one in tree.body if isinstance(one, ast.If)):
        found |= _attributes(ast.Module(inner.body, []))
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        target = before.target if isinstance(before, ast.AnnAssign) else None
        if isinstance(before, ast.Assign):
            target = before.targets[0]
        if (
            isinstance(target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            found[target.id] = " ".join(inspect.cleandoc(after.value.value).split())
    return found


def _below_assignments() -> dict[str, str]:
    """The texts below the assignments of values and types, by their names in `hookline.api`."""
    found: dict[str, str] = {}
    for node in ast.parse(Path(hookline.api.__file__).read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        source = import_module(node.module).__file__
        texts = _attributes(ast.parse(Path(source or "").read_text(encoding="utf-8")))
        for one in node.names:
            if one.name in texts:
                found[one.asname or one.name] = texts[one.name]
    return found
