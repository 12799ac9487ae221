"""Text, JSON, forms and XML in the charset that they say, or that their first bytes show."""

import codecs
import encodings
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.bodies import text
from hookline.bodies.json import read_json
from hookline.bodies.text import decode_text, known_charset
from hookline.kernel.errors import Malformed, TooLarge
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

VALUE = {"name": "Grüße 😀", "n": 12345678901234567890}
TEXT = json.dumps(VALUE, ensure_ascii=False)


async def body_of(data: bytes, content_type: str | None, **settings: Any) -> Any:
    hook = HookOverMemory(webhook_flow(**settings))
    reply = await hook.send(data, content_type)
    assert reply.status == 202, reply.body
    return hook.intake.accepted[0].message.body


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_is_read_by_its_byte_order_mark_whatever_its_type_says(codec: str) -> None:
    for charset in (None, "utf-8", "iso-8859-1", "nonsense"):
        read = read_json(TEXT.encode(codec), charset)
        assert read.body == VALUE
        assert read.json == TEXT.encode()
        assert read.raw == TEXT.encode(codec)


@pytest.mark.parametrize("codec", ["utf-16-be", "utf-32-be"])
def test_json_with_a_mark_of_the_other_end_is_read(codec: str) -> None:
    assert read_json(("\ufeff" + TEXT).encode(codec)).body == VALUE


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("UTF-16LE", "utf-16-le"),
        ("utf-16be", "utf-16-be"),
        ("utf-16", "utf-16-le"),
        ("utf-16", "utf-16-be"),
        ("UTF-32", "utf-32-be"),
        ("utf-32", "utf-32-le"),
        ("gb18030", "gb18030"),
        ("utf8", "utf-8"),
    ],
)
def test_json_is_read_in_the_charset_of_its_type(charset: str, codec: str) -> None:
    assert read_json(TEXT.encode(codec), charset).body == VALUE


def test_json_in_a_charset_of_one_byte() -> None:
    assert read_json('"é"'.encode("latin-1"), "ISO-8859-1").body == "é"
    with pytest.raises(Malformed):
        read_json('"é"'.encode("latin-1"), None)


def test_a_charset_of_json_that_is_not_known_says_nothing() -> None:
    # RFC 8259 has no such parameter, and some senders write what they like into it.
    for charset in ("utf8mb4", "binary", "idna", "utf-7"):
        assert read_json(TEXT.encode(), charset).body == VALUE
        with pytest.raises(Malformed):
            read_json(b'"\xff"', charset)


def test_json_as_it_came_is_kept_once() -> None:
    read = read_json(b'{"a":1}', "utf-8")
    assert (read.json, read.raw) == (b'{"a":1}', None)


@pytest.mark.parametrize("data", [b"\xff\xfe{\x00", b"\xff\xfe\x00\x00{", b"\xff\xfe\x00\xd8\x00\x00"])
def test_json_that_is_not_in_the_charset_of_its_mark_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_json(data)


@given(st.binary(max_size=60), st.sampled_from([None, "utf-16", "utf-32", "utf-16-le", "latin-1", "shift_jis", "hz"]))
def test_json_in_any_charset_is_read_or_malformed(data: bytes, charset: str | None) -> None:
    try:
        read = read_json(data, charset)
    except Malformed:
        return
    assert read.json is not None
    assert json.loads(read.json) == read.body


async def test_arrays_and_scalars_may_be_at_the_root() -> None:
    for sent, value in ((b"[1, {}]", [1, {}]), (b'"x"', "x"), (b"7", 7), (b"false", False), (b"null", None)):
        assert await body_of(sent, "application/json") == value


# --- Text --------------------------------------------------------------------------------------------------------


def test_every_charset_that_python_has_is_known_by_its_usual_names() -> None:
    for name in (
        "UTF-8",
        "windows-1252",
        "ISO-8859-15",
        "Shift_JIS",
        "EUC-KR",
        "ks_c_5601-1987",
        "big5-hkscs",
        "KOI8-U",
    ):
        codec = known_charset(name)
        assert codec is not None
        assert "a".encode(codec).decode(name) == "a"


@pytest.mark.parametrize(
    "name",
    [
        "idna",
        "punycode",
        "unicode_escape",
        "raw-unicode-escape",
        "utf-7",
        "undefined",
        "charmap",
        "hex",
        "base64",
        "rot13",
        "zlib",
        "bz2",
        "quopri",
        "uu",
        "nope",
        "aliases",
        "a\0b",
        "../x",
        "",
        "x" * 500,
    ],
)
def test_codecs_that_are_no_charsets_are_malformed(name: str) -> None:
    with pytest.raises(Malformed):
        decode_text(b"\\ud800", name)


def test_names_that_senders_make_up_are_not_remembered() -> None:
    text._found.cache_clear()
    before = len(encodings._cache)  # type: ignore[attr-defined]  # what would grow has no public name
    for number in range(1000):
        assert known_charset(f"made-up-{number}") is None
    assert len(encodings._cache) == before  # type: ignore[attr-defined]  # as above
    assert text._found.cache_info().currsize <= 256


@pytest.mark.parametrize(
    ("data", "charset"),
    [
        ("né".encode("utf-16"), "utf-16"),
        ("né".encode("utf-16-le"), "utf-16"),
        (codecs.BOM_UTF16_BE + "né".encode("utf-16-be"), "utf-16"),
        (codecs.BOM_UTF16_LE + "né".encode("utf-16-le"), "utf-16le"),
        ("né".encode("utf-32-le"), "utf-32"),
        (codecs.BOM_UTF8 + "né".encode(), "utf-8"),
        (codecs.BOM_UTF8 + "né".encode(), None),
        ("né".encode("cp1252"), "windows-1252"),
    ],
)
def test_text_is_read_by_its_charset_and_its_mark_is_dropped(data: bytes, charset: str | None) -> None:
    assert decode_text(data, charset) == "né"


async def test_forms_are_read_in_their_charset() -> None:
    form = "application/x-www-form-urlencoded; charset="
    assert await body_of(b"a=%93%FA%96%7B", form + "shift_jis") == {"a": "日本"}
    assert await body_of("a=日本".encode("euc-jp"), form + "EUC-JP") == {"a": "日本"}
    assert await body_of(b"a=%E2%82%AC", form + "utf-8") == {"a": "€"}


# --- XML ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["shift_jis", "gb2312", "euc-kr", "windows-1251", "iso-8859-15"])
async def test_xml_is_read_in_the_encoding_that_it_declares(encoding: str) -> None:
    text = {"windows-1251": "Привет", "iso-8859-15": "€", "euc-kr": "한국"}.get(encoding, "日本")
    data = f'<?xml version="1.0" encoding="{encoding}"?><a>{text}</a>'.encode(encoding)
    assert await body_of(data, "application/xml") == {"a": text}


async def test_the_charset_of_the_type_counts_more_than_that_of_the_xml() -> None:
    data = '<?xml version="1.0" encoding="shift_jis"?><a>é</a>'.encode()
    assert await body_of(data, "application/xml; charset=utf-8") == {"a": "é"}


async def test_xml_that_declares_utf_16_and_is_utf_8_is_read() -> None:
    # What .NET writes to a string and then sends.
    data = '<?xml version="1.0" encoding="utf-16"?><a>é</a>'.encode()
    assert await body_of(data, "text/xml") == {"a": "é"}
    assert await body_of(data.decode().encode("utf-16"), "text/xml") == {"a": "é"}


@pytest.mark.parametrize("encoding", ["hex", "idna", "utf-7", "unicode_escape", "nope"])
async def test_xml_that_declares_no_charset_is_400(encoding: str) -> None:
    hook = HookOverMemory(webhook_flow())
    data = f"<?xml version='1.0' encoding='{encoding}'?><a/>".encode()
    assert (await hook.send(data, "application/xml")).status == 400


async def test_xml_namespaces_stay_prefixes() -> None:
    data = b'<s:Envelope xmlns:s="urn:soap" xmlns="urn:d"><s:Body s:id="1"><order/></s:Body></s:Envelope>'
    assert await body_of(data, "application/soap+xml") == {
        "s:Envelope": {"@xmlns:s": "urn:soap", "@xmlns": "urn:d", "s:Body": {"@s:id": "1", "order": None}}
    }


async def test_xml_of_mixed_text_keeps_the_text_beside_the_elements() -> None:
    assert await body_of(b"<p>One <b>two</b> three<br/></p>", "text/xml") == {
        "p": {"b": "two", "br": None, "#text": "One  three"}
    }
    assert await body_of(b"<p> <![CDATA[a < b]]> </p>", "text/xml") == {"p": " a < b "}


async def test_the_text_of_an_xml_element_is_kept_to_the_last_space() -> None:
    text = b"""<?xml version="1.0"?>
        <o>
            <name> Ada </name><line>a
  b</line>
            <empty></empty><blank>  </blank><code n="1"> x</code><code n="2">\t</code>
            <cdata><![CDATA[ ]]></cdata>
            <mixed> one <b> two </b>
            </mixed>
        </o>
    """
    assert await body_of(text, "text/xml") == {
        "o": {
            "name": " Ada ",
            "line": "a\n  b",
            "empty": None,
            "blank": "  ",
            "code": [{"@n": "1", "#text": " x"}, {"@n": "2", "#text": "\t"}],
            "cdata": " ",
            "mixed": {"b": " two ", "#text": "one"},
        }
    }


@pytest.mark.rule(43)
@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "latin-1"])
def test_a_text_has_at_most_a_million_control_characters(codec: str) -> None:
    most = "\x01" * text.MAX_CONTROLS + "a\n\t" * 1000
    assert decode_text(most.encode(codec), codec) == most
    with pytest.raises(TooLarge, match="control characters"):
        decode_text((most + "\x1b").encode(codec), codec)
