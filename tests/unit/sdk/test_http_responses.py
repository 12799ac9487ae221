"""Responses of other servers, within the bounds of bodies."""

import pytest

from hookline.api import Response, StepError, decode_json


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    "content",
    [b"[" + b"[]," * 500_000 + b"0]", b"[" + b"1e308," * 4000 + b"0]", b"[" + (b"7" * 4290 + b",") * 250 + b"0]"],
)
def test_a_response_has_no_more_values_than_a_body(content: bytes) -> None:
    with pytest.raises(StepError, match="ask for less at once") as caught:
        Response(200, {}, content).json()
    assert caught.value.error_code == "http.too_large"
    with pytest.raises(ValueError, match="the text has"):
        decode_json(content)


def test_a_response_as_large_as_a_body_may_be_is_read() -> None:
    assert len(Response(200, {}, b"[" + b"0," * 900_000 + b"0]").json()) == 900_001


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "undefined", "hex", "nope"])
def test_a_response_in_a_codec_that_is_no_charset_is_read_as_utf_8(charset: str) -> None:
    response = Response(200, {"content-type": f"text/plain; charset={charset}"}, "é".encode())
    assert response.text == "é"
