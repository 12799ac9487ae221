"""What expressions can't see of a message: the secrets that its scheme masks before anything reads or stores them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from hookline.flows.elements.expressions import Template
from hookline.kernel.pointer import parts_of
from hookline.sdk.schemes import Scheme


@dataclass(frozen=True, slots=True)
class MaskedPaths:
    """The places in an expression's scope that hold `***` in every message."""

    scheme: str = ""
    paths: tuple[tuple[str, ...], ...] = ()
    """`*` in a path is every key and index."""

    def read_by(self, template: Template) -> str | None:
        """The first of them that a template reads, in words; None where it reads none.

        What an expression reads is known as far as its first wildcard or filter. Behind that, a secret is taken to be
        read where the expression's text has its name.
        """
        for _, expression in template.parts():
            for reference in expression.references:
                for path in self.paths:
                    if _holds(path, reference.path) or (
                        _holds(reference.path, path) and path[-1] != "*" and path[-1] in expression.source
                    ):
                        return ".".join(path)
        return None


NO_MASKED_PATHS = MaskedPaths()


def masked_paths_of(scheme: Scheme[Any, Any], settings: BaseModel | None) -> MaskedPaths:
    """What a scheme with its settings masks."""
    try:
        return MaskedPaths(scheme.name, tuple(_paths(scheme, settings)))
    except Exception:  # noqa: BLE001 - a plugin's defect: who sends gets 503 for it, and the log names the plugin
        return NO_MASKED_PATHS


def _paths(scheme: Scheme[Any, Any], settings: BaseModel | None) -> Iterator[tuple[str, ...]]:
    for header in sorted(scheme.secret_headers(settings)):
        yield from _from_trigger("headers", header.lower())
    for name in sorted(scheme.secret_query(settings)):
        yield "trigger", "query", name
        # Where the query is the body.
        yield from _from_trigger("body", name)
    for pointer in scheme.secret_fields(settings):
        yield from _from_trigger("body", *parts_of(pointer))


def _from_trigger(*path: str) -> Iterator[tuple[str, ...]]:
    yield path
    yield "trigger", *path


def _holds(outer: Sequence[str | int], inner: Sequence[str | int]) -> bool:
    """Whether what is under one path holds what is under the other: the same place is held, too."""
    return len(outer) <= len(inner) and all(
        "*" in (here, there) or str(here) == str(there) for here, there in zip(outer, inner, strict=False)
    )
