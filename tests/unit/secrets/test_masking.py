"""What schemes declare secret is masked before anything is stored: in headers, in the query, in the body."""

import gzip
import json
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from hookline.api import NoSettings, RequestVerifier, Scheme, SignedRequest, Verified
from hookline.bodies.received_body import Received
from hookline.discovery.plugin_loader import load_plugins
from hookline.flows.schemas.body_schema import compile_schema
from hookline.model.message import Envelope, pack
from hookline.secrets.masking import MASK, mask_path
from hookline.service.hooks.headers_and_masks import Masks
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

SECRET = "s3cr3t-of-the-sender"
GRAPH = load_plugins().schemes["microsoft-graph"]


class Key(BaseModel):
    secret: str = SECRET


class Everywhere(Scheme[Key, NoSettings]):
    """Its secret may be in a header, in the query and in the body."""

    name = "everywhere"
    title = "Everywhere"
    credential = Key

    def open(self, request: SignedRequest, credential: Key, settings: NoSettings) -> RequestVerifier:
        return _Holds()

    def secret_headers(self, settings: NoSettings) -> frozenset[str]:
        return frozenset({"x-key"})

    def secret_query(self, settings: NoSettings) -> frozenset[str]:
        return frozenset({"key", "clé"})

    def secret_fields(self, settings: NoSettings) -> tuple[str, ...]:
        return ("/token", "/events/*/token", "/a~1b/c~0d", "/pair/1")


class _Holds:
    def feed(self, chunk: bytes) -> None:
        pass

    async def finish(self) -> Verified:
        return Verified()


def over(scheme: Scheme[Any, Any] | None = None, **settings: Any) -> HookOverMemory:
    scheme = scheme or Everywhere()
    return HookOverMemory(
        webhook_flow(scheme=scheme, credential="key", **settings), credentials={"key": (scheme.name, Key())}
    )


async def stored(hook: HookOverMemory, *args: Any, **keywords: Any) -> Envelope:
    reply = await hook.send(*args, **keywords)
    assert reply.status == 202, reply
    (envelope,) = hook.intake.accepted
    return envelope


def assert_nowhere(envelope: Envelope) -> None:
    """Neither in what is kept, nor in what runs."""
    assert SECRET.encode() not in pack(envelope)
    assert SECRET not in repr(envelope)


@pytest.mark.rule(33)
async def test_a_secret_in_the_query_is_masked_and_the_rest_is_kept() -> None:
    query = f"a=1&key={SECRET}&b=2&key={SECRET}&cl%C3%A9={SECRET}&keys=x".encode()
    envelope = await stored(over(), b"{}", query=query)
    assert envelope.arrival.query == {"a": "1", "key": [MASK, MASK], "b": "2", "clé": MASK, "keys": "x"}
    assert_nowhere(envelope)


@pytest.mark.rule(33)
async def test_a_name_that_is_escaped_doesnt_hide_the_secret() -> None:
    envelope = await stored(over(), b"{}", query=f"%6Bey={quote(SECRET)}".encode())
    assert_nowhere(envelope)


@pytest.mark.rule(33)
async def test_a_query_that_is_the_body_is_masked_there_too() -> None:
    hook = over(methods=["GET"])
    envelope = await stored(hook, b"", None, method="GET", query=f"key={SECRET}&token={SECRET}&n=1".encode())
    assert envelope.message.body == envelope.arrival.query == {"key": MASK, "token": MASK, "n": "1"}
    assert_nowhere(envelope)


@pytest.mark.rule(33)
@pytest.mark.parametrize(
    ("body", "media", "masked"),
    [
        (f'{{"token": "{SECRET}", "n": 100000000000000000001}}', "application/json", {"token": MASK, "n": 10**20 + 1}),
        (f"token={SECRET}&n=1", "application/x-www-form-urlencoded", {"token": MASK, "n": "1"}),
        (f"token={SECRET}&token={SECRET}", "application/x-www-form-urlencoded", {"token": MASK}),
        (
            f'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\n{SECRET}\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            {"token": MASK},
        ),
        (f'{{"token": {{"inner": "{SECRET}"}}}}', "application/json", {"token": MASK}),
        (
            f'{{"events": [{{"token": "{SECRET}", "id": 1}}, {{"id": 2}}, 3]}}',
            "application/json",
            {"events": [{"token": MASK, "id": 1}, {"id": 2}, 3]},
        ),
        (f'{{"a/b": {{"c~d": "{SECRET}"}}}}', "application/json", {"a/b": {"c~d": MASK}}),
        (f'{{"pair": ["x", "{SECRET}"]}}', "application/json", {"pair": ["x", MASK]}),
    ],
    ids=["json", "form", "repeated", "multipart", "whole member", "each item", "escaped", "place"],
)
async def test_a_secret_field_is_masked_in_message_and_raw_body(body: str, media: str, masked: Any) -> None:
    envelope = await stored(over(), body.encode(), media)
    assert envelope.message.body == masked
    assert (envelope.raw, envelope.body_json) == (None, None)
    assert_nowhere(envelope)


@pytest.mark.rule(33)
async def test_a_compressed_body_keeps_no_raw_bytes_with_a_secret() -> None:
    body = gzip.compress(json.dumps({"token": SECRET}).encode())
    envelope = await stored(over(), body, headers=[(b"content-encoding", b"gzip")])
    assert envelope.message.body == {"token": MASK}
    assert envelope.raw is None


async def test_a_body_without_the_secret_field_is_kept_as_it_came() -> None:
    body = b'{ "n" : 1, "pair": [1], "events": {} }'
    envelope = await stored(over(), body)
    assert envelope.body_json == body


@pytest.mark.rule(33)
@pytest.mark.parametrize("media", ["application/octet-stream", "text/plain", "image/png"])
async def test_what_has_no_fields_is_rejected_and_nothing_of_it_stays(media: str) -> None:
    hook = over()
    reply = await hook.send(json.dumps({"token": SECRET}).encode(), media)
    assert reply.status == 415
    assert hook.intake.accepted == []
    assert hook.memory_blobs.kept == {}


@pytest.mark.rule(33)
async def test_the_state_that_microsoft_graph_shows_isnt_stored() -> None:
    credential = GRAPH.credential.model_validate({"client_state": SECRET})  # type: ignore[union-attr]  # it has one
    hook = HookOverMemory(
        webhook_flow(scheme=GRAPH, credential="key"), credentials={"key": ("microsoft-graph", credential)}
    )
    body = {"value": [{"clientState": SECRET, "resource": "a"}, {"clientState": SECRET, "resource": "b"}]}
    envelope = await stored(hook, json.dumps(body).encode())
    assert [one["resource"] for one in envelope.message.body["value"]] == ["a", "b"]
    assert_nowhere(envelope)


async def test_the_schema_judges_the_body_as_it_came() -> None:
    schema = compile_schema({"properties": {"token": {"minLength": 10}}})[0]
    envelope = await stored(over(schema=schema), json.dumps({"token": SECRET}).encode())
    assert envelope.message.body == {"token": MASK}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc0"), inner, max_size=3),
    max_leaves=12,
)
POINTERS = st.lists(st.lists(st.sampled_from(["a", "b", "0", "1", "*"]), min_size=1, max_size=3), max_size=3)


@given(JSON, POINTERS)
def test_masking_twice_is_masking_once_and_the_original_stays(body: Any, pointers: list[list[str]]) -> None:
    masks = Masks(fields=tuple("/" + "/".join(tokens) for tokens in pointers))
    if not isinstance(body, dict | list):
        return
    before = msgspec.json.encode(body)
    once = masks.in_body(Received(body))
    assert msgspec.json.encode(body) == before
    assert masks.in_body(once).body == once.body


@pytest.mark.rule(33)
@pytest.mark.parametrize(
    ("index", "shown"), [("1", ["a", MASK]), ("01", ["a", MASK]), ("0000000001", ["a", "b"]), ("9" * 5000, ["a", "b"])]
)
def test_an_index_means_the_item_with_its_number_or_none(index: str, shown: list[str]) -> None:
    assert mask_path(["a", "b"], [index], []) == shown


async def test_a_key_in_the_query_is_judged_and_isnt_stored() -> None:
    scheme = load_plugins().schemes["api-key"]
    credential = scheme.credential.model_validate({"key": SECRET})  # type: ignore[union-attr]  # it has one
    flow = webhook_flow(scheme=scheme, credential="key", scheme_settings=scheme.settings(query="api key"))
    hook = HookOverMemory(flow, credentials={"key": ("api-key", credential)})
    shown = f"api%20key={SECRET}".encode()
    for wrong in (b"", b"api+key=", b"api+key=x", shown + b"&" + shown, shown + b"x", b"api+key=%ff"):
        assert (await hook.send(b"{}", query=wrong, headers=[(b"x-api-key", SECRET.encode())])).status == 401
    envelope = await stored(hook, b"{}", query=b"a=1&" + shown)
    assert envelope.arrival.query == {"a": "1", "api key": MASK}
    assert_nowhere(envelope)
    assert SECRET not in repr(hook.rejections)
