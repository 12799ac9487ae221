"""What a rejected request still brings is read so that its sender reads the answer: so much of it, and no more."""

import asyncio
from typing import Any

import pytest

from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

CHUNK = 100_000


@pytest.mark.rule(6)
@pytest.mark.parametrize("most", [1_000_000, 3_000_000])
async def test_the_answer_to_what_is_rejected_ends_once_so_many_bytes_were_thrown_away(most: int) -> None:
    """Neither sooner, nor later: a sender may go on for ever, and the time for it is a minute here."""
    mount = HookOverMemory(webhook_flow(max_body=10)).endpoints.application(drain_bytes=most, drain_seconds=60)
    received, events = 0, list[Any]()

    async def receive() -> Any:
        nonlocal received
        await asyncio.sleep(0)
        if received > 2 * most:
            await asyncio.Event().wait()
        received += CHUNK
        return {"type": "http.request", "body": b"x" * CHUNK, "more_body": True}

    async def send(event: Any) -> None:
        events.append(event)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/hook/orders",
        "query_string": b"",
        "http_version": "1.1",
        "headers": [(b"content-length", b"999999999"), (b"content-type", b"application/json")],
    }
    async with asyncio.timeout(30):
        await mount(scope, receive, send)
    assert events[0]["status"] == 413
    assert (b"connection", b"close") in events[0]["headers"]
    assert events[-1].get("more_body", False) is False
    # A chunk or two more may come until the answer has ended.
    assert most < received <= most + 4 * CHUNK
