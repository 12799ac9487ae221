"""Exact fractions: as JSON, in a message's packing, in requests, and in results."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, PlainSerializer, TypeAdapter, ValidationError

from hookline.flows.documents.read import read
from hookline.flows.elements.message_keys import key_text
from hookline.flows.schemas.body_schema import compile_schema
from hookline.kernel.json import (
    MAX_DIGITS,
    MAX_EXPONENT,
    JsonValue,
    by_value,
    canonical,
    decode,
    encode,
    fraction,
    reader,
    to_binary64,
    to_decimal,
    within_bounds,
)
from hookline.model.message import Arrival, Envelope, Message, pack, unpack, with_numbers
from hookline.plugin_host.result_conversion import NotJson, normalize_result, to_json
from hookline.testing.clock import ManualClock
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

NOW = ManualClock().now()
LONG = "0." + "123456789" * 10
decimals = st.decimals(allow_nan=False, allow_infinity=False).filter(within_bounds)
fractions = st.floats(allow_nan=False, allow_infinity=False)


def same(left: Any, right: Any) -> bool:
    """Equal, of one type, and of one number of digits."""
    return repr(left) == repr(right)


@pytest.mark.rule(7)
@given(decimals)
def test_a_fraction_keeps_its_digits_through_json(number: Decimal) -> None:
    text = encode([number])
    (found,) = decode(text, exact=True)
    if isinstance(found, Decimal):
        assert same(found, number)
        assert encode([found]) == text
    else:
        assert "." not in str(number), "what is written without a point is an integer"
        assert found == number


@pytest.mark.parametrize("text", ["1.10", "1.0", "-0.0", "1e5", "1E-400", "0.0000001", "5.000", LONG, "1e400"])
def test_whatever_way_a_fraction_is_written_its_digits_and_exponent_stay(text: str) -> None:
    (found,) = decode(f"[{text}]".encode(), exact=True)
    assert same(found, Decimal(text))


@pytest.mark.parametrize(
    "text",
    [
        "1e1001",
        "1e-1001",
        "0e-5000",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "0." + "1" * 1001,
        "1." + "0" * 1_000_000,
    ],
)
def test_a_fraction_with_which_calculations_would_take_too_long_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="1,000 digits"):
        decode(f"[{text}]".encode(), exact=True)


def test_the_largest_and_the_longest_fractions_are_taken() -> None:
    for text in (f"1e{MAX_EXPONENT}", f"1e-{MAX_EXPONENT}", "0." + "1" * MAX_DIGITS):
        assert encode(decode(f"[{text}]".encode(), exact=True)) == encode([Decimal(text)])


@given(fractions)
def test_binary_fractions_become_the_shortest_decimals_and_come_back(number: float) -> None:
    made = to_decimal({"a": [number]})
    assert type(made["a"][0]) is Decimal
    assert same(to_binary64(made)["a"][0], number)
    assert same(fraction(repr(number)) if "n" not in repr(number) else number, number)


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})\.[0-9]{1,25}([eE][+-]?[0-9]{1,3})?", fullmatch=True).filter(
        lambda text: within_bounds(Decimal(text))
    )
)
@example("0.30000000000000004")
@example("5e-324")
@example("1e-400")
def test_a_fraction_is_binary_where_that_says_the_same(text: str) -> None:
    found = fraction(text)
    if isinstance(found, float):
        assert Decimal(repr(found)) == Decimal(text)
    else:
        assert same(found, Decimal(text))
        assert not math.isfinite(float(text)) or Decimal(repr(float(text))) != found


def test_what_has_no_fraction_is_not_copied() -> None:
    value = {"a": [1, "x", {"b": None}]}
    assert to_decimal(value) is value
    assert to_binary64(value) is value
    mixed = {"a": [1, "x"], "b": 0.5}
    assert to_decimal(mixed)["a"] is mixed["a"]
    assert mixed["b"] == 0.5


@pytest.mark.parametrize(
    ("left", "right"),
    [("1.10", "1.1"), ("100.0", "1e2"), ("100.0", "100"), ("0.0", "-0.0"), ("1.50e-9", "1.5e-9"), ("0e5", "0")],
)
def test_equal_numbers_are_one_key(left: str, right: str) -> None:
    one, two = (decode(f'{{"a": [{text}]}}'.encode(), exact=True) for text in (left, right))
    assert one == two
    assert canonical(by_value(one)) == canonical(by_value(two))
    assert key_text(one["a"][0]) == key_text(two["a"][0])


def test_numbers_that_differ_far_behind_the_point_are_two_keys() -> None:
    assert key_text(Decimal("0.30000000000000000000000001")) != key_text(Decimal("0.30000000000000000000000002"))


def test_a_published_flow_has_the_constants_of_its_file() -> None:
    text = b'{"a": 0.12345678901234567890, "b": 12345678901234567890123.0, "c": 1.10, "d": 1e22, "e": -0.0}'
    first = read(text).value
    assert same(read(canonical(first)).value, dict(sorted(first.items())))
    assert same(to_decimal(first["a"]), Decimal("0.12345678901234567890"))


# --- The definition of a JSON value, for settings --------------------------------------------------------------------


def test_a_decimal_is_a_json_value_and_stays_the_same() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(JsonValue)
    value = {"a": [Decimal("1.10"), 1.5, 2, True, None, "x"]}
    assert same(adapter.validate_python(value), value)
    assert adapter.json_schema() == {}
    for wrong in (Decimal("NaN"), object(), {1: 2}, b"x"):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


# --- Packing ---------------------------------------------------------------------------------------------------------


def envelope(body: Any, **settings: Any) -> Envelope:
    return Envelope("e", "f", Message(body), Arrival("webhook"), NOW, **settings)


def through_the_store(packed: Envelope) -> Envelope:
    return unpack(pack(packed), execution_id="e", flow_id="f", accepted_at=NOW)


def test_a_packed_message_says_itself_whether_its_numbers_are_exact() -> None:
    body = {"a": Decimal("1.10"), "b": 5}
    kept = through_the_store(envelope(body, exact=True))
    assert same(kept.message.body, body)
    assert kept.exact
    assert same(through_the_store(envelope({"a": 1.1})).message.body, {"a": 1.1})


def test_a_message_that_waited_while_its_flow_became_exact_has_the_digits_that_it_came_with() -> None:
    waited = through_the_store(envelope({"a": 1.1}, body_json=b'{"a":1.100000000000000000001}'))
    assert same(with_numbers(waited, exact=True).message.body, {"a": Decimal("1.100000000000000000001")})
    assert same(with_numbers(envelope({"a": 1.1}), exact=True).message.body, {"a": Decimal("1.1")}), (
        "a form has no text of its own"
    )
    longer = envelope({"a": 0.1}, body_json=b'{"a":0.1' + b"0" * 2000 + b"}")
    assert same(with_numbers(longer, exact=True).message.body, {"a": Decimal("0.1")})


def test_a_message_that_waited_while_its_flow_ceased_to_be_exact_has_binary_fractions() -> None:
    waited = envelope({"a": Decimal("0.1234567890123456789"), "b": Decimal("1E+400")}, exact=True)
    found = with_numbers(waited, exact=False)
    assert same(found.message.body, {"a": 0.12345678901234568, "b": Decimal("1E+400")})
    assert not found.exact


# --- Requests --------------------------------------------------------------------------------------------------------

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="order"\r\nContent-Type: application/json\r\n\r\n{"a":1.10}\r\n'
    b'--b\r\nContent-Disposition: form-data; name="payload"\r\n\r\n{"c":1e400}\r\n--b--\r\n'
)


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"a": 1.10, "b": [1e400, 7]}', "application/json", {"a": Decimal("1.10"), "b": [Decimal("1E+400"), 7]}),
        (b"[0.10]", "application/vnd.acme+json; charset=utf-8", [Decimal("0.10")]),
        (
            b"payload=%7B%22a%22%3A1.10%7D&n=1.5",
            "application/x-www-form-urlencoded",
            {"payload": {"a": Decimal("1.10")}, "n": "1.5"},
        ),
        (
            FORM,
            "multipart/form-data; boundary=b",
            {"order": {"a": Decimal("1.10")}, "payload": {"c": Decimal("1E+400")}},
        ),
        (b"1.10", "text/plain", "1.10"),
    ],
)
async def test_a_flow_whose_numbers_are_exact_gets_decimals_of_whatever_is_json(
    body: bytes, content_type: str, expected: Any
) -> None:
    hook = HookOverMemory(webhook_flow(numbers="exact", json_fields=["payload"]))
    assert (await hook.send(body, content_type)).status == 202
    (accepted,) = hook.intake.accepted
    assert same(accepted.message.body, expected)
    assert accepted.exact
    assert same(through_the_store(accepted).message.body, expected)


async def test_a_large_body_is_exact_too() -> None:
    hook = HookOverMemory(webhook_flow(numbers="exact"))
    assert (await hook.send(b"[" + b"1.10," * 20_000 + b"1.10]")).status == 202
    assert set(map(str, hook.intake.accepted[0].message.body)) == {"1.10"}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"[" + b",".join([b"1e1000"] * 10_000) + b"]", "application/json", 202),
        (b"[" + b",".join([b"1e1000"] * 10_001) + b"]", "application/json", 413),
        (b"[" + b",".join([b"1.5E-900"] * 11_112) + b"]", "application/json", 413),
        (b"&".join([b"n=[" + b",".join([b"1e1000"] * 1000) + b"]"] * 11), "application/x-www-form-urlencoded", 413),
        (b"[" + b",".join([b"1.5e3"] * 100_000) + b"]", "application/json", 202),
    ],
)
async def test_few_bytes_cant_stand_for_work_without_end(body: bytes, content_type: str, status: int) -> None:
    """A schema's `multipleOf` takes 60 µs for `1e1000`."""
    hook = HookOverMemory(webhook_flow(numbers="exact", json_fields=["n"]))
    assert (await hook.send(body, content_type)).status == status


@pytest.mark.parametrize("numbers", ["exact", "binary"])
@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e1001", b"-1e99999999999999999999", b"01.5", b"1.", b".5"])
async def test_what_is_no_number_or_has_no_end_is_400_with_either_kind(numbers: str, number: bytes) -> None:
    hook = HookOverMemory(webhook_flow(numbers=numbers))
    assert (await hook.send(b'{"a":' + number + b"}")).status == 400
    assert not hook.intake.accepted


@pytest.mark.rule(7)
async def test_where_nothing_is_said_fractions_are_binary() -> None:
    hook = HookOverMemory(webhook_flow())
    await hook.send(b"[1.10, 0.1234567890123456789]")
    assert same(hook.intake.accepted[0].message.body, [1.1, 0.12345678901234568])
    assert not hook.intake.accepted[0].exact


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"maximum": 5}, "5.0", "5.00000000000000000000000001"),
        ({"multipleOf": 0.01}, "1.10", "1.105"),
        ({"type": "integer"}, "5.00", "5.5"),
        ({"type": "number", "exclusiveMinimum": 0}, "1e-400", "-1e-400"),
        ({"const": 1.5}, "1.50", "1.51"),
        ({"enum": [0.1, 0.2]}, "0.10", "0.3"),
        ({"type": "number"}, "1e400", '"1.10"'),
    ],
)
def test_a_schema_judges_exact_numbers_by_all_their_digits(schema: Any, right: str, wrong: str) -> None:
    compiled, _ = compile_schema(schema)
    assert compiled is not None
    assert compiled.problems(decode(right.encode(), exact=True)) == []
    assert compiled.problems(decode(wrong.encode(), exact=True)) != []


# --- Results ---------------------------------------------------------------------------------------------------------


class Price(BaseModel):
    amount: Decimal
    parts: list[Decimal] = []
    shown: Annotated[Decimal, PlainSerializer(lambda value: f"EUR {value}")] = Decimal(1)


@dataclass
class Line:
    net: Decimal


class Row(msgspec.Struct):
    net: Decimal


RESULTS = [
    (Decimal("1.10"), Decimal("1.10"), 1.1),
    (Decimal("5.00"), Decimal("5.00"), 5),
    (Decimal(5), 5, 5),
    (0.5, Decimal("0.5"), 0.5),
    (5.0, Decimal("5.0"), 5.0),
    (Decimal(LONG), Decimal(LONG), Decimal(LONG)),
    (Decimal("1.5E+400"), Decimal("1.5E+400"), 15 * 10**399),
    (Decimal("1.5E-400"), Decimal("1.5E-400"), Decimal("1.5E-400")),
    ({"a": (Decimal("1.10"), 2)}, {"a": [Decimal("1.10"), 2]}, {"a": [1.1, 2]}),
    (
        Price(amount=Decimal("1.10"), parts=[Decimal("0.30"), Decimal(LONG)]),
        {"amount": Decimal("1.10"), "parts": [Decimal("0.30"), Decimal(LONG)], "shown": "EUR 1"},
        {"amount": 1.1, "parts": [0.3, Decimal(LONG)], "shown": "EUR 1"},
    ),
    (Line(Decimal("1.10")), {"net": Decimal("1.10")}, {"net": 1.1}),
    (Row(Decimal("1.10")), {"net": Decimal("1.10")}, {"net": 1.1}),
]


@pytest.mark.rule(19)
@pytest.mark.parametrize(("value", "exact", "binary"), RESULTS)
def test_a_decimal_is_an_exact_number_before_and_after_a_resume(value: Any, exact: Any, binary: Any) -> None:
    for kind, expected in ((True, exact), (False, binary)):
        found = normalize_result(value, exact=kind).body  # type: ignore[union-attr]  # it is a reply
        assert same(found, expected)
        assert same(reader(Any, exact=kind).decode(encode(found)), expected), "as the journal gives it back"


@given(st.one_of(decimals, fractions), st.booleans())
def test_any_number_of_a_result_comes_back_the_same(number: Any, exact: bool) -> None:
    found = to_json({"n": number}, exact=exact)
    again = reader(Any, exact=exact).decode(encode(found))
    assert same(again, found)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "1E+1001", "1E-1001", "1." + "1" * 1000])
def test_a_decimal_that_json_cant_say_or_that_has_no_end_is_a_defect(number: str, exact: bool) -> None:
    with pytest.raises(NotJson, match=r"result\.a"):
        to_json({"a": Decimal(number)}, exact=exact)
