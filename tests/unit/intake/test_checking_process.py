"""The process that checks bodies keeps compiled schemas within a bound, the newest ones."""

import pytest

from hookline.intake import checking_process
from hookline.kernel.json import encode


def _document(number: int) -> bytes:
    return encode({"minItems": number, "description": "x" * 100})


def test_schemas_are_kept_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = dict[bytes, object]()
    monkeypatch.setattr(checking_process, "_kept", kept)
    monkeypatch.setattr(checking_process, "_KEPT", 3 * len(_document(1)))
    first = checking_process._compiled(_document(1))
    for number in (2, 3):
        checking_process._compiled(_document(number))
    assert checking_process._compiled(_document(1)) is first
    checking_process._compiled(_document(4))
    assert list(kept) == [_document(number) for number in (3, 1, 4)]


def test_the_newest_schema_is_kept_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = dict[bytes, object]()
    monkeypatch.setattr(checking_process, "_kept", kept)
    monkeypatch.setattr(checking_process, "_KEPT", 10)
    checking_process._compiled(_document(1))
    checking_process._compiled(_document(2))
    assert list(kept) == [_document(2)]
