"""Rule: expressions read paths that exist."""

from collections.abc import Iterator

from hookline.flows.check.type_analysis import Compiled, FlowAnalysis
from hookline.flows.types.path_lookup import PathFound, PathMissing
from hookline.flows.types.shape import Record, Shape, in_words
from hookline.flows.types.type_scope import NO_HEADERS, TypeScope
from hookline.kernel.errors import Problem
from hookline.kernel.suggestions_and_counts import question
from hookline.sdk.mappers import Reference

_SHOWN = 8
"""The most keys that a remedy lists."""


def path_problems(walked: FlowAnalysis) -> Iterator[Problem]:
    """Yield errors for paths that can't exist, and warnings for paths that may not exist."""
    seen: set[Problem] = set()
    for compiled, scope in walked.expressions:
        for problem in _of(compiled, scope):
            if problem not in seen:
                seen.add(problem)
                yield problem


def _of(compiled: Compiled, scope: TypeScope) -> Iterator[Problem]:
    required = frozenset(compiled.references)
    for pointer, expression in compiled.parts():
        for reference in expression.references:
            # An expression doesn't know the default beside it.
            optional = reference.optional or reference not in required
            problem = _problem(Reference(reference.path, optional), pointer, scope)
            if problem is not None:
                yield problem


def _problem(reference: Reference, pointer: str, scope: TypeScope) -> Problem | None:
    path, optional = reference.path, reference.optional
    if path[:1] == ("steps",) and (len(path) < 2 or path[1] not in scope.steps):
        return None
    if len(path) > 1 and path[0] == "vars":
        # The compiler has checked that the var exists.
        return None
    found = scope.find(path)
    if isinstance(found, PathMissing):
        return _nothing_there(path, found, pointer, optional=optional)
    if found.doubtful is not None:
        return _probably_not(path, found.doubtful, pointer)
    if optional or any(path[:length] in scope.guarded for length in range(1, len(path) + 1)):
        return None
    if path[0] == "steps" and not scope.steps[str(path[1])].required:
        return Problem(
            f"step {path[1]!r} may not have run",
            pointer,
            "step_may_not_run",
            f'give a default: {{{{ steps.{path[1]} | default(none) }}}}, or "default" beside "jsonpath"',
            "warning",
            unknown=path_text(path),
        )
    return _left_out(path, found, pointer)


def _nothing_there(path: tuple[str | int, ...], lost: PathMissing, pointer: str, *, optional: bool) -> Problem:
    container = lost.container
    remedy = _remedy(path, lost)
    return Problem(
        f"{path_text(path)}: {_name(path, lost.at, container)} has no {_key(path[lost.at])}"
        + (", so the default is always used" if optional else ""),
        pointer,
        "no_such_key",
        remedy,
        "warning" if optional else "error",
        unknown=path_text(path[: lost.at + 1]),
        similar=_similar(path, lost),
    )


def _probably_not(path: tuple[str | int, ...], lost: PathMissing, pointer: str) -> Problem:
    otherwise = "add it to the schema, or to the sample of a case, if it may exist"
    near = f"{question(lost.near)} Otherwise {otherwise}" if lost.near is not None else otherwise
    return Problem(
        f"{path_text(path)}: nothing declares that {_name(path, lost.at, lost.container)} has {_key(path[lost.at])}",
        pointer,
        "doubtful_key",
        near,
        "warning",
        unknown=path_text(path[: lost.at + 1]),
        similar=_similar(path, lost),
    )


def _left_out(path: tuple[str | int, ...], found: PathFound, pointer: str) -> Problem | None:
    if found.left_out is None:
        return None
    return Problem(
        f"{path_text(path[: found.left_out + 1])} may be missing: its type doesn't require it",
        pointer,
        "may_be_missing",
        "give a `default`, or make it required in the schema",
        "warning",
        unknown=path_text(path),
    )


def _remedy(path: tuple[str | int, ...], lost: PathMissing) -> str:
    container = lost.container
    if lost.near is not None:
        return question(lost.near)
    if container == NO_HEADERS:
        return "a step's result has no headers; the headers of the request are in trigger.headers"
    if isinstance(container, Record) and path[lost.at] == "error" and path[0] == "steps":
        return 'the result only has an error if the step says "on_error": "continue"'
    if isinstance(container, Record):
        keys = list(container.fields)
        more = ", …" if len(keys) > _SHOWN else ""
        return f"it has {', '.join(keys[:_SHOWN])}{more}" if keys else "it has no keys"
    return "read the value itself, or another path"


def _similar(path: tuple[str | int, ...], lost: PathMissing) -> str | None:
    """The path that was probably meant instead of the one to the wrong key."""
    if lost.near is not None:
        return path_text((*path[: lost.at], lost.near))
    if lost.container == NO_HEADERS and path[0] == "headers":
        return f"trigger.{path_text(path[: lost.at + 1])}"
    return None


def _name(path: tuple[str | int, ...], at: int, container: Shape) -> str:
    return f"{path_text(path[:at])}, {in_words(container)}," if at else in_words(container)


def _key(key: str | int) -> str:
    return f"item {key}" if isinstance(key, int) else repr(key)


def path_text(path: tuple[str | int, ...]) -> str:
    """A path as it is written in expressions."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text
