"""How the hook has senders verified."""

from collections.abc import AsyncIterator

import pytest
import structlog
from tests.unit.service.hooks.hook_harness import HeaderOnly, Key, LastByte, Unread, document, signed

from hookline.kernel.errors import CannotVerify
from hookline.sdk.schemes import NoSettings, RequestVerifier, SignedRequest, Verified
from hookline.service.hook_request_and_response import HookRequest
from hookline.service.hooks import verification
from hookline.service.uploads.body_stream import IN_MEMORY
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow


class Broken(LastByte):
    name = "broken"

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def open(self, request: SignedRequest, credential: Key, settings: NoSettings) -> RequestVerifier:
        if self.where == "open":
            raise KeyError("defect")
        return _Broken(self.where)


class _Broken:
    def __init__(self, where: str) -> None:
        self.where = where

    def feed(self, chunk: bytes) -> None:
        if self.where == "feed":
            raise ZeroDivisionError

    async def finish(self) -> Verified:
        if self.where == "cannot":
            raise CannotVerify("the certificate can't be fetched")
        raise RuntimeError("defect")


@pytest.mark.rule(10)
async def test_what_schemes_sign_begins_with_the_public_url_not_with_the_host_header() -> None:
    scheme = LastByte()
    hook = signed(scheme)
    await hook.send(b"{}", path="orders/a%20b", query=b"q=%20&r", headers=[(b"host", b"evil.example")])
    assert scheme.seen is not None
    assert scheme.seen.url == "https://hooks.example/hook/orders/a%20b?q=%20&r"
    assert scheme.seen.received_at == hook.clock.at
    assert hook.intake.accepted[0].arrival.verified_by == "last-byte"


async def test_every_way_of_not_being_verified_gives_the_same_answer() -> None:
    hook = signed(LastByte())
    replies = [
        await hook.send(b"{} "),
        await hook.send(b""),
        await hook.send(b"{}", headers=[(b"x-reject", b"1")]),
        await hook.send(b"{}", headers=[(b"x-reject", b"1"), (b"x-reject", b"2")]),
    ]
    assert document(replies[0])["status"] == 401
    assert all(reply == replies[0] for reply in replies)
    assert not hook.intake.accepted


@pytest.mark.parametrize("size", [10, 300_000])
async def test_what_is_rejected_before_its_body_is_answered_no_sooner_than_what_is_rejected_by_it(size: int) -> None:
    hook = signed(LastByte(), allow_from=["192.0.2.0/24"])
    answers = []
    for headers, client in (([], "192.0.2.1"), ([(b"x-reject", b"1")], "192.0.2.1"), ([], "198.51.100.7")):
        came = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal came
            for _ in range(10):
                came += size
                yield b"x" * size

        request = HookRequest("POST", "orders", b"/hook/orders", b"", list(headers), chunks(), client)
        answers.append((await hook.hook.handle(request), came))
    assert answers[0][0].status == 401
    assert answers == [(answers[0][0], 10 * size)] * 3
    assert hook.memory_blobs.open_writers == 0
    assert not hook.memory_blobs.kept


@pytest.mark.rule(4)
@pytest.mark.parametrize("where", ["open", "feed", "finish", "cannot"])
async def test_a_scheme_that_fails_gives_503_and_accepts_nothing(where: str) -> None:
    hook = signed(Broken(where))
    reply = await hook.send(b"{}")
    assert document(reply)["code"] == "request.cannot_verify"
    assert b"retry-after" in dict(reply.headers)
    assert not hook.intake.accepted


@pytest.mark.rule(4)
async def test_a_missing_or_wrong_credential_is_503() -> None:
    for name, credential in (("key", None), (None, None), ("key", ("other", NoSettings()))):
        flow = webhook_flow(scheme=LastByte(), credential=name)
        hook = HookOverMemory(flow, credentials={"key": credential} if credential else {})
        assert document(await hook.send(b"{}"))["code"] == "request.cannot_verify"
        assert not hook.intake.accepted


@pytest.mark.rule(5)
async def test_header_only_schemes_are_judged_before_the_body_is_read() -> None:
    hook = signed(HeaderOnly())

    request = HookRequest("POST", "orders", b"/hook/orders", b"", [(b"x-secret", b"wrong")], Unread())
    assert document(await hook.hook.handle(request))["status"] == 401
    assert (await hook.send(b"{}", headers=[(b"x-secret", b"}")])).status == 202


async def test_secret_headers_are_masked_before_anything_is_stored() -> None:
    hook = signed(HeaderOnly())
    await hook.send(b"{}", headers=[(b"x-secret", b"}")])
    (envelope,) = hook.intake.accepted
    assert envelope.message.headers["x-secret"] == "***"
    assert ("x-secret", "***") in envelope.raw_headers
    assert ("x-secret", "}") not in envelope.raw_headers


@pytest.mark.rule(5)
async def test_a_large_signed_body_waits_on_disk_and_leaves_nothing_there() -> None:
    hook = signed(LastByte())
    text = b'{"a": "%b"}' % (b"x" * IN_MEMORY)
    pieces = [text[start : start + 60_000] for start in range(0, len(text), 60_000)]
    assert (await hook.send(pieces)).status == 202
    assert hook.intake.accepted[0].body_json == text
    assert hook.memory_blobs.made == 1
    assert (await hook.send([*pieces[:-1], b"forged"])).status == 401
    assert hook.memory_blobs.made == 1
    assert not hook.memory_blobs.kept
    assert hook.memory_blobs.open_writers == 0


async def test_a_large_signed_file_is_kept_once() -> None:
    hook = signed(LastByte())
    data = b"x" * IN_MEMORY + b"}"
    for body in (data, b"small}"):
        assert (await hook.send(body, "image/png")).status == 202
        (attachment,) = hook.intake.accepted[-1].message.attachments
        assert hook.memory_blobs.kept[attachment.id] == body
    assert hook.memory_blobs.made == 2


async def test_a_request_that_is_not_verified_is_logged_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    hook, kept = signed(LastByte()), structlog.testing.LogCapture()
    # A command that another test ran may have set the level of all loggers.
    every_level = structlog.make_filtering_bound_logger(0)
    monkeypatch.setattr(verification, "_log", structlog.wrap_logger(None, [kept], every_level))
    assert (await hook.send(b"{]")).status == 401
    logged = [(log["log_level"], log["reason"], log["flow"], log["scheme"]) for log in kept.entries]
    assert logged == [("debug", "the last byte is wrong", "orders", "last-byte")]
    assert kept.entries[0]["event"] == "a request was not verified"
