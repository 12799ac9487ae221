"""How a flow says that bodies are read: as JSON whatever their type, or not at all; and what forms may hold."""

import json
import sys
from typing import Any

import pytest

from hookline.model.message import Envelope
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

FORM = "multipart/form-data; boundary=b"
NAIVE = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "text/html; charset=utf-8",
    None,
]


async def received(data: bytes, content_type: str | None, /, **settings: Any) -> tuple[Envelope, HookOverMemory]:
    hook = HookOverMemory(webhook_flow(**settings))
    reply = await hook.send(data, content_type)
    assert reply.status == 202, reply.body
    return hook.intake.accepted[0], hook


async def status(data: bytes, content_type: str | None, /, **settings: Any) -> int:
    hook = HookOverMemory(webhook_flow(**settings))
    reply = await hook.send(data, content_type)
    assert not hook.memory_blobs.kept
    return reply.status


# --- body: json --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", NAIVE)
async def test_json_from_naive_clients_is_read_whatever_type_it_says(content_type: str | None) -> None:
    envelope, _ = await received(b'{"a": [1]}', content_type, body="json")
    assert envelope.message.body == {"a": [1]}
    assert envelope.body_json == b'{"a": [1]}'
    assert envelope.message.attachments == ()
    assert await status(b"a=1", content_type, body="json") == 400
    assert (await received(b"", content_type, body="json"))[0].message.body is None


async def test_json_that_says_another_type_is_that_type_unless_the_flow_says_so() -> None:
    assert (await received(b'{"a":1}', "text/plain"))[0].message.body == '{"a":1}'
    assert (await received(b'{"a":1}', "application/x-www-form-urlencoded"))[0].message.body == {'{"a":1}': ""}


async def test_json_of_naive_clients_is_bounded_as_a_body_and_not_as_a_file() -> None:
    assert await status(b'"' + b"x" * 2000 + b'"', None, body="json", max_body=1000) == 413


async def test_the_query_stays_the_body_of_a_get() -> None:
    for mode in ("json", "raw"):
        hook = HookOverMemory(webhook_flow(body=mode, methods=("GET",)))
        assert (await hook.send(method="GET", query=b"a=1", content_type=None)).status == 202
        assert hook.intake.accepted[0].message.body == {"a": "1"}


# --- body: raw ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "kept"),
    [
        ("application/json", "application/json"),
        ("application/xml", "application/xml"),
        ("text/csv; charset=utf-16", "text/csv"),
        (FORM, "multipart/form-data"),
        (None, "application/octet-stream"),
    ],
)
async def test_a_raw_body_stays_bytes(content_type: str | None, kept: str) -> None:
    data = b'{"not": read \xff'
    envelope, hook = await received(data, content_type, body="raw")
    (attachment,) = envelope.message.attachments
    assert (attachment.name, attachment.type, attachment.size) == ("body", kept, len(data))
    assert hook.memory_blobs.kept[attachment.id] == data
    assert envelope.message.body is None
    assert envelope.raw is None


async def test_an_empty_raw_body_is_an_empty_attachment() -> None:
    envelope, hook = await received(b"", None, body="raw")
    assert [hook.memory_blobs.kept[one.id] for one in envelope.message.attachments] == [b""]


async def test_a_raw_body_is_bounded_as_a_file() -> None:
    envelope, _ = await received(b"x" * 5000, "application/json", body="raw", max_body=1000)
    assert envelope.message.attachments[0].size == 5000
    assert await status(b"x" * 5000, "application/json", body="raw", max_file=1000) == 413


async def test_types_are_restricted_in_each_mode() -> None:
    assert await status(b"{}", "text/plain", body="json", media_types=("application/json",)) == 415
    assert await status(b"{}", "text/plain", body="raw", media_types=("application/json",)) == 415


# --- Fields of forms ---------------------------------------------------------------------------------------------


def part(head: str, data: bytes) -> bytes:
    return b"--b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (head.encode(), data)


END = b"--b--\r\n"


async def test_a_field_of_json_is_its_value() -> None:
    body = (
        part('name="meta"\r\nContent-Type: application/json', b'{"a": [1, 2]}')
        + part('name="meta"\r\nContent-Type: application/vnd.acme+json; charset=utf-16', '"é"'.encode("utf-16"))
        + part('name="text"', b'{"a": 1}')
        + END
    )
    envelope, _ = await received(body, FORM)
    assert envelope.message.body == {"meta": [{"a": [1, 2]}, "é"], "text": '{"a": 1}'}
    hook = HookOverMemory(webhook_flow())
    reply = await hook.send(part('name="meta"\r\nContent-Type: application/json', b"{") + END, FORM)
    assert reply.status == 400
    assert "the field 'meta' is not JSON" in json.loads(reply.body)["detail"]


async def test_a_field_of_json_is_nested_no_deeper_than_the_body_may_be() -> None:
    def nested(levels: int) -> bytes:
        return part('name="a"\r\nContent-Type: application/json', b"[" * levels + b"]" * levels) + END

    assert (await received(nested(127), FORM))[0].message.body is not None
    assert await status(nested(128), FORM) == 400


async def test_a_field_has_a_charset_of_its_own_or_that_of_the_form() -> None:
    body = (
        part('name="own"\r\nContent-Type: text/plain; charset=windows-1252', b"\x80")
        + part('name="before"', "é".encode())
        + part('name="_charset_"', b"iso-8859-1")
        + part('name="after"', b"\xe9")
        + part('name="typed"\r\nContent-Type: text/plain', b"\xe9")
        + END
    )
    envelope, _ = await received(body, FORM)
    assert envelope.message.body == {"own": "€", "before": "é", "_charset_": "iso-8859-1", "after": "é", "typed": "é"}
    assert await status(part('name="_charset_"', b"nope") + part('name="a"', b"1") + END, FORM) == 400


async def test_several_files_may_have_one_name_and_none() -> None:
    body = (
        part('name="f"; filename="1.png"\r\nContent-Type: image/png', b"one")
        + part('name="f"; filename="2.png"\r\nContent-Type: image/png', b"two")
        + part('name="f"\r\nContent-Type: image/png', b"three")
        + part('name="f"; filename=""\r\nContent-Type: image/png', b"four")
        + part('name="f"; filename=""\r\nContent-Type: application/octet-stream', b"")
        + part('name="f"', b"a field")
        + END
    )
    envelope, hook = await received(body, FORM)
    assert [(one.name, one.filename, hook.memory_blobs.kept[one.id]) for one in envelope.message.attachments] == [
        ("f", "1.png", b"one"),
        ("f", "2.png", b"two"),
        ("f", None, b"three"),
        ("f", None, b"four"),
    ]
    assert envelope.message.body == {"f": "a field"}


@pytest.mark.parametrize(
    ("head", "filename"),
    [
        ('filename="naïve.txt"', "naïve.txt"),
        ("filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
        ("filename*=iso-8859-1'en'na%EFve.txt", "naïve.txt"),
        ("filename=\"plain.txt\"; filename*=UTF-8''na%C3%AFve.txt", "plain.txt"),
        ("filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
        ('filename="a\\"b.txt"', 'a"b.txt'),
        ('filename="C:\\\\dir\\\\x.txt"', "x.txt"),
    ],
)
async def test_file_names_are_read_as_senders_write_them(head: str, filename: str) -> None:
    envelope, _ = await received(part(f'name="f"; {head}', b"x") + END, FORM)
    (attachment,) = envelope.message.attachments
    assert attachment.filename == filename
    hook = HookOverMemory(webhook_flow())
    disposition = f"attachment; {head}".encode()
    await hook.send(b"x", "image/png", headers=[(b"content-disposition", disposition)])
    assert hook.intake.accepted[0].message.attachments[0].filename == attachment.filename


@pytest.mark.parametrize("name", ["filename*=a'b'%ff; filename*0=x", "filename*=idna''%ff", "filename*=a\x00''x"])
async def test_a_file_whose_name_nobody_can_read_has_none(name: str) -> None:
    hook = HookOverMemory(webhook_flow())
    disposition = f"attachment; {name}".encode()
    assert (await hook.send(b"x", "image/png", headers=[(b"content-disposition", disposition)])).status == 202
    # Of a name that is given twice, and once so that nobody can read it, Python 3.13 has the other.
    other = "x" if sys.version_info >= (3, 13) and "filename*0" in name else None
    assert hook.intake.accepted[0].message.attachments[0].filename == other


# --- Fields that hold JSON ---------------------------------------------------------------------------------------


async def test_fields_that_hold_json_are_its_value_where_the_flow_says_so() -> None:
    for data, content_type in (
        (b"payload=%7B%22a%22%3A%5B1%5D%7D&b=%7B%7D", "application/x-www-form-urlencoded"),
        (part('name="payload"', b'{"a":[1]}') + part('name="b"', b"{}") + END, FORM),
    ):
        envelope, _ = await received(data, content_type, json_fields=("payload", "absent"))
        assert envelope.message.body == {"payload": {"a": [1]}, "b": "{}"}
        assert (await received(data, content_type))[0].message.body == {"payload": '{"a":[1]}', "b": "{}"}
    assert await status(b"payload=%7B", "application/x-www-form-urlencoded", json_fields=("payload",)) == 400
    deep = b"payload=" + b"[" * 128 + b"]" * 128
    assert await status(deep, "application/x-www-form-urlencoded", json_fields=("payload",)) == 400


async def test_fields_that_hold_json_may_be_nested_and_in_a_query() -> None:
    hook = HookOverMemory(webhook_flow(methods=("GET",), nested=True, json_fields=("a[b]",)))
    assert (await hook.send(method="GET", query=b"a[b]=[1]&a[c]=[1]", content_type=None)).status == 202
    assert hook.intake.accepted[0].message.body == {"a": {"b": [1], "c": "[1]"}}


@pytest.mark.parametrize("setting", ["media_types", "file_types"])
@pytest.mark.parametrize("wrong", ["png", "image/", "image/png; q=1", "image/png, image/gif", ""])
def test_what_is_no_media_type_is_rejected_when_the_flow_is_read(setting: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=setting):
        webhook_flow(**{setting: (wrong,)})
