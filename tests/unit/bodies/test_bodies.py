"""Bodies of each media type."""

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookline.bodies.json import read_json
from hookline.bodies.media_types import read_media
from hookline.bodies.urlencoded import lenient_query
from hookline.kernel.errors import Malformed, UnsupportedMedia
from hookline.kernel.json import encode
from hookline.model.message import Envelope, pack
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.service.uploads.decompression import content_codings
from hookline.service.uploads.incoming_files import clean_filename, read_disposition
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

SMALL = HookOptions("https://hooks.example", max_body=100_000, max_file=1_000_000)


async def received(body: bytes | list[bytes], content_type: str | None, **settings: Any) -> Envelope:
    hook = HookOverMemory(webhook_flow(**settings))
    reply = await hook.send(body, content_type)
    assert reply.status == 202, reply.body
    (envelope,) = hook.intake.accepted
    return envelope


async def rejected(body: bytes | list[bytes], content_type: str | None, **settings: Any) -> tuple[int, str]:
    hook = HookOverMemory(webhook_flow(**settings), options=SMALL)
    reply = await hook.send(body, content_type, declare=False)
    assert not hook.intake.accepted
    assert not hook.memory_blobs.kept
    assert hook.memory_blobs.open_writers == 0
    return reply.status, json.loads(reply.body)["detail"]


# --- JSON --------------------------------------------------------------------------------------------------------


@pytest.mark.rule(7)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"-9223372036854775809", -9223372036854775809),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": 1, "b": 2, "a": 3}', {"a": 3, "b": 2}),
        (b"", None),
        (b"\xef\xbb\xbf", None),
        (b" null ", None),
        (b'"\\u0000\\ud83d\\ude00"', "\0😀"),
        (b"0.1", 0.1),
    ],
)
def test_json_is_read_exactly(text: bytes, value: Any) -> None:
    read = read_json(text)
    assert read.body == value
    assert type(read.body) is type(value)
    assert read.json is not None
    assert json.loads(read.json) == value


@pytest.mark.rule(7)
def test_json_keeps_the_order_of_keys() -> None:
    assert list(read_json(b'{"b": 1, "a": 2, "c": 3}').body) == ["b", "a", "c"]


@pytest.mark.rule(7)
@pytest.mark.parametrize(
    "text",
    [
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e400",
        b"-1e400",
        b"1" * 5000,
        b'"\\ud800"',
        b'"\\udc00x"',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'{"a": 1,}',
        b"[1] x",
        b"'a'",
        b"01",
        b'"a\nb"',
        b"[",
        b"\x0c",
        b"[" * 129 + b"]" * 129,
        b'{"a":' * 129 + b"1" + b"}" * 129,
        b"[" * 250_000,
        b'{"a":' * 250_000,
    ],
)
def test_what_json_does_not_allow_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        read_json(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b'{"a": "x\\ud800y"}', r"half of a surrogate pair, \ud800, stands alone at byte 8"),
        (b'{"\\uD83D": 1}', r"half of a surrogate pair, \uD83D, stands alone at byte 2"),
        (b'["\\ud83d\\ude00", "\\udc00"]', r"half of a surrogate pair, \udc00, stands alone at byte 18"),
        (b'"\\ud83d\\u0041"', r"half of a surrogate pair, \ud83d, stands alone at byte 1"),
        (b'["\\\\ud800", "\\ud801\\ud802\\udc00"]', r"half of a surrogate pair, \ud801, stands alone at byte 13"),
        (b'{"a": "\xc3\xa9\xed\xa0\x80"}', "half of a surrogate pair stands alone at byte 9"),
        (b'{"a": "x\xff"}', "it is not UTF-8 at byte 8"),
    ],
)
def test_what_is_no_text_in_json_is_named_with_its_place(text: bytes, fault: str) -> None:
    with pytest.raises(Malformed) as raised:
        read_json(text)
    assert raised.value.message == f"the body is not JSON: {fault}; send characters as UTF-8, or escaped whole"


@pytest.mark.parametrize(
    "text", [b'["a', b'["a\xc3', b'["\\ud83d', b'["\\ud83d\\ud', b'["\\\\ud800", ', b'{"a": "\\ud83d\\ude00", }']
)
def test_json_that_is_cut_off_or_wrong_elsewhere_says_nothing_of_surrogates(text: bytes) -> None:
    with pytest.raises(Malformed) as raised:
        read_json(text)
    assert "surrogate" not in raised.value.message
    assert "UTF-8" not in raised.value.message


@pytest.mark.rule(7)
def test_json_may_be_128_levels_deep_and_wide_besides() -> None:
    assert read_json(b"[" * 128 + b"]" * 128).body is not None
    assert len(read_json(b"[" + b"[{}]," * 1000 + b"[]]").body) == 1001


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda children: st.lists(children) | st.dictionaries(st.text(st.characters(codec="utf-8")), children),
    max_leaves=20,
)


@given(json_values)
def test_json_read_is_what_was_written(value: Any) -> None:
    assert read_json(encode(value)).body == value


async def test_plus_json_is_json() -> None:
    for kind in ("application/cloudevents+json", "APPLICATION/JSON;charset=UTF-8", "text/json"):
        assert (await received(b'{"a": 1}', kind)).message.body == {"a": 1}


# --- XML ---------------------------------------------------------------------------------------------------------


@pytest.mark.rule(8)
async def test_xml_attributes_text_and_lists() -> None:
    text = b"""<?xml version="1.0"?>
        <order id="7"><line n="1">a</line><line>b</line><note/><x:y xmlns:x="u">z</x:y></order>"""
    envelope = await received(text, "application/xml")
    assert envelope.message.body == {
        "order": {
            "@id": "7",
            "line": [{"@n": "1", "#text": "a"}, "b"],
            "note": None,
            "x:y": {"@xmlns:x": "u", "#text": "z"},
        }
    }
    assert envelope.raw == text
    assert envelope.body_json is None


async def test_xml_force_list_makes_lists_of_one() -> None:
    body = (await received(b"<o><line>a</line></o>", "application/soap+xml", force_list=("line",))).message.body
    assert body == {"o": {"line": ["a"]}}


async def test_xml_charsets() -> None:
    assert (await received("<a>é</a>".encode("latin-1"), "text/xml; charset=iso-8859-1")).message.body == {"a": "é"}
    declared = "<?xml version='1.0' encoding='windows-1252'?><a>€</a>".encode("cp1252")
    assert (await received(declared, "text/xml")).message.body == {"a": "€"}
    assert (await received("<a>é</a>".encode("utf-16"), "text/xml")).message.body == {"a": "é"}
    assert (await received(declared.replace(b"\x80", "é".encode()), "text/xml; charset=utf-8")).message.body == {
        "a": "é"
    }
    assert (await received(b"", "text/xml")).message.body is None


@pytest.mark.rule(8)
@pytest.mark.parametrize(
    "text",
    [
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x"><a/>',
        b"<a>&b;</a>",
        b"<a>",
        b"x",
        b"<a/><b/>",
        b"<a>\x00</a>",
        b"<a>&#xD800;</a>",
        b"<?xml version='1.0' encoding='nope'?><a/>",
        b"<?xml version='1.0' encoding='shift_jis'?><a>\x82</a>",
        b"<a>\xff</a>",
        b"<a>" * 129 + b"</a>" * 129,
        b"<a>" * 30_000,
    ],
)
async def test_xml_that_is_wrong_or_has_a_doctype_is_400(text: bytes) -> None:
    assert (await rejected(text, "application/xml"))[0] == 400


@pytest.mark.rule(8)
async def test_xml_may_be_128_elements_deep() -> None:
    assert (await received(b"<a>" * 128 + b"</a>" * 128, "application/xml")).message.body is not None


@pytest.mark.rule(16)
async def test_large_xml_is_read_off_the_loop() -> None:
    body = (await received(b"<a>" + b"<b>1</b>" * 20_000 + b"</a>", "application/xml")).message.body
    assert len(body["a"]["b"]) == 20_000


# --- Properties --------------------------------------------------------------------------------------------------


@pytest.mark.rule(8)
async def test_properties_that_repeat_are_lists() -> None:
    envelope = await received(b"a=1&b=x+y%2F&a=2&c&a=%C3%A9&=z", "application/x-www-form-urlencoded")
    assert envelope.message.body == {"a": ["1", "2", "é"], "b": "x y/", "c": "", "": "z"}
    assert envelope.raw is not None
    assert (await received(b"a=%E9", "application/x-www-form-urlencoded; charset=latin-1")).message.body == {"a": "é"}
    assert (await received(b"", "application/x-www-form-urlencoded")).message.body == {}


async def test_properties_are_bounded_and_readable() -> None:
    form = "application/x-www-form-urlencoded"
    assert (await rejected(b"a&" * 10_000, form))[0] == 400
    assert (await rejected(b"a=%ff", form))[0] == 400
    assert (await rejected(b"a=\xff", form))[0] == 400
    assert (await rejected(b"a=1", form + "; charset=utf-7"))[0] == 400


def test_a_query_beside_a_body_never_rejects_it() -> None:
    assert lenient_query(b"a=%ff&b=1&b=2") == {"a": "\ufffd", "b": ["1", "2"]}
    assert len(lenient_query(b"&".join(b"k%d=1" % number for number in range(20_000)))) == 10_000


# --- Text and files ----------------------------------------------------------------------------------------------


async def test_text_is_a_string_in_its_charset() -> None:
    assert (await received("é".encode(), "text/plain")).message.body == "é"
    assert (await received(b"\xef\xbb\xbfa,b\n", "text/csv")).message.body == "a,b\n"
    assert (await received("é".encode("cp1252"), "text/plain; charset=windows-1252")).message.body == "é"
    for charset in ("utf-8", "nope", "idna", "unicode_escape", "hex", "utf-7", "a\0b", "x" * 200, "undefined"):
        assert (await rejected(b"\\ud800\xff", f"text/plain; charset={charset}"))[0] == 400


async def test_any_other_type_is_one_attachment() -> None:
    hook = HookOverMemory(webhook_flow())
    for kind, expected in (
        ("image/png", "image/png"),
        (None, "application/octet-stream"),
        ("", "application/octet-stream"),
    ):
        reply = await hook.send(
            [b"da", b"ta"], kind, headers=[(b"content-disposition", b'attachment; filename="a.png"')]
        )
        assert reply.status == 202
        message = hook.intake.accepted[-1].message
        (attachment,) = message.attachments
        assert message.body is None
        assert (attachment.name, attachment.filename, attachment.type, attachment.size) == (
            "body",
            "a.png",
            expected,
            4,
        )
        assert hook.memory_blobs.kept[attachment.id] == b"data"


@pytest.mark.rule(7)
@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t ", b"\xef\xbb\xbf \n"])
async def test_json_and_xml_of_nothing_but_space_are_null_as_if_they_were_empty(body: bytes) -> None:
    for kind in ("application/json", "text/xml"):
        if kind == "application/json" or not body.startswith(b"\xef"):
            envelope = await received(body, kind)
            assert envelope.message.body is None
            assert (envelope.raw or b"") == body


async def test_an_empty_file_is_one_where_its_type_is_said_and_nothing_otherwise() -> None:
    assert (await received(b"", "image/png")).message.attachments[0].size == 0
    assert (await received(b"", None)).message.attachments == ()


# --- Multipart ---------------------------------------------------------------------------------------------------


def form(*parts: tuple[str, bytes], end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n%b\r\n\r\n%b\r\n" % (head.encode(), data) for head, data in parts) + end


FORM = "multipart/form-data; boundary=b"


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_multipart_files_are_attachments_and_fields_the_body(size: int) -> None:
    data = b"\r\n--b" * 3 + b"x\r\n--bo\r\n" + bytes(range(256))
    body = form(
        ('Content-Disposition: form-data; name="a"', b"1"),
        (
            'Content-Disposition: form-data; name="f"; filename="C:\\dir\\..\\x.csv"\r\nContent-Type: text/csv',
            data[6 * 3 :],
        ),
        ('Content-Disposition: form-data; name="a"', "é".encode()),
        ('Content-Disposition: form-data; name="none"; filename=""', b""),
        ('Content-Disposition: form-data; name="empty"; filename="../../etc/passwd"', b""),
    )
    hook = HookOverMemory(webhook_flow())
    assert (await hook.send([body[at : at + size] for at in range(0, len(body), size)], FORM)).status == 202
    message = hook.intake.accepted[0].message
    assert message.body == {"a": ["1", "é"]}
    file, empty = message.attachments
    assert (file.name, file.filename, file.type) == ("f", "x.csv", "text/csv")
    assert hook.memory_blobs.kept[file.id] == data[6 * 3 :]
    assert (empty.name, empty.filename, empty.size) == ("empty", "passwd", 0)
    assert hook.memory_blobs.open_writers == 0
    assert hook.intake.accepted[0].raw is None


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_the_bytes_of_a_form_are_kept_where_it_brings_no_file(size: int) -> None:
    field = ('Content-Disposition: form-data; name="a"', b"1")
    body = form(field, ('Content-Disposition: form-data; name="none"; filename=""', b""), end=b"--b--\r\nepilogue")
    for coding, sent in (("identity", body), ("gzip", gzip.compress(body))):
        hook = HookOverMemory(webhook_flow())
        pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
        assert (await hook.send(pieces, FORM, headers=[(b"content-encoding", coding.encode())])).status == 202
        assert hook.intake.accepted[0].raw == sent
    # What stands after the parts may be as large as files, and is not held in memory.
    hook = HookOverMemory(webhook_flow(), options=SMALL)
    assert (await hook.send([form(field), b"x" * 200_000], FORM)).status == 202
    assert (hook.intake.accepted[0].message.body, hook.intake.accepted[0].raw) == ({"a": "1"}, None)


@pytest.mark.rule(9)
@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"This is a message in several parts.\r\n--bc\r\n", b"--b--\r\nand an epilogue\r\n--b\r\n"),
        (b"\r\n\r\n", b"--b--"),
        (b"x" * 1000 + b"\r\n", b"--b-- \t\r\n"),
    ],
)
async def test_text_around_the_parts_and_blanks_after_a_boundary_are_taken(
    before: bytes, after: bytes, size: int
) -> None:
    field = b'Content-Disposition: form-data; name="a"\r\n\r\n'
    body = before + b"--b \t\r\n" + field + b"1\r\n--b\t \r\n" + field + b"2\r\n" + after
    hook = HookOverMemory(webhook_flow())
    assert (await hook.send([body[at : at + size] for at in range(0, len(body), size)], FORM)).status == 202
    assert hook.intake.accepted[0].message.body == {"a": ["1", "2"]}


@pytest.mark.parametrize("body", [b"--b--\r\n", b"\r\n--b--"])
async def test_a_form_without_parts_has_no_properties(body: bytes) -> None:
    assert (await received(body, FORM)).message.body == {}


FILE = ('Content-Disposition: form-data; name="f"; filename="f"', b"x" * 100)


@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [
        (400, form(FILE), "multipart/form-data"),
        (400, form(FILE), "multipart/form-data; boundary=other"),
        (400, form(FILE), "multipart/form-data; boundary=" + "b" * 500),
        (400, form(FILE, end=b""), FORM),
        (400, form(FILE, ('Content-Disposition: attachment; name="x"', b"")), FORM),
        (400, form(FILE, ("Content-Disposition: form-data", b"")), FORM),
        (400, form(FILE, ("X: y", b"")), FORM),
        (
            400,
            form(('Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"', b"")),
            FORM,
        ),
        (400, b"x" + form(FILE), FORM),
        (400, form(FILE, ('Content-Disposition: form-data; name="a"', b"\xff")), FORM),
        (400, form(FILE, ('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', b"")), FORM),
        (400, form(FILE, ("X: " + "y" * 20_000, b"")), FORM),
        (400, form(*[('Content-Disposition: form-data; name="a"', b"")] * 1001), FORM),
        (400, b"", FORM),
        (400, b"x", FORM),
        (413, form(FILE, ('Content-Disposition: form-data; name="a"', b"x" * 100_001)), FORM),
        (413, form((FILE[0], b"x" * 1_000_001)), FORM),
    ],
)
async def test_multipart_that_is_wrong_leaves_nothing(status: int, body: bytes, content_type: str) -> None:
    pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    assert (await rejected(pieces, content_type))[0] == status


# --- Compression -------------------------------------------------------------------------------------------------


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack_body"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", bare_deflate)],
)
@pytest.mark.parametrize("size", [1, 10, 100_000])
async def test_compressed_bodies_are_inflated_and_kept_as_received(coding: str, pack_body: Any, size: int) -> None:
    text = encode({"a": ["value"] * 5000})
    packed = pack_body(text)
    hook = HookOverMemory(webhook_flow())
    header = [(b"content-encoding", coding.encode())]
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert (await hook.send(pieces, headers=header)).status == 202
    (envelope,) = hook.intake.accepted
    assert envelope.body_json == text
    assert envelope.raw == packed


async def test_gzip_of_several_members_is_one_body() -> None:
    hook = HookOverMemory(webhook_flow())
    packed = gzip.compress(b'{"a":') + gzip.compress(b"1}")
    assert (await hook.send(packed, headers=[(b"content-encoding", b"gzip")])).status == 202
    assert hook.intake.accepted[0].message.body == {"a": 1}


@pytest.mark.parametrize(
    ("status", "packed", "content_type"),
    [
        (413, gzip.compress(b" " * 2_000_000, mtime=0), "application/json"),
        (413, gzip.compress(b" " * 2_000_000, mtime=0), "image/png"),
        (400, gzip.compress(b"{}" * 1000, mtime=0)[:-9], "application/json"),
        (400, gzip.compress(b"{}", mtime=0)[:-1], "application/json"),
        (400, b"{}", "application/json"),
        (400, gzip.compress(b"{}", mtime=0) + b"junk", "application/json"),
    ],
)
async def test_bombs_are_413_and_what_is_not_compressed_400(status: int, packed: bytes, content_type: str) -> None:
    hook = HookOverMemory(webhook_flow(), options=SMALL)
    reply = await hook.send(packed, content_type, headers=[(b"content-encoding", b"gzip")])
    assert reply.status == status
    assert not hook.memory_blobs.kept
    assert hook.memory_blobs.open_writers == 0


def test_codings_that_are_not_taken() -> None:
    assert content_codings("identity, ") == ()
    assert content_codings("GZIP , identity,br") == ("gzip", "br")
    for header in ("compress", "gzip;q=1", "é", "gzip, exi", "br, br, br, br"):
        with pytest.raises(UnsupportedMedia, match="send gzip, deflate, br, zstd"):
            content_codings(header)


# --- Anything at all ---------------------------------------------------------------------------------------------

content_types = st.one_of(
    st.none(),
    st.sampled_from(
        [
            "application/json",
            "application/xml",
            "application/x-www-form-urlencoded",
            FORM,
            "text/plain; charset=utf-16",
            "text/plain; charset=idna",
            'multipart/form-data; boundary="\x00"',
        ]
    ),
    st.text(st.characters(max_codepoint=255), max_size=60),
    st.text(st.sampled_from('abc/;="\\*,+ charset=boundary=utf-8'), max_size=60).map(lambda text: "text/plain;" + text),
)
pieces_of = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"--b", b"\r\n", b"--", b"a", b": ", b"Content-Disposition: form-data; name=a"])).map(
        b"".join
    ),
    st.text(st.sampled_from("<>/a&;=\"'![]{}:,1.eE-\\u")).map(str.encode),
    st.binary(max_size=60).map(gzip.compress),
    st.sampled_from(
        [b"a[b]=1&a[]=2&", b"a[][b]=", b"payload=%7B%7D", b"\x89PNG\r\n\x1a\n", b"MZ", b"\xff\xfe", b"\x28\xb5\x2f\xfd"]
    ),
)
flow_settings = st.fixed_dictionaries(
    {},
    optional={
        "body": st.sampled_from(["auto", "json", "raw"]),
        "nested": st.just(True),
        "json_fields": st.just(("payload", "a")),
        "file_types": st.sampled_from([("image/*",), ("text/csv", "application/octet-stream")]),
        "media_types": st.sampled_from([("image/*", "text/*"), ("*/*",)]),
        "force_list": st.just(("a",)),
        "max_ratio": st.just(1),
    },
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    body=st.lists(pieces_of, max_size=4),
    content_type=content_types,
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"content-encoding", b"content-disposition", b"x"]),
            st.sampled_from(
                [
                    b"gzip",
                    b"deflate",
                    b"br",
                    b"zstd",
                    b"gzip, br",
                    b"chunked",
                    b"5",
                    b"form-data; filename=\xff",
                    b"x; filename*=a'b'%ff; filename*0=x",
                ]
            )
            | st.binary(max_size=20),
        ),
        max_size=3,
    ),
    # Servers pass on no others: see service/server/framing.py.
    framing=st.sampled_from([[], [(b"content-length", b"5")], [(b"transfer-encoding", b"chunked")]])
    | st.integers(0, 10**18 - 1).map(lambda length: [(b"content-length", b"%d" % length)]),
    method=st.sampled_from(["POST", "GET", "PUT", "HEAD", "WHAT"]),
    path=st.sampled_from(["orders", "orders/", "orders/a/b"]) | st.text(max_size=20),
    query=st.binary(max_size=40),
    settings_of_flow=flow_settings,
)
async def test_whatever_is_sent_is_answered_and_never_with_500(
    body: list[bytes],
    content_type: str | None,
    headers: list[tuple[bytes, bytes]],
    framing: list[tuple[bytes, bytes]],
    method: str,
    path: str,
    query: bytes,
    settings_of_flow: dict[str, Any],
) -> None:
    hook = HookOverMemory(webhook_flow(methods=("POST", "GET"), **settings_of_flow))
    headers = framing + headers
    reply = await hook.send(
        body, content_type, method=method, path=path, query=query, headers=headers, declare=not headers
    )
    assert reply.status in {200, 202, 400, 404, 405, 413, 415}, reply.body
    if reply.status == 202:
        assert pack(hook.intake.accepted[0])
    else:
        assert not hook.memory_blobs.kept
    assert hook.memory_blobs.open_writers == 0


@given(st.text(st.characters(max_codepoint=255)) | st.none())
def test_reading_a_content_type_never_fails(header: str | None) -> None:
    assert read_media(header).type


@given(
    st.text(st.characters(max_codepoint=255))
    | st.text(st.sampled_from("filename*=0;'\"%fFutf-8 \\")).map("x; filename*".__add__)
)
def test_reading_a_content_disposition_never_fails(header: str) -> None:
    _, options = read_disposition(header)
    clean_filename(options.get(b"filename"))


@pytest.mark.rule(43)
async def test_json_of_millions_of_values_is_rejected_before_they_are_made() -> None:
    hook = HookOverMemory(webhook_flow())
    for body in (b"[" + b"[]," * 2_000_000 + b"[]]", b"{" + b'"a":1,' * 600_000 + b'"a":1}'):
        assert (await hook.send(body)).status == 413
    # What stands in lists within lists counts for as much: it takes as long to make.
    assert (await hook.send(b"[" + b",".join([b"[[[]]]"] * 250_001) + b"]")).status == 413
    assert (await hook.send(b"[" + b"1," * 900_000 + b"1]")).status == 202
