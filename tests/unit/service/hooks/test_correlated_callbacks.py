"""Calls that name no execution: the step's id is in the URL, and a key in the call."""

from datetime import timedelta

import pytest
from tests.unit.service.hooks.hook_harness import LastByte, document, signed
from tests.unit.service.hooks.waiting_harness import answer, came, header, waiting

from hookline.service.hook_request_and_response import HookResponse
from hookline.testing.hook_over_memory import HookOverMemory


async def call(hook: HookOverMemory, body: bytes = b'{"order": 7}', method: str = "POST") -> HookResponse:
    return await hook.send(body, path="orders/approve", method=method)


@pytest.mark.rule(29)
async def test_a_call_goes_to_the_step_that_waits_for_its_key_for_as_long_as_it_is_kept() -> None:
    hook = waiting(by="$.body.order", early="2h")
    said = {"execution_id": None, "flow_id": "orders", "step": "approve", "status": "accepted"}
    reply = await call(hook)
    assert answer(reply) == (202, said)
    assert header(reply, b"hookline-execution-id") is None
    (callback,) = hook.callbacks.called
    assert (callback.execution_id, callback.path, callback.key) == (None, None, "j:7")
    assert callback.until == hook.clock.now() + timedelta(hours=2)
    assert came(hook).message(exact=False).body == {"order": 7}
    assert hook.intake.accepted == []


async def test_a_repeated_call_is_a_duplicate_and_another_for_the_key_a_conflict() -> None:
    hook = waiting(by="$.body.order")
    await call(hook)
    assert answer(await call(hook))[0] == 200
    assert document(await call(hook, b'{"order": 7, "paid": 1}'))["status"] == 409
    assert (await call(hook, b'{"order": 8}')).status == 202


async def test_a_call_without_a_key_is_rejected_and_its_file_goes() -> None:
    hook = waiting(by="$.body.order")
    rejected = document(await call(hook, b"{}"))
    assert (rejected["status"], rejected["problems"][0]["code"]) == (422, "correlate.from")
    assert (await hook.send(b"x", "image/png", path="orders/approve")).status == 422
    assert (hook.callbacks.called, hook.memory_blobs.kept) == ([], {})


async def test_the_key_may_come_from_the_headers_or_the_query() -> None:
    for by, key in (("$.headers['x-order']", "s:7"), ("$.trigger.query.order", "s:8")):
        hook = waiting(by=by)
        await hook.send(b"", None, path="orders/approve", headers=[(b"x-order", b"7")], query=b"order=8")
        assert hook.callbacks.called[0].key == key


async def test_the_caller_is_verified_as_the_step_says_and_not_as_the_trigger() -> None:
    hook = waiting(by="$.body.order", scheme=LastByte())
    assert document(await call(hook, b'{"order": 7} '))["status"] == 401
    assert hook.callbacks.called == []
    assert (await call(hook)).status == 202
    assert came(hook).verified_by == "last-byte"


@pytest.mark.rule(29)
async def test_the_steps_id_wins_over_a_path_of_the_trigger() -> None:
    hook = waiting(by="$.body.order")
    assert (await call(hook)).status == 202
    for path in ("orders", "orders/approved", "orders/approve/more"):
        assert (await hook.send(b"{}", path=path)).status == 202
    assert [envelope.arrival.path for envelope in hook.intake.accepted] == ["", "approved", "approve/more"]


async def test_a_step_that_is_found_by_no_key_has_no_url_of_the_flows() -> None:
    hook = waiting()
    assert (await call(hook)).status == 202
    assert (len(hook.intake.accepted), hook.callbacks.called) == (1, [])


async def test_a_get_neither_calls_nor_asks_there() -> None:
    hook = waiting(by="$.body.order")
    assert (await call(hook, b"", "GET")).status == 405
    assert (await call(hook, b"", "HEAD")).status == 200
    assert hook.callbacks.called == []


async def test_a_flow_without_steps_that_wait_takes_any_path() -> None:
    hook = signed(LastByte())
    assert (await call(hook)).status == 202
    assert hook.intake.accepted[0].arrival.path == "approve"
