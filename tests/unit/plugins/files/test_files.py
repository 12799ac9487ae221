"""`file.write` and `file.read`: whole files, and only under the folder for files."""

import errno
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.plugins.action_calls import call

from hookline.api import Attachment, Message, Reply, StepError
from hookline.api_storage import Blob
from hookline_files import register_connectors

ACTIONS = {action.name: action for connector in register_connectors() for action in connector.actions.values()}
FILE = Attachment("b1", "scan", "scan.pdf", "application/pdf", 6, "")


class Memory:
    """A blob store in memory; its files break off where `broken`."""

    def __init__(self, broken: bool = False) -> None:
        self.blobs = {"b1": b"%PDF-1"}
        self.broken = broken

    async def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        for byte in self.blobs[blob_id]:
            yield bytes([byte])
            if self.broken:
                raise OSError(errno.EIO, "broken off")

    async def create(self) -> "Writer":
        return Writer(self)


class Writer:
    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.data = b""

    @property
    def size(self) -> int:
        return len(self.data)

    async def write(self, chunk: bytes) -> None:
        self.data += chunk

    async def commit(self) -> Blob:
        self.memory.blobs["new"] = self.data
        return Blob("new", len(self.data), hashlib.sha256(self.data).hexdigest())

    async def abort(self) -> None:
        self.data = b""


async def use(name: str, root: Path | None, blobs: Memory | None = None, exact: bool = False, **values: Any) -> Any:
    return await call(
        ACTIONS[name],
        values,
        message=Message(attachments=(FILE,)),
        blobs=blobs or Memory(),
        files_root=root,
        idempotency_key="k1",
        exact=exact,
    )


async def failure(name: str, root: Path | None, **values: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        await use(name, root, **values)
    return caught.value


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


async def test_texts_json_and_attachments_are_written(tmp_path: Path) -> None:
    result = await use("file.write", tmp_path, path="a/b/text.txt", content="für")
    assert result == {"path": "a/b/text.txt", "size": 4, "sha256": hashlib.sha256("für".encode()).hexdigest()}
    await use("file.write", tmp_path, path="latin.txt", content="für", encoding="iso-8859-1")
    await use("file.write", tmp_path, path="order.json", content={"id": 9007199254740993, "lines": [None, "ü"]})
    await use("file.write", tmp_path, path="null.json", content=None)
    await use("file.write", tmp_path, path="scan.pdf", file="scan")
    await use("file.write", tmp_path, path="again.pdf", file={"id": "b1"})
    assert everything(tmp_path) == {
        "a/b/text.txt": "für".encode(),
        "again.pdf": b"%PDF-1",
        "latin.txt": b"f\xfcr",
        "null.json": b"null",
        "order.json": '{"id":9007199254740993,"lines":[null,"ü"]}'.encode(),
        "scan.pdf": b"%PDF-1",
    }


async def test_exact_numbers_are_written_and_read_with_their_digits(tmp_path: Path) -> None:
    await use("file.write", tmp_path, path="order.json", content={"net": Decimal("1.10"), "parts": [Decimal("0.30")]})
    assert everything(tmp_path) == {"order.json": b'{"net":1.10,"parts":[0.30]}'}
    read = await use("file.read", tmp_path, path="order.json", format="json", exact=True)
    assert repr(read.body) == "{'net': Decimal('1.10'), 'parts': [Decimal('0.30')]}"
    read = await use("file.read", tmp_path, path="order.json", format="json")
    assert repr(read.body) == "{'net': 1.1, 'parts': [0.3]}"


PATHS_OUT = [
    *(
        "",
        ".",
        "..",
        "../x",
        "a/../../x",
        "a/../x",
        "/etc/passwd",
        "//x",
        "a//b",
        "a/",
        "./a",
        "a/.",
        "x\0y",
        "x\ny",
        "x\ud800",
    ),
]


@pytest.mark.rule(35)
@pytest.mark.parametrize("path", PATHS_OUT)
async def test_paths_that_lead_out_are_rejected(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name, values in (("file.write", {"content": "x"}), ("file.read", {})):
        assert (await failure(name, root, path=path, **values)).error_code == "file.path"
    assert everything(tmp_path) == {}


@pytest.mark.rule(35)
async def test_an_absolute_path_is_rejected_even_inside(tmp_path: Path) -> None:
    assert (await failure("file.write", tmp_path, path=str(tmp_path / "x"), content="")).error_code == "file.path"


@pytest.mark.rule(35)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(path=st.one_of(st.text(max_size=20), st.lists(st.sampled_from(["..", ".", "a", "", "\\"])).map("/".join)))
async def test_no_path_whatever_writes_outside(tmp_path: Path, path: str) -> None:
    root = tmp_path / "outer" / "root"
    root.mkdir(parents=True, exist_ok=True)
    with suppress(StepError):
        await use("file.write", root, path=path, content="x")
    assert os.listdir(tmp_path / "outer") == ["root"]  # noqa: PTH208 - names are what counts
    assert os.listdir(tmp_path) == ["outer"]  # noqa: PTH208


@pytest.mark.rule(35)
async def test_links_out_of_the_folder_are_rejected(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    for mode in ("replace", "create", "append"):
        for path in ("link/x", "link/secret", "link/new/x"):
            assert (await failure("file.write", root, path=path, content="x", mode=mode)).error_code == "file.path"
    assert (await failure("file.read", root, path="link/secret")).error_code == "file.path"
    assert (await failure("file.read", root, path="file")).error_code == "file.system"
    assert (await failure("file.write", root, path="file", content="x", mode="append")).error_code == "file.system"
    assert (await failure("file.write", root, path="file", content="x", mode="create")).error_code == "file.exists"
    # A replaced link is gone; what it named stays.
    await use("file.write", root, path="file", content="x")
    assert not (root / "file").is_symlink()
    assert everything(outside) == {"secret": b"secret"}


async def test_links_within_the_folder_are_followed_and_the_folder_may_be_one(tmp_path: Path) -> None:
    (tmp_path / "real" / "a").mkdir(parents=True)
    (tmp_path / "real" / "b").symlink_to("a")
    (tmp_path / "root").symlink_to("real")
    await use("file.write", tmp_path / "root", path="b/x", content="x")
    assert (tmp_path / "real" / "a" / "x").read_text() == "x"


async def test_without_a_folder_the_remedy_is_named(tmp_path: Path) -> None:
    for name, values in (("file.write", {"content": "x"}), ("file.read", {})):
        error = await failure(name, None, path="x", **values)
        assert (error.error_code, error.retryable) == ("file.no_root", False)
        assert "HOOKLINE_FILES" in error.message
    missing = await failure("file.write", tmp_path / "not mounted", path="x", content="x")
    assert (missing.error_code, missing.retryable) == ("file.no_root", True)
    assert everything(tmp_path) == {}


async def test_replacing_is_atomic(tmp_path: Path) -> None:
    await use("file.write", tmp_path, path="x", content="old")
    with (tmp_path / "x").open("rb") as reader:
        await use("file.write", tmp_path, path="x", content="new")
        assert reader.read() == b"old"
    assert everything(tmp_path) == {"x": b"new"}


@pytest.mark.parametrize("mode", ["replace", "create"])
async def test_a_file_that_breaks_off_leaves_what_was_there(tmp_path: Path, mode: str) -> None:
    (tmp_path / "x").write_text("old")
    for path in ("x", "y"):
        with pytest.raises(StepError) as caught:
            await use("file.write", tmp_path, Memory(broken=True), path=path, file="scan", mode=mode)
        assert (caught.value.error_code, caught.value.retryable) == ("file.system", True)
    assert everything(tmp_path) == {"x": b"old"}


async def test_an_interrupted_attempts_draft_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".hookline-k1").write_text("half of an earlier attempt, and longer than the whole")
    await use("file.write", tmp_path, path="x", content="whole")
    assert everything(tmp_path) == {"x": b"whole"}


async def test_create_leaves_other_content_alone_and_knows_its_own(tmp_path: Path) -> None:
    first = await use("file.write", tmp_path, path="x", content="one", mode="create")
    assert await use("file.write", tmp_path, path="x", content="one", mode="create") == first
    error = await failure("file.write", tmp_path, path="x", content="two", mode="create")
    assert (error.error_code, error.retryable) == ("file.exists", False)
    assert everything(tmp_path) == {"x": b"one"}


async def test_append_adds_at_the_end(tmp_path: Path) -> None:
    for line in ("one\n", "two\n"):
        await use("file.write", tmp_path, path="log.txt", content=line, mode="append")
    assert everything(tmp_path) == {"log.txt": b"one\ntwo\n"}


async def test_files_get_the_rights_that_the_process_gives(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        await use("file.write", tmp_path, path="x", content="x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


async def test_what_the_system_rejects_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in ("file/x", "folder", "n" * 300):
        for name, values in (("file.write", {"content": "x"}), ("file.read", {})):
            error = await failure(name, tmp_path, path=path, **values)
            assert (error.error_code, error.retryable) == ("file.system", False)
            assert path in error.message
    assert everything(tmp_path) == {"file": b""}


@pytest.mark.parametrize("values", [{}, {"content": "x", "file": "scan"}])
async def test_a_file_has_one_content(tmp_path: Path, values: dict[str, Any]) -> None:
    assert (await failure("file.write", tmp_path, path="x", **values)).error_code == "file.content"


async def test_a_text_that_the_encoding_lacks_is_said(tmp_path: Path) -> None:
    error = await failure("file.write", tmp_path, path="x", content="5 €", encoding="iso-8859-1")
    assert error.error_code == "file.encoding"
    assert everything(tmp_path) == {}


async def test_attachments_of_others_are_not_written(tmp_path: Path) -> None:
    for wanted in ("other", {"id": "b2"}, {}):
        assert (await failure("file.write", tmp_path, path="x", file=wanted)).error_code == "file.attachment"


async def test_what_is_written_reads_back(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes('{"a": ["ü", 9007199254740993]}'.encode())
    reply = await use("file.read", tmp_path, path="x.json", format="json")
    assert reply == Reply({"a": ["ü", 9007199254740993]}, extra={"path": "x.json", "size": 31})
    assert (await use("file.read", tmp_path, path="x.json", format="text")).body.startswith('{"a": ["ü"')
    memory = Memory()
    reply = await use("file.read", tmp_path, memory, path="x.json")
    content = (tmp_path / "x.json").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    kept = Attachment("new", "x.json", "x.json", "application/json", len(content), digest)
    assert reply == Reply(None, extra={"path": "x.json", "size": 31}, attachments=(FILE, kept))
    assert memory.blobs["new"] == content


@pytest.mark.parametrize(
    ("content", "settings", "code"),
    [
        (b"\xff", {"format": "text"}, "file.encoding"),
        (b"{", {"format": "json"}, "file.content"),
        (b"NaN", {"format": "json"}, "file.content"),
        (b"[" * 100_000, {"format": "json"}, "file.content"),
        (b"12345", {"format": "text", "max_bytes": 4}, "file.too_large"),
        (b"12345", {"max_bytes": 4}, "file.too_large"),
    ],
)
async def test_what_cannot_be_read_is_said(tmp_path: Path, content: bytes, settings: dict[str, Any], code: str) -> None:
    (tmp_path / "x").write_bytes(content)
    assert (await failure("file.read", tmp_path, path="x", **settings)).error_code == code


async def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert (await failure("file.read", tmp_path, path="pipe")).error_code == "file.system"


async def test_a_codec_that_is_not_of_text_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="not a text encoding"):
        await use("file.write", tmp_path, path="x", content="x", encoding="rot13")


async def lines(root: Path, **values: Any) -> list[Any]:
    return [line async for line in (await use("file.read", root, **values)).body]


async def test_lines_are_a_stream_of_texts_or_of_json_values(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes("\ufeffone\r\n\r\nthree\n last ".encode())
    (tmp_path / "x.jsonl").write_bytes(b'{"net": 1.10}\n\n[1]\nnull')
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    assert await lines(tmp_path, path="x.txt", format="lines") == ["one", "", "three", " last "]
    assert await lines(tmp_path, path="x.jsonl", format="json_lines") == [{"net": 1.1}, [1], None]
    exact = await lines(tmp_path, path="x.jsonl", format="json_lines", exact=True)
    assert str(exact[0]["net"]) == "1.10"
    assert await lines(tmp_path, path="latin.txt", format="lines", encoding="latin-1") == ["caf\u00e9"]
    assert (await use("file.read", tmp_path, path="x.jsonl", format="json_lines")).extra["size"] == 23


async def test_many_lines_are_read_some_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("".join(f"{number}\n" for number in range(200_000)), encoding="utf-8")
    assert await lines(tmp_path, path="x.txt", format="lines") == [str(number) for number in range(200_000)]


async def test_a_line_that_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookline_files.file_actions.line_reader.LONGEST", 100)
    (tmp_path / "x").write_bytes(b"{}\n{]\n")
    with pytest.raises(StepError, match="line 2 is not JSON"):
        await lines(tmp_path, path="x", format="json_lines")
    (tmp_path / "x").write_bytes(b"{}\n\xff\n")
    with pytest.raises(StepError, match="line 1, or one soon after it, is not utf-8"):
        await lines(tmp_path, path="x", format="lines")
    (tmp_path / "x").write_bytes(b"1\n" + b"2" * 101)
    with pytest.raises(StepError, match="line 2 is longer than 100 characters"):
        await lines(tmp_path, path="x", format="lines")
    error = await failure("file.read", tmp_path, path="x", format="lines", max_bytes=10)
    assert error.error_code == "file.too_large"
