"""What a body may cost: how many values are made of it, and what is read side by side."""

import asyncio
import threading
from typing import Any

import pytest

from hookline.bodies import json as json_bodies
from hookline.bodies import xml
from hookline.bodies.text import Received
from hookline.service.uploads import reader
from hookline.testing.hook import HookOverMemory, webhook_flow


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

    monkeypatch.setattr(reader, "read_xml", read)
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
