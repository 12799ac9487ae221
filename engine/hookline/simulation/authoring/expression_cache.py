"""Mappers that remember the expressions that they have compiled: while an author types, most stay as they are."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from hookline.discovery.registry import Registry
from hookline.sdk.mappers import Expression, Mapper

_MOST: Final = 2000
"""The most expressions of a language that are kept."""
_LONGEST: Final = 2000
"""The most characters of an expression that is kept."""


def remembering(registry: Registry) -> Registry:
    """Return a registry whose mappers compile an expression once."""
    mappers = {name: _Remembering(mapper) for name, mapper in registry.mappers.items()}
    return replace(registry, mappers=MappingProxyType(mappers))


class _Remembering(Mapper):
    def __init__(self, mapper: Mapper) -> None:
        self._mapper = mapper
        # Expressions are pure. One that can't be compiled isn't kept.
        self._compile: Callable[[str], Expression] = lru_cache(_MOST)(mapper.compile)
        self._compile_exact: Callable[[str], Expression] = lru_cache(_MOST)(mapper.compile_exact)

    @property
    def unavailable(self) -> str | None:
        return self._mapper.unavailable

    def compile(self, source: str) -> Expression:
        return (self._compile if len(source) <= _LONGEST else self._mapper.compile)(source)

    def compile_exact(self, source: str) -> Expression:
        return (self._compile_exact if len(source) <= _LONGEST else self._mapper.compile_exact)(source)
