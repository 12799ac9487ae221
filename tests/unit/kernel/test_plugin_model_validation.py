"""Errors of models are told in the words of JSON."""

import re
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import _pydantic_core

from hookline.kernel.plugin_model_validation import error_text, problems_text, validate_safely

#: Each type of error that pydantic has, with an example.
ERRORS = {one["type"]: one for one in _pydantic_core.list_all_errors()}
#: The words of pydantic and of Python.
THEIRS = re.compile(
    r"\b(input|instance|dict\w*|string|boolean|integer|tuple|frozenset|mapping|timedelta|datetime|valid|parse|should"
    r"|None|argument|permitted|required|validation|pydantic|python|object of|hashable|sentinel)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("kind", sorted(ERRORS))
def test_each_type_of_error_has_a_text_of_ours(kind: str) -> None:
    example = ERRORS[kind]
    details: Any = {
        "type": kind,
        "loc": (),
        "msg": "Value error, so it is" if kind == "value_error" else example["example_message_python"],
        "ctx": example.get("example_context") or {},
    }
    if kind == "assertion_error":
        details["msg"] = "Assertion failed, so it is"
    text = error_text(details)
    assert text
    assert THEIRS.search(text) is None
    assert "{" not in text


class Settings(BaseModel):
    count: int = Field(ge=1)
    names: list[str] = Field(default=[], min_length=1)
    own: str = "x"

    @field_validator("own")
    @classmethod
    def _own(cls, value: str) -> str:
        if value == "wrong":
            raise ValueError("say it better")
        return value


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "it is missing"),
        ({"count": "many"}, "it must be a whole number"),
        ({"count": 0}, "it must be at least 1"),
        ({"count": 1, "names": []}, "it must have at least 1 item"),
        ({"count": 1, "names": [1]}, "it must be text"),
        ({"count": 1, "own": "wrong"}, "say it better"),
    ],
)
def test_a_text_says_what_must_be_true_of_the_value(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(given)
    assert [error_text(one) for one in caught.value.errors()] == [text]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sku: str = ""
    parts: list["_Line"] = []


class _Rows(BaseModel):
    rows: list[dict[str, int]] | list[list[int]]
    names: dict[str, str] = {}
    line: _Line = _Line()


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("wrong", "count"),
    [
        ({"rows": [1] * 20_000}, 2),  # one of each kind of rows
        ({"rows": [], "names": dict.fromkeys(map(str, range(20_000)))}, 1),
        ({"rows": [], "line": {"parts": [1] * 20_000}}, 1),
        ({"rows": [], "line": {"parts": [{"parts": [1] * 20_000}]}}, 1),
        ({"rows": [], "line": dict.fromkeys(map(str, range(20_000)))}, 1),
        ({"rows": [], "line": {"parts": [dict.fromkeys(map(str, range(20_000)))]}}, 1),
    ],
)
def test_of_a_large_list_or_object_only_the_first_problem_is_found(wrong: dict[str, Any], count: int) -> None:
    with pytest.raises(ValidationError) as caught:
        validate_safely(_Rows, wrong)
    assert caught.value.error_count() == count


def test_of_a_small_list_all_problems_are_found() -> None:
    with pytest.raises(ValidationError) as small:
        validate_safely(_Rows, {"rows": [1, 2]})
    assert small.value.error_count() == 4


def test_a_large_value_that_fits_is_an_instance_of_the_model() -> None:
    made = validate_safely(_Rows, {"rows": [[1]] * 20_000, "line": {"parts": [{"sku": "a"}]}})
    assert made == _Rows(rows=[[1]] * 20_000, line=_Line(parts=[_Line(sku="a")]))


def test_the_text_of_many_problems_is_short() -> None:
    with pytest.raises(ValidationError) as several:
        validate_safely(_Rows, {"rows": [], "names": dict.fromkeys("abcdefghijklmnopqrstuvwxyz")})
    assert problems_text(several.value).endswith("names.t: it must be text; and 6 more")
    with pytest.raises(ValidationError) as many:
        validate_safely(_Rows, {"rows": [], "names": {f"{n}": n for n in range(2000)}})
    assert problems_text(many.value) == "2,000 values in them are not valid"
