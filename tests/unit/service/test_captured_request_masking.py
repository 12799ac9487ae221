"""Captured requests without their secrets."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from hookline.discovery.registry import Registry
from hookline.flows.compiler.compile import compile_flow
from hookline.kernel.json import encode
from hookline.service.captured_request_masking import SeenRequest
from hookline.service.hook_request_and_response import HookRequest
from hookline.storage.captures import CapturedInfo

pytestmark = pytest.mark.console_rule("K12")

CARD = "4111111111111111"
FLOW = {
    "id": "pays",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "redact": ["$.body.card"],
    "steps": [],
}


async def no_chunks() -> AsyncIterator[bytes]:
    return
    yield b""


def test_no_depth_of_a_body_keeps_its_request_from_being_masked(registry: Registry) -> None:
    flow = compile_flow(encode(FLOW), registry)
    reasons = set()
    for depth in range(100, 1500):
        body = b'{"card": "%s", "x": %s"%s"%s}' % (CARD.encode(), b"[" * depth, CARD.encode(), b"]" * depth)
        info = CapturedInfo(
            "1", "pays", datetime.now(UTC), "POST", "pays", None, "application/json", len(body), "captured", 202
        )
        request = HookRequest("POST", "pays", b"/hook/pays", b"", [], no_chunks())
        shown = SeenRequest(info, request, body, None, flow).masked()
        reasons.add(shown.left_out)
        assert CARD.encode() not in (shown.body or b"")
    assert None in reasons
    assert len(reasons) > 1
