"""Each change is declared once; the lists that can't be derived from the declarations agree with them."""

import dataclasses
import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

from hookline import api_storage
from hookline.kernel.fault_points import POINTS
from hookline.storage import change_declarations
from hookline.storage.change_declarations import DECLARATIONS, Change, CommitResult
from hookline.testing.contracts import store as contracts

#: Commits that pass these points contain a change with another point, or none at all.
_OTHER_POINTS = {"stream", "hold", "advance", "replay", "blob", "flow_file"}

_names = {cls.__name__ for cls in DECLARATIONS}


def test_the_union_of_changes_holds_each_declared_change() -> None:
    assert set(get_args(Change)) == DECLARATIONS.keys()


def test_each_class_that_is_no_result_is_declared_as_a_change() -> None:
    results = {result for declaration in DECLARATIONS.values() for result in declaration.results}
    own = {
        cls
        for _, cls in inspect.getmembers(change_declarations, inspect.isclass)
        if cls.__module__ == change_declarations.__name__
    }
    assert own == DECLARATIONS.keys() | results | {change_declarations.Declaration}


def test_a_commit_gives_the_declared_results() -> None:
    results = {result for declaration in DECLARATIONS.values() for result in declaration.results}
    assert set(get_args(CommitResult)) == results | {type(None)}


def test_backends_can_import_each_change_and_each_result() -> None:
    results = {result.__name__ for declaration in DECLARATIONS.values() for result in declaration.results}
    assert _names | results <= set(api_storage.__all__)


def test_each_fault_point_is_declared_by_a_change() -> None:
    declared = {declaration.fault_point for declaration in DECLARATIONS.values()} - {None}
    assert {f"{point}.{side}_commit" for point in declared | _OTHER_POINTS for side in ("before", "after")} == POINTS


@pytest.mark.parametrize("name", sorted(_names))
def test_each_change_has_a_test_in_the_contract_of_stores(name: str) -> None:
    assert contracts.__file__ is not None
    folder = Path(contracts.__file__).parent
    assert any(re.search(rf"\b{name}\(", file.read_text()) for file in folder.rglob("*.py"))


def test_changes_are_frozen_dataclasses() -> None:
    for cls in DECLARATIONS:
        assert dataclasses.is_dataclass(cls)
        assert cls.__setattr__ is not object.__setattr__, f"{cls.__name__} isn't frozen"
