"""Uploads of every kind pass through little memory, on both servers; `test_bounded` has the plain ones."""

import hashlib
import hmac
import http.client
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import brotli  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.acceptance.server_process import ServerProcess

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MB = 1_000_000
SIZE = 100 * MB
SECRET = "a-secret-that-is-long-enough"
CHUNK = bytes(range(256)) * 256


def plain() -> Iterator[bytes]:
    left = SIZE
    while left > 0:
        yield CHUNK[:left]
        left -= len(CHUNK)


def multipart() -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.bin"\r\n\r\n'
    yield from plain()
    yield b"\r\n--b--\r\n"


def gzipped() -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=31)
    for chunk in plain():
        yield packer.compress(chunk)
    yield packer.flush()


def brotlied() -> Iterator[bytes]:
    packer = brotli.Compressor(quality=1)
    for chunk in plain():
        yield packer.process(chunk)
    yield packer.finish()


def zstandard() -> Iterator[bytes]:
    packer = zstd.ZstdCompressor()
    for chunk in plain():
        yield packer.compress(chunk)
    yield packer.flush()


@pytest.mark.promise(9)
@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.parametrize("server_name", ["hypercorn", "uvicorn"])
@pytest.mark.parametrize(
    ("body", "headers", "signed"),
    [
        (multipart, {"Content-Type": "multipart/form-data; boundary=b"}, False),
        (multipart, {"Content-Type": "multipart/form-data; boundary=b"}, True),
        (gzipped, {"Content-Type": "image/tiff", "Content-Encoding": "gzip"}, False),
        (brotlied, {"Content-Type": "image/tiff", "Content-Encoding": "br"}, False),
        (zstandard, {"Content-Type": "image/tiff", "Content-Encoding": "zstd"}, True),
        (plain, {"Content-Type": "image/tiff"}, True),
    ],
    ids=["multipart", "signed multipart", "gzip", "br", "signed zstd", "signed file"],
)
def test_a_large_upload_passes_through_little_memory(
    make_server: Callable[..., ServerProcess],
    server_name: str,
    body: Callable[[], Iterator[bytes]],
    headers: dict[str, str],
    signed: bool,
) -> None:
    server = make_server("--server", server_name)
    verify = {"scheme": "github", "credential": "key"} if signed else "none"
    server.flow(
        {
            "id": "upload",
            "trigger": {"use": "webhook", "with": {"verify": verify, "max_ratio": 1_000_000}},
            "steps": [{"id": "size", "use": "map", "with": {"body": "$.attachments[0].size"}}],
        }
    )
    if signed:
        server.run("credentials", "set", "key", "--type", "github", f"secret={SECRET}")
    server.start()
    mac = hmac.new(SECRET.encode(), digestmod=hashlib.sha256)
    for chunk in body() if signed else ():
        mac.update(chunk)
    idle = server.memory()
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, server.memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    try:
        sent = headers | {"X-Hub-Signature-256": f"sha256={mac.hexdigest()}"}
        connection.request("POST", "/hook/upload", filter(None, body()), sent, encode_chunked=True)
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
        done.set()
        watcher.join()
    assert response.status == 202, answer
    assert (peak - idle) / MB < 20
    execution = server.ended(response.headers["Hookline-Execution-Id"])
    assert execution["steps"][-1]["output"]["body"] == SIZE
    print(f"{SIZE / MB:.0f} MB on {server_name}: {(peak - idle) / MB:.0f} MB more")
