"""What the hook leaves behind when a message isn't accepted."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from hookline.flows.schemas.body_schema import compile_schema
from hookline.kernel.errors import PossiblyStored, ServiceUnavailable, TooManyRequests
from hookline.service.hook_request_and_response import HookRequest, SenderGone
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow


async def test_files_of_a_rejected_request_are_deleted() -> None:
    schema, _ = compile_schema({"type": "string"})
    hook = HookOverMemory(webhook_flow(schema=schema, max_file=10))
    assert (await hook.send(b"data", "image/png")).status == 422
    assert (await hook.send([b"data", b"x" * 10], "image/png", declare=False)).status == 413
    hook.intake.failure = TooManyRequests()
    assert not hook.memory_blobs.kept
    assert hook.memory_blobs.open_writers == 0


async def test_files_stay_where_it_is_unknown_whether_the_message_was_stored() -> None:
    hook = HookOverMemory(webhook_flow())
    hook.intake.failure = PossiblyStored(retry_after=1)
    await hook.send(b"data", "image/png")
    assert len(hook.memory_blobs.kept) == 1
    for failure in (ServiceUnavailable(), TooManyRequests()):
        hook.intake.failure = failure
        await hook.send(b"data", "image/png")
        assert len(hook.memory_blobs.kept) == 1


@pytest.mark.parametrize("failure", [SenderGone, asyncio.CancelledError])
async def test_files_of_a_sender_that_goes_away_are_deleted(failure: type[BaseException]) -> None:
    hook = HookOverMemory(webhook_flow())

    async def chunks() -> AsyncIterator[bytes]:
        yield b"data"
        raise failure

    request = HookRequest("POST", "orders", b"/hook/orders", b"", [(b"content-type", b"image/png")], chunks())
    with pytest.raises(failure):
        await hook.hook.handle(request)
    assert not hook.memory_blobs.kept
    assert hook.memory_blobs.open_writers == 0
