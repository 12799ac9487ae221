"""The paths in a message that hold `***`, because its scheme masks secrets before anything reads or stores them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from hookline.flows.elements.expressions import Template
from hookline.kernel.pointers_and_patches import parts_of
from hookline.sdk.schemes import Scheme


@dataclass(frozen=True, slots=True)
class MaskedPaths:
    """The paths in an expression's scope that hold `***` in every message."""

    scheme: str = ""
    paths: tuple[tuple[str, ...], ...] = ()
    """`*` in a path stands for every key and index."""

    def read_by(self, template: Template) -> str | None:
        """The first of the paths that a template reads, as text; None if it reads none.

        The path that an expression reads is known up to its first wildcard or filter. After that, a secret counts as
        read if the expression's text contains its name.
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
    """The paths that a scheme with these settings masks."""
    try:
        return MaskedPaths(scheme.name, tuple(_paths(scheme, settings)))
    except Exception:  # noqa: BLE001 - a plugin's defect: the sender gets 503 for it, and the log names the plugin
        return NO_MASKED_PATHS


def _paths(scheme: Scheme[Any, Any], settings: BaseModel | None) -> Iterator[tuple[str, ...]]:
    for header in sorted(scheme.secret_headers(settings)):
        yield from _from_trigger("headers", header.lower())
    for name in sorted(scheme.secret_query(settings)):
        yield "trigger", "query", name
        # The query may be the body, too.
        yield from _from_trigger("body", name)
    for pointer in scheme.secret_fields(settings):
        yield from _from_trigger("body", *parts_of(pointer))


def _from_trigger(*path: str) -> Iterator[tuple[str, ...]]:
    yield path
    yield "trigger", *path


def _holds(outer: Sequence[str | int], inner: Sequence[str | int]) -> bool:
    """Return whether the value at one path contains the value at the other, or is the same value."""
    return len(outer) <= len(inner) and all(
        "*" in (here, there) or str(here) == str(there) for here, there in zip(outer, inner, strict=False)
    )
