"""Routes without the functions that build their URLs: Werkzeug compiles two for each route, and no code here uses them.

An admin API has a hundred routes. Without these functions, an application takes a third of the time to make.
"""

from typing import NoReturn

from werkzeug.routing import Rule


def install() -> None:
    """Compile no such functions from now on, in this process."""
    Rule._compile_builder = _compile_none  # type: ignore[method-assign]


def _compile_none(rule: Rule, append_unknown: bool = True) -> object:
    return _build


def _build(rule: Rule, *_: object) -> NoReturn:
    raise AssertionError(f"tests build no URLs: {rule}")
