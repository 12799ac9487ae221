"""The actions `s3.…` and the trigger `s3.new`, over a server that speaks S3."""

import asyncio
import hashlib
import sys
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import aiohttp
import boto3  # type: ignore[import-untyped]  # it has no type hints
import pytest
from pydantic import ValidationError
from tests.ports import free_port
from yarl import URL

from hookline.api import Attachment, Connector, Message, PollResult, StepError
from hookline.discovery.plugin_loader import load_plugins
from hookline.testing.connector_harness import ActionResult, Harness
from hookline.testing.contracts.connector import ConnectorContract
from hookline.testing.fake_http import FakeHttp
from hookline_s3.connector import S3Credential, connector
from hookline_s3.steps import changed_objects, object_reader, object_writes

SECRET = "hunter2-hunter2-hunter2"


class Bucket:
    """A bucket of a test's own, and the connector."""

    def __init__(self, server: str, harness: Harness) -> None:
        self.server = server
        self.name = f"b-{uuid.uuid4().hex}"
        self.harness = harness
        self.credential: dict[str, Any] = {
            "bucket": self.name,
            "endpoint": server,
            "access_key_id": "key",
            "secret_access_key": SECRET,
        }
        # Another client than the one that is tested.
        self.boto: Any = boto3.client(
            "s3", endpoint_url=server, aws_access_key_id="key", aws_secret_access_key=SECRET, region_name="us-east-1"
        )
        self.boto.create_bucket(Bucket=self.name)

    def put(self, key: str, data: bytes = b"x") -> None:
        self.boto.put_object(Bucket=self.name, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        content: bytes = self.boto.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    async def __call__(self, use: str, message: Message | None = None, **settings: Any) -> ActionResult:
        return await self.harness.run_action(f"s3.{use}", credential=self.credential, message=message, with_=settings)

    async def error(self, use: str, **settings: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            await self(use, **settings)
        assert SECRET not in caught.value.message
        return caught.value

    async def look(self, cursor: Any = None, **settings: Any) -> PollResult:
        return await self.harness.run_poll("s3.new", cursor=cursor, credential=self.credential, **settings)

    async def keys(self, **settings: Any) -> list[str]:
        return [one["key"] for one in (await self("list", **settings)).body]

    async def kept(self, data: bytes, media_type: str = "application/pdf") -> Message:
        writer = await self.harness.blobs.create()
        for start in range(0, len(data), 1_000_000):
            await writer.write(data[start : start + 1_000_000])
        blob = await writer.commit()
        return Message(attachments=(Attachment(blob.id, "scan", "scan.pdf", media_type, blob.size, blob.sha256),))

    async def bytes_of(self, ran: ActionResult) -> bytes:
        return b"".join([chunk async for chunk in self.harness.blobs.open(ran.attachments[-1].id)])


@pytest.fixture
async def bucket(s3_server: str) -> AsyncIterator[Bucket]:
    harness = Harness(load_plugins())
    yield Bucket(s3_server, harness)
    await harness.close()


@pytest.mark.parametrize(
    "key",
    [
        "a.txt",
        "a b/ü#?.txt",
        "100%.txt",
        "x%20y",
        "a+b&c=d",
        "back\\slash",
        "q\"uote'",
        "[x]{y}~^`|<>",
        "😀",
        "a:b@c!$",
    ],
)
async def test_an_object_is_written_and_read_by_any_key(bucket: Bucket, key: str) -> None:
    written = (await bucket("write", key=key, content="für")).body
    digest = hashlib.sha256("für".encode()).hexdigest()
    assert {**written, "etag": ""} == {"key": key, "size": 4, "sha256": digest, "etag": ""}
    read = await bucket("read", key=key, format="text")
    assert (read.body, read.extra["key"], read.extra["size"]) == ("für", key, 4)
    assert await bucket.keys() == [key]
    assert bucket.get(key) == "für".encode()


@pytest.mark.parametrize(
    "key", ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\nb", "a\x00", "x" * 1025]
)
async def test_a_key_that_is_none_is_rejected_by_each_action(bucket: Bucket, key: str) -> None:
    for use, settings in (
        ("read", {"key": key}),
        ("write", {"key": key, "content": "x"}),
        ("exists", {"key": key}),
        ("delete", {"key": key}),
        ("link", {"key": key}),
        ("copy", {"key": key, "to": "b"}),
        ("copy", {"key": "a", "to": key}),
        ("move", {"key": "a", "to": key}),
    ):
        error = await bucket.error(use, **settings)
        assert (error.error_code, error.retryable) == ("s3.key", False)


async def test_what_an_object_becomes(bucket: Bucket) -> None:
    await bucket("write", key="order.json", content={"id": 9007199254740993, "lines": [None, "ü"]})
    assert (await bucket("read", key="order.json", format="json")).body == {
        "id": 9007199254740993,
        "lines": [None, "ü"],
    }
    await bucket("write", key="latin.txt", content="für", encoding="iso-8859-1")
    assert (await bucket("read", key="latin.txt", format="text", encoding="iso-8859-1")).body == "für"
    bucket.put("lines.txt", '\ufeffeins\r\nzwei\n\n{"a":1}'.encode())
    assert (await bucket("read", key="lines.txt", format="lines")).body == ["eins", "zwei", "", '{"a":1}']
    bucket.put("lines.jsonl", b'{"a": 1}\n\n[2]\n')
    assert (await bucket("read", key="lines.jsonl", format="json_lines")).body == [{"a": 1}, [2]]
    whole = await bucket("read", key="lines.jsonl")
    (kept,) = whole.attachments
    assert (kept.name, kept.size, await bucket.bytes_of(whole)) == ("lines.jsonl", 14, b'{"a": 1}\n\n[2]\n')


async def test_lines_are_whole_wherever_the_content_is_cut(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_reader, "_PIECE", 1)
    lines = [f"{number} für 😀" * 20_000 for number in range(6)]
    bucket.put("long.txt", "\n".join(lines).encode())
    assert (await bucket("read", key="long.txt", format="lines")).body == lines


@pytest.mark.parametrize(
    ("data", "settings", "code", "message"),
    [
        (b"\xff\xfe", {"format": "text"}, "s3.encoding", "byte 1 is not utf-8"),
        (b"ok\n\xff", {"format": "lines"}, "s3.encoding", "utf-8"),
        (b"ok\n\xc3", {"format": "lines"}, "s3.encoding", "utf-8"),
        (b"{", {"format": "json"}, "s3.content", "is not JSON"),
        (b'{"a":1}\n\n{', {"format": "json_lines"}, "s3.content", "line 3 is not JSON"),
        (b"12345", {"max_bytes": 4}, "s3.too_large", "5 bytes"),
    ],
)
async def test_content_that_is_not_what_it_should_be_is_named(
    bucket: Bucket, data: bytes, settings: dict[str, Any], code: str, message: str
) -> None:
    bucket.put("odd", data)
    error = await bucket.error("read", key="odd", **settings)
    assert (error.error_code, error.retryable) == (code, False)
    assert message in error.message


async def test_an_attachment_of_any_size_goes_up_and_comes_down_in_bounded_memory(bucket: Bucket) -> None:
    chunk = bytes(range(256)) * 4096
    message = await bucket.kept(chunk * 60)
    tracemalloc.start()
    written = (await bucket("write", message, key="large.pdf", file="scan")).body
    read = await bucket("read", key="large.pdf")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000_000 < written["size"] == 60 * len(chunk)
    assert written["sha256"] == message.attachments[0].sha256 == read.attachments[-1].sha256
    assert not bucket.boto.list_multipart_uploads(Bucket=bucket.name).get("Uploads")


async def test_an_object_has_the_media_type_of_its_file_or_its_name(bucket: Bucket) -> None:
    message = await bucket.kept(b"%PDF-1", "application/x-scan")
    await bucket("write", message, key="a", file="scan")
    await bucket("write", key="b.csv", content="x")
    await bucket("write", key="c.csv", content="x", content_type="text/plain; charset=utf-8")
    types = [bucket.boto.head_object(Bucket=bucket.name, Key=key)["ContentType"] for key in ("a", "b.csv", "c.csv")]
    assert types == ["application/x-scan", "text/csv", "text/plain; charset=utf-8"]
    with pytest.raises(ValidationError):
        await bucket("write", key="d", content="x", content_type="text/plain\r\nx-evil: 1")


@pytest.mark.parametrize("size", [3, object_writes.PART + 3])
async def test_create_leaves_another_object_and_knows_its_own(bucket: Bucket, size: int) -> None:
    message = await bucket.kept(b"1" * size)
    for _ in range(2):
        made = (await bucket("write", message, key="a", file="scan", mode="create")).body
        assert made["size"] == size
    other = await bucket.kept(b"2" * size)
    with pytest.raises(StepError) as caught:
        await bucket("write", other, key="a", file="scan", mode="create")
    assert caught.value.error_code == "s3.exists"
    assert bucket.get("a") == b"1" * size
    await bucket("write", other, key="a", file="scan")
    assert bucket.get("a") == b"2" * size


async def test_objects_are_listed_by_prefix_and_name(bucket: Bucket) -> None:
    for key in ("in/b.csv", "in/a.csv", "in/deep/c.csv", "in/d.txt", "inside/e.csv", "f.csv"):
        bucket.put(key)
    assert await bucket.keys(prefix="in", pattern="*.csv") == ["in/a.csv", "in/b.csv", "in/deep/c.csv"]
    assert await bucket.keys(prefix="in/deep/") == ["in/deep/c.csv"]
    assert await bucket.keys(prefix="no") == []
    (one,) = (await bucket("list", prefix="in", pattern="d.*")).body
    assert (one["key"], one["name"], one["size"]) == ("in/d.txt", "d.txt", 1)
    assert len(await bucket.keys(stream=True)) == 6
    error = await bucket.error("list", max_objects=5)
    assert (error.error_code, "more than 5 objects" in error.message) == ("s3.too_many", True)


async def test_objects_are_looked_for_and_deleted(bucket: Bucket) -> None:
    assert (await bucket("exists", key="a")).body == {"exists": False}
    bucket.put("a", b"12")
    there = (await bucket("exists", key="a")).body
    assert (there["exists"], there["size"]) == (True, 2)
    assert (await bucket("delete", key="a")).body == {"key": "a", "deleted": True}
    assert (await bucket("delete", key="a")).body == {"key": "a", "deleted": False}


async def test_objects_are_copied_and_moved_also_where_an_attempt_was_interrupted(bucket: Bucket) -> None:
    bucket.put("a", b"1")
    for _ in range(2):
        assert (await bucket("copy", key="a", to="b")).body == {"key": "b", "size": 1}
    bucket.put("c", b"2")
    for use in ("copy", "move"):
        error = await bucket.error(use, key="a", to="c")
        assert (error.error_code, error.retryable) == ("s3.exists", False)
    assert bucket.get("c") == b"2"
    for _ in range(2):
        assert (await bucket("move", key="a", to="c", replace=True)).body == {"key": "c", "size": 1}
    assert await bucket.keys() == ["b", "c"]
    # It was copied, and is not deleted yet.
    assert (await bucket("move", key="b", to="c")).body == {"key": "c", "size": 1}
    assert (await bucket("move", key="c", to="c")).body == {"key": "c", "size": 1}
    assert await bucket.keys() == ["c"]
    for use in ("copy", "move"):
        assert (await bucket.error(use, key="x", to="y")).error_code == "s3.not_found"


async def test_a_link_gives_an_object_to_anybody(bucket: Bucket) -> None:
    bucket.put("a b", b"1")
    url = (await bucket("link", key="a b", expires="5m")).body["url"]
    assert SECRET not in url
    async with aiohttp.ClientSession() as session, session.get(URL(url, encoded=True)) as response:
        assert await response.read() == b"1"
    with pytest.raises(ValidationError):
        await bucket("link", key="a", expires="8d")


async def test_a_credential_of_a_prefix_sees_nothing_else(bucket: Bucket) -> None:
    bucket.put("secret")
    bucket.put("team/a")
    bucket.credential["prefix"] = "team"
    assert await bucket.keys() == ["a"]
    await bucket("write", key="b/c", content="x")
    assert (await bucket("exists", key="secret")).body == {"exists": False}
    assert (await bucket.error("read", key="../secret")).error_code == "s3.key"
    assert [item.body["key"] for item in (await bucket.look()).items] == ["a", "b/c"]
    bucket.credential.pop("prefix")
    assert await bucket.keys() == ["secret", "team/a", "team/b/c"]


async def test_the_bucket_is_the_credentials_or_the_steps(bucket: Bucket) -> None:
    bucket.put("a")
    assert (await bucket.error("read", key="a", bucket="another")).error_code == "s3.bucket"
    name = bucket.credential.pop("bucket")
    assert (await bucket.error("read", key="a")).error_code == "s3.bucket"
    assert (await bucket("read", key="a", bucket=name, format="text")).body == "x"
    for use, settings in (("list", {}), ("write", {"key": "a", "content": "x"})):
        error = await bucket.error(use, bucket=f"no-{name}", **settings)
        assert (error.error_code, error.retryable) == ("s3.bucket", False), use


@pytest.mark.rule(35)
def test_the_bucket_comes_from_vars() -> None:
    assert all("bucket" in action.from_vars for action in connector.actions.values())


async def test_a_missing_object_is_final_and_a_server_that_is_away_can_be_retried(bucket: Bucket) -> None:
    error = await bucket.error("read", key="no")
    assert (error.error_code, error.retryable) == ("s3.not_found", False)
    bucket.credential["endpoint"] = f"http://127.0.0.1:{free_port()}"
    error = await bucket.error("read", key="no")
    assert (error.error_code, error.retryable) == ("s3.unavailable", True)


async def test_new_and_changed_objects_come_once(bucket: Bucket) -> None:
    bucket.put("in/a.csv", b"1")
    bucket.put("in/b.txt", b"1")
    settings = {"prefix": "in", "pattern": "*.csv"}
    first = await bucket.look(**settings)
    assert [item.body["key"] for item in first.items] == ["in/a.csv"]
    assert set(first.items[0].body) == {"key", "name", "size", "modified_at", "etag"}
    assert not (await bucket.look(first.cursor, **settings)).items
    bucket.put("in/a.csv", b"2")
    bucket.put("in/c.csv", b"2")
    second = await bucket.look(first.cursor, **settings)
    assert sorted(item.body["key"] for item in second.items) == ["in/a.csv", "in/c.csv"]
    begun = await bucket.look(baseline=True, **settings)
    assert not begun.items
    bucket.put("in/d.csv")
    assert [item.body["key"] for item in (await bucket.look(begun.cursor, **settings)).items] == ["in/d.csv"]


async def test_more_objects_than_are_kept_track_of_are_rejected_unless_keys_grow(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed_objects, "TRACKED", 2)
    monkeypatch.setattr(changed_objects, "_MOST_ITEMS", 2)
    for key in "abc":
        bucket.put(key)
    with pytest.raises(StepError, match="more than 2 objects") as caught:
        await bucket.look()
    assert caught.value.error_code == "s3.too_many"
    found, cursor, more = [], None, True
    while more:
        polled = await bucket.look(cursor, ordered=True)
        found += [item.body["key"] for item in polled.items]
        cursor, more = polled.cursor, polled.more
    assert (found, cursor) == (["a", "b", "c"], {"after": "c"})
    begun = await bucket.look(baseline=True, ordered=True)
    bucket.put("d")
    for at in (cursor, begun.cursor):
        assert [item.body["key"] for item in (await bucket.look(at, ordered=True)).items] == ["d"]


async def test_a_listing_that_comes_to_a_key_that_is_none_names_it(bucket: Bucket) -> None:
    bucket.put("a/../b")
    error = await bucket.error("list")
    assert (error.error_code, error.retryable) == ("s3.key", False)
    assert "a/../b" in error.message


async def test_a_cancelled_upload_leaves_no_object(bucket: Bucket) -> None:
    message = await bucket.kept(bytes(object_writes.PART * 3))
    running = asyncio.create_task(bucket("write", message, key="a", file="scan"))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await bucket.keys() == []


@pytest.mark.parametrize(
    "values",
    [
        {"access_key_id": "key"},
        {"secret_access_key": SECRET},
        {"bucket": "a/b"},
        {"prefix": "a//b"},
        {"prefix": "../b"},
        {"endpoint": "minio:9000"},
        {"endpoint": "https://user@minio"},
        {"region": "eu central"},
        {"token": "x"},
    ],
)
def test_a_credential_that_can_be_none_is_rejected_and_not_shown(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        S3Credential.model_validate(values)
    assert caught.value.error_count() >= 1


class TestS3(ConnectorContract):
    connector: ClassVar[Connector] = connector
    level = "gold"
    credential: ClassVar[Mapping[str, Any] | None] = {"access_key_id": "key", "secret_access_key": SECRET}
    calls: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "s3.read": {"key": "a", "format": "text"},
        "s3.write": {"key": "a", "content": "x"},
        "s3.list": {},
        "s3.exists": {"key": "a"},
        "s3.delete": {"key": "x"},
        "s3.copy": {"key": "a", "to": "b", "replace": True},
        "s3.move": {"key": "b", "to": "c", "replace": True},
        "s3.link": {"key": "a"},
        "s3.new": {},
    }

    @pytest.fixture(autouse=True)
    def filled(self, s3_server: str, bucket: Bucket) -> None:
        self.credential = {**bucket.credential}  # type: ignore[misc]  # each test has a bucket of its own
        bucket.put("a")

    def answers(self, http: FakeHttp) -> None:
        """It asks the bucket by other ways."""

    async def test_a_credential_is_verified(self, bucket: Bucket) -> None:
        harness = bucket.harness
        from hookline.api import VerifyContext

        assert connector.verifier is not None
        for values, code in ((bucket.credential, None), ({**bucket.credential, "bucket": "nobodys"}, "s3.bucket")):
            ctx: Any = VerifyContext(S3Credential.model_validate(values), harness.http, harness.log, harness.resources)
            if code is None:
                assert await connector.verifier(ctx) == "key"
            else:
                with pytest.raises(StepError) as caught:
                    await connector.verifier(ctx)
                assert caught.value.error_code == code


def test_the_library_is_imported_by_who_uses_it() -> None:
    import subprocess

    code = "import sys, hookline_s3; assert 'obstore' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
