"""The status of each error over HTTP fits its code."""

import re

import pytest

from hookline.kernel.errors import HooklineError
from hookline.service.problem_documents import error_kinds

#: The modules of errors that a server may answer with, and not those of commands.
SERVED = re.compile(r"hookline\.(?!cli\.)")
_MEANINGS = {
    "not_found": {404},
    "conflict": {412},
    "unpublished_changes": {409},
    "too_many": {409, 429},
    "name_taken": {409},
    "state": {409},
    "too_large": {413},
    "away": {503},
}


def kinds(root: type[HooklineError] = HooklineError) -> list[type[HooklineError]]:
    """The errors of Hookline: those with the same code, too."""
    return [root, *(inner for one in root.__subclasses__() for inner in kinds(one))]


@pytest.mark.parametrize("kind", [one for one in kinds() if SERVED.match(one.__module__)])
def test_the_status_of_an_error_fits_its_code(kind: type[HooklineError]) -> None:
    status = kind.status
    assert 400 <= status <= 599
    for ending, statuses in _MEANINGS.items():
        if kind.code.rpartition(".")[2] == ending:
            assert status in statuses, kind
    if (kind.__doc__ or "").startswith(("There is no such", "No such")) and kind.code not in ("session.code_used",):
        assert status == 404, kind


def test_all_codes_with_a_meaning_exist() -> None:
    endings = {code.rpartition(".")[2] for code in error_kinds()}
    assert set(_MEANINGS) <= endings
