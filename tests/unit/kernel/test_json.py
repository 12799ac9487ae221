"""The encoding of values that are large."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.json import OFF_THE_LOOP, encode, encode_in_pieces, is_heavy_value


class Reply(msgspec.Struct, omit_defaults=True):
    """A record with a value of JSON."""

    body: Any
    status: int = 200


TEXTS = st.builds(
    lambda before, part, size: "x" * before + part * (size // len(part)),
    st.integers(0, 3),
    st.text('aé\u20ac\U0001f600"\\\n\u0007', min_size=1, max_size=4),
    st.sampled_from([10, OFF_THE_LOOP - 2, OFF_THE_LOOP + 2, 3 * OFF_THE_LOOP]),
)


@given(TEXTS, st.booleans())
def test_in_pieces_the_json_is_the_same(text: str, as_key: bool) -> None:
    in_lists = [[text, 1, {"a": [text]}], [text, *[0] * 10_000]]
    for value in (text, *in_lists, {text if as_key else "k": text}, Reply(text), Reply([text], 404)):
        assert encode_in_pieces(value) == encode(value)


def test_many_exact_fractions_are_written_as_few() -> None:
    few = [Decimal(text) for text in ("0.10", "-1E+100", "1E-7", "-0.0", "12345678901234567890.5")]
    many = {"prices": few * 3000, "lines": [{"a": one} for one in few] * 3000}
    assert encode_in_pieces(many) == encode(many)
    assert encode_in_pieces([few]) == encode([few])


def test_a_lone_surrogate_is_an_error_in_pieces_too() -> None:
    for text in ("\ud800", "a" * (2 * OFF_THE_LOOP) + "\ud800"):
        with pytest.raises(ValueError, match="surrogates"):
            encode_in_pieces([text])


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("value", "heavy"),
    [
        (1, False),
        ("a" * 100, False),
        ("a" * (OFF_THE_LOOP + 1), True),
        ({"body": "a" * (OFF_THE_LOOP + 1)}, True),
        ([[{"a": ["a" * (OFF_THE_LOOP + 1)]}]], True),
        ([1] * 9000, False),
        ([1] * 11_000, True),
        ([[1] * 100] * 101, True),
    ],
)
def test_a_value_is_heavy_if_it_has_many_values_or_a_long_text(value: Any, heavy: bool) -> None:
    assert is_heavy_value(value) is heavy
