"""Inputs with which other projects test their readers: understood, or 400; `tests/data/NOTICE.md` has the sources."""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hookline.service.hook_request_and_response import HookResponse
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

DATA = Path(__file__).parents[3] / "data"
PYTHON_MULTIPART: dict[str, Any] = json.loads((DATA / "python_multipart" / "expected.json").read_text("utf-8"))

#: RFC 7578, 4.7 has no transfer encodings in forms: we say so, instead of guessing what the sender means.
ENCODED = {
    "base64_encoding",
    "base64_encoding_whitespace",
    "mixed_case_headers",
    "mixed_plain_and_base64_encoding",
    "quoted_printable_encoding",
}
#: The boundary with which its own test reads it, instead of that of its file.
BOUNDARIES = {"single_field_blocks": "boundary"}


async def sent(body: bytes, content_type: str, size: int) -> tuple[HookResponse, HookOverMemory]:
    hook = HookOverMemory(webhook_flow())
    reply = await hook.send([body[at : at + size] for at in range(0, len(body), size)], content_type)
    return reply, hook


def files(hook: HookOverMemory) -> list[tuple[str, str | None, str, bytes]]:
    (envelope,) = hook.intake.accepted
    return [(one.name, one.filename, one.type, hook.memory_blobs.kept[one.id]) for one in envelope.message.attachments]


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("name", PYTHON_MULTIPART)
async def test_the_inputs_of_python_multipart_are_understood_or_400(name: str, size: int) -> None:
    case = PYTHON_MULTIPART[name]
    body = (DATA / "python_multipart" / f"{name}.http").read_bytes()
    reply, hook = await sent(body, f'multipart/form-data; boundary="{BOUNDARIES.get(name, case["boundary"])}"', size)
    if isinstance(case["expected"], dict) or name in ENCODED:
        assert reply.status == 400
        assert not hook.memory_blobs.kept
        assert hook.memory_blobs.open_writers == 0
        return
    assert reply.status == 202, reply.body
    expected = [part | {"data": base64.b64decode(part["data"])} for part in case["expected"]]
    assert hook.intake.accepted[0].message.body == {
        part["name"]: part["data"].decode() for part in expected if part["type"] == "field"
    }
    assert files(hook) == [
        (
            part["name"],
            part["file_name"],
            part.get("content_type", "application/octet-stream").partition(";")[0],
            part["data"],
        )
        for part in expected
        if part["type"] == "file"
    ]


def test_the_inputs_of_python_multipart_are_all_here() -> None:
    names = {path.stem for path in (DATA / "python_multipart").glob("*.http")}
    assert names == PYTHON_MULTIPART.keys()
    assert names > ENCODED
    kinds = Counter(isinstance(case["expected"], dict) for case in PYTHON_MULTIPART.values())
    assert kinds == {True: 8, False: 25}


BROWSERS = {
    "firefox3-2png1txt": ("anchor.png", "application_edit.png", "example text"),
    "firefox3-2pnglongtext": ("accept.png", "add.png", "--long text\r\n--with boundary\r\n--lookalikes--"),
    "opera8-2png1txt": ("arrow_branch.png", "award_star_bronze_1.png", "blafasel öäü"),
    "webkit3-2png1txt": ("gtk-apply.png", "gtk-no.png", "this is another text with ümläüts"),
    "ie6-2png1txt": ("file1.png", "file2.png", "ie6 sucks :-/"),
}


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("name", BROWSERS)
async def test_uploads_recorded_from_browsers_are_understood(name: str, size: int) -> None:
    folder = DATA / "werkzeug" / name
    body = (folder / "request.http").read_bytes()
    boundary = body.partition(b"\r\n")[0].removeprefix(b"--").decode()
    reply, hook = await sent(body, f'multipart/form-data; boundary="{boundary}"', size)
    assert reply.status == 202, reply.body
    first, second, text = BROWSERS[name]
    kind = "image/x-png" if name.startswith("ie6") else "image/png"
    assert files(hook) == [
        ("file1", first, kind, (folder / "file1.png").read_bytes()),
        ("file2", second, kind, (folder / "file2.png").read_bytes()),
    ]
    assert hook.intake.accepted[0].message.body == {"text": text}


IE7 = b"---------------------------7da36d1b4a0164"


async def test_a_recording_that_has_lost_its_line_ends_is_400_and_understood_with_them() -> None:
    body = (DATA / "werkzeug" / "ie7_full_path_request.http").read_bytes()
    content_type = f"multipart/form-data; boundary={IE7.decode()}"
    assert (await sent(body, content_type, 4096))[0].status == 400
    _, *parts, _ = body.split(b"--" + IE7)
    whole = b""
    for part in parts:
        head, _, data = part.removeprefix(b"\n").removesuffix(b"\n").partition(b"\n\n")
        whole += b"--%b\r\n%b\r\n\r\n%b\r\n" % (IE7, head.replace(b"\n", b"\r\n"), data)
    reply, hook = await sent(whole + b"--%b--\r\n" % IE7, content_type, 4096)
    assert reply.status == 202, reply.body
    (file,) = files(hook)
    name = "Sellersburg Town Council Meeting 02-22-2010doc.doc"
    assert file[:3] == ("cb_file_upload_multiple", name, "application/msword")
    assert hook.intake.accepted[0].message.body["title"] == "2010"


XML = {
    "cyclic.xml": 400,
    "dtd.xml": 400,
    "external.xml": 400,
    "external_file.xml": 400,
    "quadratic.xml": 400,
    "simple-ns.xml": 202,
    "simple.xml": 202,
    "xalan_exec.xsl": 202,
    "xalan_write.xsl": 202,
    "xmlbomb.xml": 400,
    "xmlbomb2.xml": 400,
}


@pytest.mark.parametrize("name", XML)
async def test_the_xml_of_defusedxml_is_understood_or_400(name: str) -> None:
    reply, hook = await sent((DATA / "defusedxml" / name).read_bytes(), "application/xml", 4096)
    assert reply.status == XML[name], reply.body
    if reply.status == 400:
        assert "DOCTYPE" in json.loads(reply.body)["detail"]
    if name == "simple-ns.xml":
        assert hook.intake.accepted[0].message.body == {
            "root": {
                "@xmlns": "namespace",
                "element": [{"@key": "value", "#text": "text"}, "text"],
                "empty-element": None,
                "#text": "tail",
            }
        }


def test_the_xml_of_defusedxml_is_all_here() -> None:
    assert {path.name for path in (DATA / "defusedxml").iterdir()} == XML.keys() | {"LICENSE.txt"}
