"""What a body may cost: how many values are made of it, and what is read side by side."""

import asyncio
import threading
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.bodies import json as json_bodies
from hookline.bodies import xml
from hookline.bodies.received_body import Received
from hookline.bodies.urlencoded import read_properties
from hookline.kernel.errors import Malformed, TooLarge
from hookline.service.uploads import body_reader
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow


async def status(body: bytes, content_type: str, **settings: Any) -> int:
    hook = HookOverMemory(webhook_flow(**settings))
    reply = await hook.send(body, content_type)
    assert len(hook.intake.accepted) == (reply.status == 202)
    return reply.status


@pytest.fixture
def few_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "MAX_VALUES", 3000)
    monkeypatch.setattr(xml, "_INLINE", 1000)
    monkeypatch.setattr(json_bodies, "MAX_VALUES", 3000)


@pytest.mark.rule(43)
@pytest.mark.parametrize(
    ("element", "values"),
    [(b"<a/>", 1), (b"<a b='1'/>", 2), (b"<a>x</a>", 1), (b"<a b='' c=''><d/></a>", 4), (b"<a xmlns:b='c'/>", 2)],
)
@pytest.mark.usefixtures("few_values")
async def test_xml_of_too_many_elements_and_attributes_is_413(element: bytes, values: int) -> None:
    most = 2999 // values
    assert await status(b"<r>" + element * most + b"</r>", "application/xml") == 202
    assert await status(b"<r>" + element * (most + 1), "application/xml") == 413, "as soon as it is known"


@pytest.mark.rule(16)
async def test_json_of_too_many_lists_and_objects_is_413(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_bodies, "MAX_CONTAINERS", 100)
    for inner in (b"[]", b"{}"):
        assert await status(b"[" + b",".join([inner] * 99) + b"]", "application/json") == 202
        assert await status(b"[" + b",".join([inner] * 100) + b"]", "application/json") == 413


async def test_a_tag_of_too_many_attributes_is_413_before_it_is_read() -> None:
    attributes = b" ".join(b"a%x=''" % place for place in range(100_001))
    assert await status(b"<r " + attributes + b"/>", "application/xml") == 413


async def test_a_long_text_in_xml_is_taken_whatever_signs_are_in_it() -> None:
    assert await status(b"<r><a>" + b"key=value; " * 90_000 + b"</a></r>", "application/xml") == 202
    assert await status(b"<r><![CDATA[" + b"a<b=c;" * 150_000 + b"]]></r>", "application/xml") == 202


def part(name: str, value: bytes) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"\r\nContent-Type: application/json\r\n\r\n'
    return head.encode() + value + b"\r\n"


@pytest.mark.rule(43)
@pytest.mark.usefixtures("few_values")
async def test_json_in_parts_and_fields_has_as_many_values_together_as_a_body_of_json() -> None:
    value = b"[" + b",".join([b"[]"] * 700) + b"]"
    multipart = "multipart/form-data; boundary=b"
    assert await status(part("a", value) + part("b", value) + b"--b--\r\n", multipart) == 202
    assert await status(part("a", value) + part("b", value) + part("c", value) + b"--b--\r\n", multipart) == 413
    form, fields = "application/x-www-form-urlencoded", {"json_fields": ["a", "b", "c"]}
    assert await status(b"a=%b&b=%b" % (value, value), form, **fields) == 202
    assert await status(b"a=%b&b=%b&c=%b" % (value, value, value), form, **fields) == 413
    assert await status(b"a=%b&b=%b&c=%b" % (value, value, value), form) == 202, "as texts they are three"


async def test_large_bodies_are_read_one_after_the_other_also_where_a_sender_goes_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python runs in one thread at once: side by side they would take as long, and more memory."""
    go, begun, lock = threading.Event(), asyncio.Event(), threading.Lock()
    loop = asyncio.get_running_loop()
    at_once: list[int] = []
    now = 0

    def read(data: bytes, *_: Any) -> Received:
        nonlocal now
        with lock:
            now += 1
            at_once.append(now)
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(10)
        with lock:
            now -= 1
        return Received(None, raw=data)

    monkeypatch.setattr(body_reader, "read_xml", read)
    hook = HookOverMemory(webhook_flow())
    body = b"<a>" + b" " * 100_000 + b"</a>"
    first = asyncio.create_task(hook.send(body, "application/xml"))
    await begun.wait()
    others = [asyncio.create_task(hook.send(body, "application/xml")) for _ in range(3)]
    for _ in range(20):
        await asyncio.sleep(0)
    first.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert at_once == [1]
    assert (await hook.send(b"<a/>", "text/csv")).status == 202, "what isn't read in a thread doesn't wait"
    go.set()
    assert [(await other).status for other in others] == [202] * 3
    await asyncio.wait((first,))
    assert first.cancelled()
    assert at_once == [1] * 4


@pytest.mark.rule(16)
@pytest.mark.parametrize("number", [b"8.5e-324", b"1e308", b"1.7E+0308", b"123.4567e-0290"])
async def test_too_many_numbers_with_large_exponents_are_413_before_they_are_read(number: bytes) -> None:
    assert await status(b"[" + b",".join([number] * 1000) + b"]", "application/json") == 202
    assert await status(b"[" + b",\n".join([number] * 4000) + b"]", "application/json") == 413
    numbers = {"numbers": "exact"}
    assert await status(b"[" + b",".join([b"1e300"] * 40_000) + b"]", "application/json", **numbers) == 413


async def test_small_exponents_and_hexadecimal_texts_are_not_counted() -> None:
    for value in (b"1.5e-12", b'"3e123"', b'"0e100-1e200"', b"1e00000000000000000012"):
        assert await status(b"[" + b", ".join([value] * 20_000) + b"]", "application/json") == 202


@pytest.mark.rule(16)
async def test_too_many_long_integers_are_413_before_they_are_read() -> None:
    assert await status(b"[" + b",".join([b"7" * 4290] * 100) + b"]", "application/json") == 202
    assert await status(b"[" + b",".join([b"7" * 4290] * 125) + b"]", "application/json") == 413
    parts = b"".join(part("a", b"[" + b",".join([b"7" * 617] * 450) + b"]") for _ in range(2))
    assert await status(parts + b"--b--\r\n", "multipart/form-data; boundary=b") == 413
    assert await status(b'"' + b"7" * 3_000_000 + b'"', "application/json") == 202, "digits in a text are no integer"


@pytest.mark.rule(16)
@pytest.mark.parametrize("numbers", ["exact", "binary"])
async def test_many_integers_beyond_64_bits_are_413_and_texts_of_digits_are_not(numbers: str) -> None:
    def body(one: bytes, count: int) -> bytes:
        return b"[" + b",".join([one] * count) + b"]"

    hook = HookOverMemory(webhook_flow(numbers=numbers))
    for one in (b"9" * 20, b"-" + b"9" * 20):
        assert (await hook.send(body(one, 99_000))).status == 202
        assert (await hook.send(body(b" " + one, 101_000))).status == 413
    assert (await hook.send(body(b"9" * 19, 300_000))).status == 202
    for text in (b'"' + b"9" * 20 + b'"', b'"PL61109010140000071219812874"', b'"ORD-' + b"9" * 20 + b'"'):
        assert (await hook.send(body(text, 200_000))).status == 202


@pytest.mark.parametrize("piece", [b"[", b"1e999,", b"1e9999,", b"1e+308,", b"7", b"7" * 150 + b",", b"7" * 4350])
@pytest.mark.parametrize("exact", [False, True])
def test_a_short_text_that_is_not_counted_is_within_all_bounds(piece: bytes, exact: bool) -> None:
    length = json_bodies._ALWAYS_ROOM
    text = (piece * length)[:length]
    room = json_bodies.Room()
    room.take(text, "the text")
    room.take_numbers(text, "the text", exact=exact)


PIECES = st.lists(
    st.sampled_from(
        [b"%41", b"%e2%82%ac", b"%", b"%4", b"%zz", b"%%41", b"=", b"+", b"a", "ü".encode(), b"\r\n", b"%0a"]
    ),
    max_size=12,
).map(b"".join)


@given(PIECES, PIECES, PIECES)
def test_a_form_is_read_as_the_standard_library_reads_it(one: bytes, two: bytes, three: bytes) -> None:
    data = one + b"&" + two + b"&&" + three
    try:
        expected: dict[str, Any] = parse_qs(data.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        with pytest.raises(Malformed):
            read_properties(data, None)
        return
    read = read_properties(data, None)
    assert {name: value if isinstance(value, list) else [value] for name, value in read.items()} == expected


@pytest.mark.parametrize("before", range(4))
def test_escapes_are_not_cut_apart_in_a_long_value(before: int) -> None:
    value = b"x" * before + b"%41%zz" * 50_000
    assert read_properties(b"a=" + value, None) == {"a": "x" * before + "A%zz" * 50_000}


def test_a_form_in_another_charset_has_a_bounded_number_of_escapes() -> None:
    assert read_properties(b"a=" + b"%e9" * 100_000, "latin-1") == {"a": "é" * 100_000}
    with pytest.raises(TooLarge, match="send UTF-8"):
        read_properties(b"a=" + b"%e9" * 100_001, "latin-1")
