"""`xml.parse` and `xml.render`, called as the engine calls them."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.plugins.action_calls import Chunks, attachment, call

from hookline.api import Message, StepError
from hookline.bodies.xml import MAX_TAG, read_xml
from hookline_files import register_connectors

ACTIONS = {action.name: action for connector in register_connectors() for action in connector.actions.values()}


async def parse(content: bytes | str, **settings: Any) -> Any:
    if isinstance(content, str):
        return await call(ACTIONS["xml.parse"], {"text": content, **settings})
    message = Message(attachments=(attachment(content, "doc", "text/xml"),))
    return await call(ACTIONS["xml.parse"], settings, message=message, blobs=Chunks(content))


async def render(value: Any, **settings: Any) -> Any:
    return await call(ACTIONS["xml.render"], {"value": value, **settings})


async def failure(code: str, work: Any) -> str:
    with pytest.raises(StepError) as caught:
        await work
    assert (caught.value.error_code, caught.value.retryable) == (code, False)
    return caught.value.message


def test_both_are_pure() -> None:
    assert ACTIONS["xml.parse"].pure
    assert ACTIONS["xml.render"].pure


ORDER = b'<?xml version="1.0"?><order id="7"><line n="1">bolt</line><line/><note> a&amp;b </note></order>'


@pytest.mark.rule(8)
async def test_xml_is_read_as_a_body_is() -> None:
    expected = {"order": {"@id": "7", "line": [{"@n": "1", "#text": "bolt"}, None], "note": " a&b "}}
    assert await parse(ORDER) == expected == read_xml(ORDER, None, ()).body
    assert await parse(ORDER.decode()) == expected
    assert await parse("<a><b/></a>", force_list=["b"]) == {"a": {"b": [None]}}
    assert await parse("") is None


async def test_the_encoding_is_that_of_the_declaration_or_the_setting() -> None:
    assert await parse('<?xml version="1.0" encoding="windows-1252"?><a>\u20ac</a>'.encode("cp1252")) == {"a": "\u20ac"}
    assert await parse("<a>\u20ac</a>".encode("cp1252"), encoding="windows-1252") == {"a": "\u20ac"}
    assert await parse('<?xml version="1.0" encoding="latin-1"?><a>\u20ac</a>') == {"a": "\u20ac"}, "a text is decoded"


async def test_a_body_that_is_a_text_is_parsed_where_nothing_else_is_there() -> None:
    assert await call(ACTIONS["xml.parse"], {}, message=Message("<a/>")) == {"a": None}


@pytest.mark.parametrize(
    ("code", "content", "settings", "said"),
    [
        ("xml.syntax", "<a>", {}, "the XML is not XML: no element found"),
        ("xml.syntax", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", {}, "the XML has a DOCTYPE"),
        ("xml.syntax", "<a>" * 200, {}, "deeper than 128"),
        ("xml.syntax", b"<a>\xff</a>", {}, "not well-formed"),
        ("xml.syntax", b"<a>\xff</a>", {"encoding": "utf-8"}, "the XML is not utf-8"),
        ("xml.too_large", "<a></a>", {"max_bytes": 5}, "7 bytes"),
        ("xml.too_large", b"<a></a>", {"max_bytes": 5}, "'doc' has 7 bytes"),
        ("xml.input", "<a/>", {"file": "doc"}, "either"),
    ],
)
async def test_what_cannot_be_read_is_named(code: str, content: Any, settings: dict[str, Any], said: str) -> None:
    assert said in await failure(code, parse(content, **settings))


@pytest.mark.rule(43)
async def test_xml_has_no_more_elements_than_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookline.bodies.xml.MAX_VALUES", 1000)
    assert "more than 1,000 elements" in await failure("xml.too_large", parse("<a>" + "<b/>" * 1000 + "</a>"))


@pytest.mark.rule(43)
@pytest.mark.parametrize(
    "text", ["<a b='{}'/>", "<{}", "<a {}", "<!--{}--><a/>", "<?a {}?><a/>", "<a>&{};</a>", "<a></{}>"]
)
async def test_a_tag_is_never_read_again_and_again(text: str) -> None:
    longest = "x" * MAX_TAG
    said = await failure("xml.too_large", parse(text.format(longest * 2)))
    assert "a tag, a comment or a processing instruction of more than 4,194,304 bytes" in said


@pytest.mark.parametrize("text", ["<a>{}</a>", "<a><![CDATA[{}]]></a>"])
async def test_long_content_is_no_long_tag(text: str) -> None:
    content = "x" * (2 * MAX_TAG)
    assert await parse(text.format(content)) == {"a": content}


async def test_values_are_written_as_elements_attributes_and_texts() -> None:
    value = {"order": {"@id": 7, "#text": "a<b", "line": [{"@q": 'x"y\n'}, True, Decimal("1.10"), None], "none": []}}
    written = '<order id="7">a&lt;b<line q="x&quot;y&#10;"/><line>true</line><line>1.10</line><line/></order>'
    assert await render(value) == f'<?xml version="1.0" encoding="utf-8"?>\n{written}'
    assert await render(value["order"], root="order", declaration=False) == written
    assert await render("x", root="a", declaration=False) == "<a>x</a>"


async def test_letters_that_an_encoding_lacks_become_references() -> None:
    written = await render({"a": "\u20ac\u00e9"}, encoding="iso-8859-1")
    assert written == '<?xml version="1.0" encoding="iso8859-1"?>\n<a>&#8364;\u00e9</a>'
    assert await parse(written.encode("latin-1")) == {"a": "\u20ac\u00e9"}


async def test_a_name_has_only_letters_of_the_encoding() -> None:
    assert await parse((await render({"é": 1}, encoding="latin-1")).encode("latin-1")) == {"é": "1"}
    said = await failure("xml.name", render({"a": {"@Ж": 1}}, encoding="latin-1"))
    assert said == "'a.@Ж': iso8859-1 lacks a letter of the name 'Ж'; use utf-8"


@pytest.mark.parametrize(
    ("code", "value", "said"),
    [
        ("xml.root", {"a": 1, "b": 2}, "as `root`"),
        ("xml.root", "x", "as `root`"),
        ("xml.root", {"a": [1]}, "one element"),
        ("xml.root", {"@a": "x"}, "one element"),
        ("xml.name", {"a": {"b c": 1}}, "'a.b c': 'b c' can't be a name"),
        ("xml.name", {"a": {"@": 1}}, "'' can't be a name"),
        ("xml.name", {"a": {"1": 1}}, "rename the key"),
        ("xml.name", {"a": {"x><y": 1}}, "can't be a name"),
        ("xml.value", {"a": {"b": [[1]]}}, "a.b contains a list in a list"),
        ("xml.value", {"a": {"@b": {}}}, "a.@b contains an object"),
        ("xml.value", {"a": "\x00"}, "remove it"),
        ("xml.value", {"a": {"#text": "\ufffe"}}, "remove it"),
        ("xml.too_large", {"a": {"b": [None] * 500_000}}, "more than 500,000"),
        ("xml.too_large", {"a": {"b" * 1000: [None] * 30_000}}, "50,000,000 characters"),
    ],
)
async def test_what_has_no_form_in_xml_is_named_with_its_place(code: str, value: Any, said: str) -> None:
    assert said in await failure(code, render(value))


async def test_a_value_that_is_too_deep_is_an_error() -> None:
    value: Any = None
    for _ in range(128):
        value = {"a": value}
    assert (await render(value)).count("<a") == 128
    assert "deeper than 128" in await failure("xml.value", render({"a": value}))


async def test_settings_that_make_no_sense_are_rejected_before_anything_runs() -> None:
    with pytest.raises(ValidationError):
        await parse("<a/>", encoding="base64")


NAMES = st.from_regex(r"[A-Za-z_\u00e9\u0416][A-Za-z0-9_.\u00e9-]{0,4}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=6).map(
    lambda text: text + "\t\r\n"[: len(text) % 4]
)


def element(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Elements with attributes, and with a text or with elements; a list has at least two."""
    names = NAMES.map("@{}".format)
    attributes, some = st.dictionaries(names, TEXTS, max_size=2), st.dictionaries(names, TEXTS, min_size=1, max_size=2)
    inner = st.dictionaries(NAMES, children | st.lists(children, min_size=2, max_size=3), min_size=1, max_size=3)
    text = TEXTS.filter(bool).map(lambda text: {"#text": text})
    trimmed = TEXTS.map(lambda text: text.strip(" \t\r\n")).map(lambda text: {"#text": text} if text else {})
    return (
        st.tuples(some, text).map(lambda parts: parts[0] | parts[1])
        | some
        | st.tuples(attributes, trimmed, inner).map(lambda parts: parts[0] | parts[1] | parts[2])
    )


ELEMENTS = st.recursive(st.none() | TEXTS.filter(bool), element, max_leaves=12)


@given(name=NAMES, content=ELEMENTS)
async def test_what_is_rendered_parses_back(name: str, content: Any) -> None:
    written = await render({name: content})
    assert await parse(written) == {name: content}
    assert await parse(written.encode()) == {name: content}


@given(text=TEXTS.filter(bool), encoding=st.sampled_from(["ascii", "windows-1252", "iso-8859-15", "utf-16"]))
async def test_a_text_parses_back_in_any_encoding(text: str, encoding: str) -> None:
    written = await render({"a": {"@b": text, "#text": text}}, encoding=encoding)
    assert await parse(written.encode(encoding)) == {"a": {"@b": text, "#text": text}}
