"""The input of a page: each type takes its values, as texts and as JSON, and nothing else."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from hookline.bodies.page_form_input import read_page_input
from hookline.model.callbacks_and_pages import CHOICE, Choice, FormField, Page

RAW = msgspec.Raw


def page(*fields: FormField, choices: tuple[Choice, ...] = ()) -> Page:
    return Page("", "", fields, choices)


def field(type: Any, **more: Any) -> FormField:
    return FormField("x", type, "X", **more)


@pytest.mark.console_rule("K13")
@pytest.mark.parametrize(
    ("type", "given", "value"),
    [
        ("number", " 12.50 ", 12.5),
        ("number", -3, -3),
        ("integer", "12", 12),
        ("integer", 12.0, 12),
        ("integer", "1e3", 1000),
        ("boolean", "true", True),
        ("boolean", False, False),
        ("enum", "b", "b"),
        ("date", "2024-02-29", "2024-02-29"),
        ("text", " as it is ", " as it is "),
        ("text", "", None),
        ("number", "", None),
        ("boolean", None, False),
    ],
)
def test_a_value_becomes_one_of_its_type(type: str, given: Any, value: Any) -> None:
    for form in (False, True):
        read = read_page_input(page(field(type, values=("a", "b"))), {"x": given}, form=form, exact=False)
        assert read == ({"x": value}, [])


@pytest.mark.console_rule("K13")
@pytest.mark.parametrize(
    ("type", "values"),
    [
        ("number", ["1,5", "NaN", "Infinity", "0x1", "1 2", "9" * 5000, True, [1], {"a": 1}, "null"]),
        ("integer", [1.5, "1.5", "one", False]),
        ("boolean", ["yes", 1, 0, "True", []]),
        ("enum", ["c", "A", 1, ["a"]]),
        ("date", ["2023-02-29", "2024-2-9", "20240209", "2024-02-09T00:00", 20240209]),
        ("text", [1, True, ["a"], "two\nlines", "x" * 10_001]),
    ],
)
def test_any_other_value_is_a_problem(type: str, values: list[Any]) -> None:
    for given in values:
        _, problems = read_page_input(page(field(type, values=("a", "b"))), {"x": given}, form=False, exact=False)
        assert [problem.pointer for problem in problems] == ["/x"], given


def test_fractions_of_exact_flows_keep_their_digits() -> None:
    amount = field("number", default=RAW(b"1.10"))
    for given, value in (({"x": "0.10"}, "0.10"), ({"x": Decimal("2.50")}, "2.50"), ({}, "1.10")):
        read, _ = read_page_input(page(amount), given, form=False, exact=True)
        assert (type(read["x"]), str(read["x"])) == (Decimal, value)


def test_a_choice_is_selected_by_its_number_or_by_all_members_of_its_body() -> None:
    choices = (
        Choice("A", RAW(b'{"ok":true}')),
        Choice("B", RAW(b'{"ok":true,"why":[1]}')),
        Choice("C", RAW(b'{"ok":1}')),
    )
    asked = page(field("text"), choices=choices)

    def read(**given: Any) -> Any:
        body, problems = read_page_input(asked, given, form=False, exact=False)
        return [problem.pointer for problem in problems] or {name: body[name] for name in body if name != "x"}

    assert read(ok=True) == {"ok": True}
    assert read(ok=True, why=[1]) == {"ok": True, "why": [1]}
    assert read(ok=1) == {"ok": 1}
    assert read(**{CHOICE: "1"}) == read(**{CHOICE: 1}) == {"ok": True, "why": [1]}
    wrong: list[dict[str, Any]] = [{}, {"ok": False}, *({CHOICE: number} for number in (3, -1, True, "9" * 5000))]
    for given in wrong:
        assert read(**given) == [f"/{CHOICE}"], given
    assert read(ok=True, why=2) == ["/why"]


def test_the_problems_of_many_unknown_fields_are_not_all_listed() -> None:
    _, problems = read_page_input(page(), {f"a{number}": 1 for number in range(10_000)}, form=False, exact=False)
    assert len(problems) == 100
