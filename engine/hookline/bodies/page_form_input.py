"""The input of a page's form: checked, and converted to the body of the message. JSON is read in the same way."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from itertools import islice
from math import isfinite
from typing import Any, Final

from hookline.kernel.errors import Problem
from hookline.kernel.json import canonical, decode
from hookline.kernel.pointers_and_patches import escape
from hookline.kernel.suggestions_and_counts import did_you_mean
from hookline.model.callbacks_and_pages import CHOICE, Choice, FormField, Page
from hookline.model.webhook import FieldType

_LONGEST: Final = 100
"""The most characters of a number, so that reading it is quick."""
_LISTED: Final = 100
"""The most unknown fields of which problems tell."""
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}


class _InvalidError(Exception):
    """The value doesn't fit its field; the message is the problem."""


def read_page_input(page: Page, given: Any, *, form: bool, exact: bool) -> tuple[dict[str, Any], list[Problem]]:
    """Return the body that a person's input becomes, and the problems of the input. With problems, the body is partial.

    `given`: the properties of a form, or a JSON value. It names a choice by its number in `_choice`, or has all members
    of the choice's body. `form`: a checkbox that isn't there is unchecked. `exact`: fractions become Decimals.
    """
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        return {}, [Problem("the input must be an object with the fields of the page", "", "page.object")]
    problems: list[Problem] = []
    chosen, of_choice = _choice(page, given, problems, exact=exact)
    names = {field.name for field in page.fields}
    unknown = (name for name in given if name not in names and name not in of_choice and name != CHOICE)
    for name in islice(unknown, _LISTED):
        message = f"the page has no field {name[:_LONGEST]!r}"
        problems.append(Problem(message, f"/{escape(name[:_LONGEST])}", "page.unknown", did_you_mean(name, names)))
    body: dict[str, Any] = {}
    for field in page.fields:
        try:
            body[field.name] = _field_value(field, given.get(field.name), form=form, exact=exact)
        except _InvalidError as error:
            problems.append(Problem(str(error), f"/{field.name}", "page.field"))
    return {**body, **(chosen or {})}, problems


def field_value(field: FormField, value: Any, *, exact: bool) -> Any:
    """Return the value of a field, converted to its type. Raises ValueError, which says what is wrong with it."""
    try:
        return _READ[field.type](field, value, exact)
    except _InvalidError as error:
        raise ValueError(str(error)) from None


def _choice(
    page: Page, given: Mapping[str, Any], problems: list[Problem], *, exact: bool
) -> tuple[dict[str, Any] | None, frozenset[str]]:
    """The body of the selected choice, and the names in the input that belong to it."""
    if not page.choices:
        return None, frozenset()
    number = given.get(CHOICE)
    if number is None:
        return _named_by_members(page, given, problems, exact=exact)
    if isinstance(number, str) and re.fullmatch(r"\d{1,3}", number, re.ASCII):
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(page.choices):
        message = f"the page has no such choice; the first one has the number 0, the last one {len(page.choices) - 1}"
        problems.append(Problem(message, f"/{CHOICE}", "page.choice"))
        return None, frozenset()
    return _body(page.choices[number], exact=exact), frozenset()


def _named_by_members(
    page: Page, given: Mapping[str, Any], problems: list[Problem], *, exact: bool
) -> tuple[dict[str, Any] | None, frozenset[str]]:
    bodies = [_body(choice, exact=exact) for choice in page.choices]
    for body in sorted(bodies, key=len, reverse=True):
        if all(name in given and canonical(given[name]) == canonical(value) for name, value in body.items()):
            return body, frozenset(body)
    listed = ", ".join(f"{number} ({choice.label})" for number, choice in enumerate(page.choices))
    remedy = f"send the number of a choice as {CHOICE!r}, or all members of its body"
    problems.append(Problem(f"select one of the choices: {listed}", f"/{CHOICE}", "page.choice", remedy))
    # They are no unknown fields, but members of the choices with other values.
    return None, frozenset(name for body in bodies for name in body)


def _body(choice: Choice, *, exact: bool) -> dict[str, Any]:
    body: dict[str, Any] = decode(bytes(choice.body), exact=exact)
    return body


def _field_value(field: FormField, value: Any, *, form: bool, exact: bool) -> Any:
    if form and field.type == "boolean" and not field.required:
        # A browser leaves out a checkbox that isn't checked.
        return False if value is None else _boolean(field, value, exact)
    if value is None and not form:
        value = decode(bytes(field.default), exact=exact)
    if value is None or value == "":
        if field.required:
            raise _InvalidError("this field is required")
        return False if field.type == "boolean" else None
    return _READ[field.type](field, value, exact)


def _text(field: FormField, value: Any, exact: bool) -> str:
    if not isinstance(value, str):
        raise _InvalidError("this must be a text")
    # Browsers send the lines of a form with CR LF.
    text = value.replace("\r\n", "\n")
    if not field.multiline and "\n" in text:
        raise _InvalidError("this must be one line")
    if len(text) > field.max_length:
        raise _InvalidError(f"this is longer than {field.max_length:,} characters")
    return text


def _number(field: FormField, value: Any, exact: bool) -> int | float | Decimal:
    if isinstance(value, str) and len(value) <= _LONGEST:
        try:
            value = decode(value.strip().encode(), exact=exact)
        except (ValueError, RecursionError):
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _InvalidError("this must be a number, such as 12.5")
    if isinstance(value, float) and not isfinite(value):
        raise _InvalidError("this number is too large")
    if field.min is not None and value < field.min:
        raise _InvalidError(f"this must be at least {field.min}")
    if field.max is not None and value > field.max:
        raise _InvalidError(f"this must be at most {field.max}")
    return value


def _integer(field: FormField, value: Any, exact: bool) -> int:
    try:
        number = _number(field, value, exact)
    except _InvalidError as error:
        raise _InvalidError(str(error).replace("a number, such as 12.5", "a whole number, such as 12")) from None
    if number != int(number):
        raise _InvalidError("this must be a whole number, such as 12")
    return int(number)


def _boolean(_: FormField, value: Any, exact: bool) -> bool:
    if isinstance(value, str):
        value = _BOOLEANS.get(value)
    if not isinstance(value, bool):
        raise _InvalidError("this must be true or false")
    return value


def _enum(field: FormField, value: Any, exact: bool) -> str:
    if not isinstance(value, str) or value not in field.values:
        raise _InvalidError("this must be one of the values that the page offers")
    return value


def _date(_: FormField, value: Any, exact: bool) -> str:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise _InvalidError("this must be a date, such as 2026-01-31")
    try:
        date.fromisoformat(value)
    except ValueError:
        raise _InvalidError("this day doesn't exist") from None
    return value


_READ: Final[Mapping[FieldType, Callable[[FormField, Any, bool], Any]]] = {
    "text": _text,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "enum": _enum,
    "date": _date,
}
