"""Failures of one cause are told from others by what doesn't differ from one to the next."""

import pytest

from hookline.model.dead_letter_causes import cause_of, normalised
from hookline.model.execution import ErrorInfo


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("order 17 is closed", "order <n> is closed"),
        ("-3.5 is below 0", "<n> is below <n>"),
        ("no customer 'Ada O\\'Neil' here", "no customer <text> here"),
        ('the key "x" isn\'t "y"', "the key <text> isn't <text>"),
        ("it can't be what it wasn't", "it can't be what it wasn't"),
        ("row 01a20e14-1c21-708f-b502-459830859189 is locked", "row <uuid> is locked"),
        ("digest 9f86d081884c7d65 differs from 0xFF", "digest <hex> differs from <hex>"),
        ("at 127.0.0.1:5432", "at <n>"),
        ("http2 and utf8 and decade", "http2 and utf8 and decade"),
        ("x" * 1000, "x" * 500),
    ],
)
def test_what_differs_between_failures_of_one_cause_is_left_out(message: str, said: str) -> None:
    assert normalised(message) == said


def test_code_step_and_message_make_the_cause_and_the_item_doesnt() -> None:
    one = ErrorInfo("http.503", "no answer after 3 s", "lines[3]/post")
    assert cause_of(one) == cause_of(ErrorInfo("http.503", "no answer after 45 s", "lines[17]/post"))
    others = [
        ErrorInfo("http.502", "no answer after 3 s", "lines[3]/post"),
        ErrorInfo("http.503", "no answer after 3 s", "lines[3]/put"),
        ErrorInfo("http.503", "no answer", "lines[3]/post"),
        ErrorInfo("http.503", "no answer after 3 s", None),
    ]
    assert len({cause_of(error) for error in (one, *others)}) == 5


def test_a_text_that_no_encoding_takes_has_a_cause() -> None:
    assert cause_of(ErrorInfo("x", "\ud800", None))
