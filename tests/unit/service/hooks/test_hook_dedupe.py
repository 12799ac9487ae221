"""How the hook finds duplicates."""

import json
from typing import Any

import pytest
from tests.unit.service.hooks.hook_harness import LastByte, document, signed

from hookline.flows.elements.message_keys import key_text
from hookline.kernel.errors import MissingValue
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow


class Value:
    """Stands for a compiled template: gives what a function finds in the scope."""

    references = ()
    constant = False

    def __init__(self, find: Any) -> None:
        self.find = find

    def evaluate(self, scope: Any) -> Any:
        try:
            return self.find(scope)
        except KeyError as error:
            raise MissingValue(f"there is no {error}") from None


@pytest.mark.promise(4)
@pytest.mark.rule(9)
async def test_a_duplicate_gets_200_and_the_first_id() -> None:
    flow = webhook_flow(dedupe_key=Value(lambda scope: scope["body"]["id"]))
    hook = HookOverMemory(flow)
    first = json.loads((await hook.send(b'{"id": "1"}')).body)
    again = await hook.send(b'{"id": "1", "more": true}')
    assert again.status == 200
    assert json.loads(again.body) == first | {"status": "duplicate"}
    assert (await hook.send(b'{"id": 1}')).status == 202
    (envelope, other) = hook.intake.accepted
    assert (envelope.dedupe_key, other.dedupe_key) == ("s:1", "j:1")
    assert envelope.dedupe_until is not None
    assert (envelope.dedupe_until - envelope.accepted_at).days == 7


async def test_a_duplicates_files_are_thrown_away() -> None:
    flow = webhook_flow(dedupe_key=Value(lambda scope: scope["headers"]["x-id"]))
    hook = HookOverMemory(flow)
    for status in (202, 200):
        assert (await hook.send(b"data", "image/png", headers=[(b"x-id", b"1")])).status == status
    assert len(hook.memory_blobs.kept) == 1


@pytest.mark.rule(9)
@pytest.mark.parametrize("body", [b"{}", b'{"id": null}'])
async def test_a_missing_or_null_dedupe_key_is_422(body: bytes) -> None:
    hook = HookOverMemory(webhook_flow(dedupe_key=Value(lambda scope: scope["body"]["id"])))
    value = document(await hook.send(body))
    assert value["status"] == 422
    assert value["problems"][0]["code"] == "dedupe_key"


@pytest.mark.rule(9)
async def test_without_a_dedupe_key_the_schemes_own_id_is_taken() -> None:
    hook = signed(LastByte("evt_1"))
    assert [(await hook.send(b"{}")).status for _ in range(2)] == [202, 200]
    assert hook.intake.accepted[0].dedupe_key == "v:evt_1"


@pytest.mark.promise(4)
@pytest.mark.rule(4)
async def test_a_forged_request_uses_no_key_up() -> None:
    hook = signed(LastByte("evt_1"))
    assert (await hook.send(b"forged")).status == 401
    assert (await hook.send(b"{}")).status == 202


async def test_the_dedupe_key_sees_the_trigger_and_the_vars() -> None:
    seen: dict[str, Any] = {}
    hook = HookOverMemory(webhook_flow(dedupe_key=Value(lambda scope: seen.update(scope) or "k")))
    await hook.send(b'{"a": 1}', path="orders/x", query=b"q=1")
    assert seen["body"] == seen["trigger"]["body"] == {"a": 1}
    assert (seen["trigger"]["path"], seen["trigger"]["query"]) == ("x", {"q": "1"})
    assert (seen["attachments"], seen["vars"]) == ([], {})


def test_dedupe_keys_are_unambiguous_and_bounded() -> None:
    values = ["1", 1, 1.5, True, "true", [1], ["1"], {"a": 1, "b": 2}, "j:1", "s:1", "x" * 300, "x" * 301, "a\0", "a"]
    keys = [key_text(value) for value in values]
    assert len(set(keys)) == len(values)
    assert all(len(key) <= 200 and "\0" not in key for key in keys)
    assert key_text({"b": 2, "a": 1}) == key_text({"a": 1, "b": 2})
