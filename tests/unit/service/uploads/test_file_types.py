"""Files are what they say where a flow restricts types; otherwise they are taken as they come."""

import contextlib
import gzip
import hashlib
import hmac
import io
import json
import zipfile
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.discovery.plugin_loader import load_plugins
from hookline.kernel.errors import UnsupportedMedia
from hookline.service.uploads.file_types import HEAD, FileTypes, detect_type, is_plausible
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = (1).to_bytes(4) * 2 + b"\x08\x02\0\0\0"
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\0\0\0")) + chunk(b"IEND", b"")
    )


def zipped(name: str = "a.txt") -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), "text")
    return held.getvalue()


PNG = png()
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n"
EXE = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff" + bytes(100)
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01" + bytes(50)
HEIC = b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(50)


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("image/png", PNG),
        ("image/x-png", PNG),
        ("image/jpeg", JPEG),
        ("image/pjpeg", JPEG),
        ("image/heic", HEIC),
        ("image/heif", HEIC),
        ("application/pdf", PDF),
        ("application/zip", zipped()),
        ("application/x-zip-compressed", zipped()),
        ("application/vnd.android.package-archive", zipped("classes.dex")),
        ("application/gzip", gzip.compress(b"x", mtime=0)),
        ("application/vnd.acme.packed", gzip.compress(b"x", mtime=0)),
        ("application/vnd.acme", b"ACME1"),
        ("text/csv", b"BMW,1\r\n"),
        ("text/plain", "ID3 ist é\n\tund \x1b[1mfett".encode()),
        ("text/plain", "breit".encode("utf-16")),
        ("text/plain", "größe".encode("cp1252")),
        ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("application/json", b"{}"),
        ("text/csv", b""),
    ],
)
def test_a_file_that_can_be_what_it_says_fits(declared: str, head: bytes) -> None:
    assert is_plausible(declared, detect_type(head), head)


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("image/png", EXE),
        ("image/png", JPEG),
        ("image/png", b"not a picture"),
        ("image/png", b""),
        ("application/pdf", PNG),
        ("application/pdf", b"<html>"),
        ("application/zip", PDF),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", PDF),
        ("application/vnd.acme", EXE),
        ("application/vnd.acme", PNG),
        ("text/csv", PNG),
        ("text/plain", PDF),
        ("text/html", EXE),
        ("application/json", gzip.compress(b"{}", mtime=0)),
        ("image/svg+xml", PNG),
    ],
)
def test_a_file_that_is_something_else_does_not_fit(declared: str, head: bytes) -> None:
    assert not is_plausible(declared, detect_type(head), head)


@given(st.binary(max_size=300), st.sampled_from(["image/png", "text/csv", "application/octet-stream", "x/y", ""]))
def test_any_bytes_are_judged(head: bytes, declared: str) -> None:
    types = FileTypes(("image/*", "text/csv", "x/y"))
    with contextlib.suppress(UnsupportedMedia):
        assert types.judge(declared, head, "it") != "application/octet-stream"


async def sent(
    body: bytes, content_type: str | None, *, size: int = 10**6, **settings: Any
) -> tuple[int, HookOverMemory]:
    hook = HookOverMemory(webhook_flow(**settings))
    reply = await hook.send([body[at : at + size] for at in range(0, len(body), size)], content_type)
    if reply.status != 202:
        assert not hook.memory_blobs.kept
        assert hook.memory_blobs.open_writers == 0
        assert json.loads(reply.body)["code"] == "request.media_type"
    return reply.status, hook


@pytest.mark.parametrize("size", [1, 5000, 10**6])
@pytest.mark.parametrize("restricts", ["media_types", "file_types"])
async def test_a_body_that_is_a_file_is_judged_by_its_first_bytes(restricts: str, size: int) -> None:
    body = PNG + bytes(20_000)
    status, hook = await sent(body, "image/png", size=size, **{restricts: ("image/*",)})
    assert status == 202
    assert list(hook.memory_blobs.kept.values()) == [body]
    (attachment,) = hook.intake.accepted[0].message.attachments
    assert (attachment.type, attachment.size) == ("image/png", len(body))
    for wrong in (EXE + bytes(20_000), PDF, b"x"):
        assert (await sent(wrong, "image/png", size=size, **{restricts: ("image/*",)}))[0] == 415
    assert (await sent(PDF, "application/pdf", size=size, **{restricts: ("image/*",)}))[0] == 415


async def test_where_nothing_is_restricted_a_file_may_be_anything() -> None:
    assert (await sent(EXE, "image/png"))[0] == 202


async def test_a_file_that_says_no_type_is_what_its_bytes_are() -> None:
    for said in (None, "application/octet-stream"):
        status, hook = await sent(PNG, said, file_types=("image/png",))
        assert status == 202
        assert hook.intake.accepted[0].message.attachments[0].type == "image/png"
        assert (await sent(EXE, said, file_types=("image/png",)))[0] == 415
        assert (await sent(b"a,b", said, file_types=("text/csv",)))[0] == 415
    status, hook = await sent(EXE, None, file_types=("image/png", "application/octet-stream"))
    assert hook.intake.accepted[0].message.attachments[0].type == "application/octet-stream"


async def test_bodies_that_are_no_files_are_left_alone() -> None:
    assert (await sent(b"{}", "application/json", file_types=("image/png",)))[0] == 202
    assert (await sent(b"", None, file_types=("image/png",)))[0] == 202


async def test_each_file_of_a_form_is_judged() -> None:
    def form(*files: tuple[str, bytes]) -> bytes:
        parts = [
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\nContent-Type: %b\r\n\r\n%b\r\n'
            % (kind.encode(), data)
            for kind, data in files
        ]
        return b"".join(parts) + b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'

    content_type = "multipart/form-data; boundary=b"
    taken = {"media_types": ("multipart/form-data",), "file_types": ("image/png", "application/pdf")}
    for size in (1, 10**6):
        good = form(("image/png", PNG), ("application/octet-stream", PDF))
        status, hook = await sent(good, content_type, size=size, **taken)
        assert status == 202
        assert [one.type for one in hook.intake.accepted[0].message.attachments] == ["image/png", "application/pdf"]
        for wrong in (("image/png", EXE), ("text/csv", b"a"), ("application/octet-stream", EXE)):
            assert (await sent(form(("image/png", PNG), wrong), content_type, size=size, **taken))[0] == 415
    # Without `file_types` those of the bodies say nothing of the files in them.
    assert (await sent(form(("image/png", EXE)), content_type, media_types=("multipart/form-data",)))[0] == 202


async def test_packed_files_are_judged_by_what_they_are_inside() -> None:
    hook = HookOverMemory(webhook_flow(file_types=("image/png",)))
    headers = [(b"content-encoding", b"gzip")]
    assert (await hook.send(gzip.compress(PNG), "image/png", headers=headers)).status == 202
    assert (await hook.send(gzip.compress(EXE), "image/png", headers=headers)).status == 415


async def test_a_type_that_is_not_taken_is_rejected_before_the_body_is_read() -> None:
    hook = HookOverMemory(webhook_flow(file_types=("image/png",)))
    assert (await hook.send(EXE, "application/x-msdownload")).status == 415
    assert hook.memory_blobs.made == 0


async def test_a_large_signed_file_is_judged_where_it_waits() -> None:
    scheme = load_plugins().schemes["github"]
    secret = "a-secret-that-is-long-enough"
    credentials = {"key": ("github", scheme.credential.model_validate({"secret": secret}))}
    for first, status in ((PNG, 202), (EXE, 415)):
        body = first + bytes(600_000)
        flow = webhook_flow(scheme=scheme, credential="key", file_types=("image/png",))
        hook = HookOverMemory(flow, credentials=credentials)
        mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        pieces = [body[at : at + 60_000] for at in range(0, len(body), 60_000)]
        reply = await hook.send(pieces, "image/png", headers=[(b"x-hub-signature-256", f"sha256={mac}".encode())])
        assert reply.status == status, reply.body
        # It is written once, whether it stays or goes.
        assert hook.memory_blobs.made == 1
        assert list(hook.memory_blobs.kept.values()) == ([body] if status == 202 else [])


def test_the_head_is_what_the_library_reads() -> None:
    tar = b"a.txt" + bytes(252) + b"ustar" + bytes(HEAD)
    assert detect_type(tar[:HEAD]) == "application/x-tar"
