"""CloudEvents as they come by HTTP, in each mode, and what is no event."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.service.hooks.hook_harness import document

from hookline.service.hook_request_and_response import HookResponse
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow
from hookline_cloudevents.attribute_rules import LONGEST, MOST_PROBLEMS
from hookline_cloudevents.receive import CloudEventsSettings, cloudevents

STRUCTURED = "application/cloudevents+json; charset=utf-8"
BATCH = "application/cloudevents-batch+json"
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "A234-1234-1234",
    "source": "/cloudevents/spec/pull",
    "type": "com.github.pull_request.opened",
    "subject": "123",
    "time": "2018-04-05T17:31:00Z",
    "comexampleextension1": "value",
    "comexampleothervalue": 5,
    "datacontenttype": "text/xml",
    "data": '<much wow="xml"/>',
}
"""The example of the specification (1.0.2, section "Example")."""
HEADERS = [
    (b"ce-specversion", b"1.0"),
    (b"ce-type", b"com.example.someevent"),
    (b"ce-time", b"2018-04-05T03:56:24Z"),
    (b"ce-id", b"1234-1234-1234"),
    (b"ce-source", b"/mycontext/subcontext"),
]
"""The example of the HTTP binding's binary mode."""


def hook(**settings: Any) -> HookOverMemory:
    return HookOverMemory(webhook_flow(request=cloudevents, **settings))


async def structured(made: HookOverMemory, event: Any, content_type: str = STRUCTURED) -> HookResponse:
    return await made.send(json.dumps(event).encode(), content_type)


async def body_of(made: HookOverMemory, reply: HookResponse) -> Any:
    assert reply.status == 202, reply.body
    return made.intake.accepted[-1].message.body


async def wrong(made: HookOverMemory, event: Any, content_type: str = STRUCTURED) -> dict[str, str]:
    value = document(await structured(made, event, content_type))
    assert (value["status"], value["code"]) == (400, "request.malformed")
    assert made.intake.accepted == []
    return {problem["pointer"]: problem["detail"] for problem in value["problems"]}


async def test_the_specification_s_own_event_comes_as_it_is() -> None:
    made = hook()
    assert await body_of(made, await structured(made, EVENT)) == EVENT
    assert list(made.intake.accepted[0].message.body) == list(EVENT)


async def test_binary_mode_gives_the_same_event() -> None:
    made = hook()
    reply = await made.send(b'{"a": [1, null]}', "application/json; charset=utf-8", headers=HEADERS)
    assert await body_of(made, reply) == {
        "specversion": "1.0",
        "type": "com.example.someevent",
        "time": "2018-04-05T03:56:24Z",
        "id": "1234-1234-1234",
        "source": "/mycontext/subcontext",
        "datacontenttype": "application/json; charset=utf-8",
        "data": {"a": [1, None]},
    }


@pytest.mark.parametrize(
    ("content_type", "content", "data"),
    [
        ("application/json", b"null", None),
        ("application/vnd.a+json", b"1", 1),
        ("text/plain", "Straße".encode(), "Straße"),
        ("text/plain; charset=latin-1", "Straße".encode("latin-1"), "Straße"),
        ("text/xml", b'<much wow="xml"/>', '<much wow="xml"/>'),
        ("application/atom+xml", b"<a/>", "<a/>"),
        ("application/x-www-form-urlencoded", b"a=b", "a=b"),
    ],
)
async def test_data_is_the_same_in_each_mode(content_type: str, content: bytes, data: Any) -> None:
    made = hook()
    binary = await body_of(made, await made.send(content, content_type, headers=HEADERS))
    event = {**binary, "id": "other"}
    del event["data"]
    encoded = {**event, "data_base64": b64encode(content).decode()}
    packed = await body_of(made, await structured(made, encoded))
    assert binary["data"] == packed["data"] == data
    plain = await body_of(made, await structured(made, {**event, "id": "third", "data": data}))
    assert {**plain, "id": ""} == {**packed, "id": ""} == {**binary, "id": ""}


async def test_data_that_is_no_text_is_an_attachment_in_each_mode() -> None:
    made = hook()
    content = bytes(range(256))
    binary = await body_of(made, await made.send(content, "image/png", headers=HEADERS))
    event = {**binary, "id": "other", "data_base64": b64encode(content).decode()}
    packed = await body_of(made, await structured(made, event))
    assert "data" not in binary
    assert {**binary, "id": "other"} == packed
    for envelope in made.intake.accepted:
        (file,) = envelope.message.attachments
        assert (file.name, file.type, file.size) == ("data", "image/png", 256)
        assert made.memory_blobs.kept[file.id] == content


@pytest.mark.parametrize("content_type", [None, "application/json", "image/png", "text/plain"])
async def test_an_event_may_have_no_data(content_type: str | None) -> None:
    made = hook()
    event = await body_of(made, await made.send(b"", content_type, headers=HEADERS))
    assert "data" not in event
    assert made.intake.accepted[0].message.attachments == ()
    assert ("datacontenttype" in event) is (content_type is not None)
    assert "data" not in await body_of(made, await structured(made, {**event, "id": "other"}))


async def test_headers_are_decoded() -> None:
    headers = [*HEADERS, (b"ce-subject", b"Euro%20%E2%82%AC%20%F0%9F%98%80"), (b"ce-note", b'"a \\"b\\" %25"')]
    made = hook()
    event = await body_of(made, await made.send(b"{}", headers=headers))
    assert event["subject"] == "Euro € 😀"
    assert event["note"] == 'a "b" %'


async def test_a_batch_is_a_message_for_each_event() -> None:
    made = hook()
    events = [{**EVENT, "id": str(number)} for number in range(3)]
    reply = await structured(made, [*events, events[0]], BATCH)
    value = json.loads(reply.body)
    assert [one["status"] for one in value["executions"]] == ["queued", "queued", "queued", "duplicate"]
    assert [envelope.message.body for envelope in made.intake.accepted] == events
    empty = await structured(made, [], BATCH)
    assert (empty.status, json.loads(empty.body)["status"]) == (200, "ignored")
    assert (await structured(hook(max_events=3), [EVENT] * 4, BATCH)).status == 413


async def test_an_event_that_comes_again_starts_nothing() -> None:
    made = hook()
    for event, status in (
        (EVENT, 202),
        (EVENT | {"subject": "other"}, 200),
        (EVENT | {"source": "/other"}, 202),
        (EVENT | {"id": "other"}, 202),
    ):
        assert (await structured(made, event)).status == status
    headers = [(b"ce-" + name.encode(), EVENT[name].encode()) for name in ("specversion", "id", "source", "type")]
    assert (await made.send(b"{}", headers=headers)).status == 200


async def test_what_the_flow_does_not_want_is_taken_and_runs_nothing() -> None:
    made = hook(types=["com.example.*", "com.github.push"], sources=["/shop"])
    for event, status in (
        ({"type": "com.example.a", "source": "/shop"}, 202),
        ({"type": "com.github.push", "source": "/shop", "id": "2"}, 202),
        ({"type": "com.github.push.force", "source": "/shop"}, 200),
        ({"type": "com.example.a", "source": "/shop/2"}, 200),
    ):
        assert (await structured(made, EVENT | event)).status == status
    assert len(made.intake.accepted) == 2


async def test_every_problem_of_an_event_is_said() -> None:
    found = await wrong(
        hook(),
        {
            "specversion": "0.3",
            "id": "",
            "source": "a b",
            "time": "yesterday",
            "datacontenttype": "json",
            "dataschema": "/relative",
            "subject": 1,
            "dataContentType": "a/b",
            "ext": [],
            "big": 2**31,
            "half": 0.5,
            "text": "a\nb",
            "data": 1,
            "data_base64": "x",
        },
    )
    assert set(found) == {
        "/specversion",
        "/id",
        "/source",
        "/type",
        "/time",
        "/datacontenttype",
        "/dataschema",
        "/subject",
        "/dataContentType",
        "/ext",
        "/big",
        "/half",
        "/text",
        "/data_base64",
    }
    assert found["/type"] == "the event has no type"
    assert "'0.3'" in found["/specversion"]


@pytest.mark.rule(16)
@pytest.mark.parametrize("name", ["id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "ext"])
async def test_an_attribute_is_no_longer_than_events_that_anybody_forwards(name: str) -> None:
    found = await wrong(hook(), {**EVENT, name: "a" * (LONGEST + 1)})
    assert found == {f"/{name}": f"{name} has 65,537 characters, but at most 65,536 are accepted"}
    assert await wrong(hook(), {**EVENT, "n" * 9_000_000: "a"})


async def test_each_event_of_a_batch_is_judged_and_none_is_taken() -> None:
    found = await wrong(hook(), [EVENT, {**EVENT, "id": None}, 5, {**EVENT, "time": "2026-13-01T00:00:00Z"}], BATCH)
    assert set(found) == {"/1/id", "/2", "/3/time"}
    assert "" in await wrong(hook(), EVENT, BATCH)
    assert "" in await wrong(hook(), [EVENT])


@pytest.mark.rule(16)
async def test_of_very_many_problems_the_first_are_said() -> None:
    event = EVENT | {f"K{number}": [] for number in range(1000)}
    assert len(await wrong(hook(), event)) == MOST_PROBLEMS
    assert MOST_PROBLEMS <= len(await wrong(hook(), [event] * 50, BATCH)) < 2 * MOST_PROBLEMS


async def test_problems_of_headers_are_said() -> None:
    made = hook()
    headers = [*HEADERS[1:], (b"ce-id", b"2"), (b"ce-subject", b"%ff"), (b"ce-my_ext", b"a"), (b"ce-data", b"a")]
    value = document(await made.send(b"{}", headers=headers))
    found = {problem["pointer"]: problem["detail"] for problem in value["problems"]}
    assert set(found) == {"/specversion", "/id", "/subject", "/my_ext", "/data"}
    assert "several times" in found["/id"]


async def test_what_is_no_event_at_all_says_how_to_send_one() -> None:
    value = document(await hook().send(b'{"a": 1}'))
    assert value["status"] == 400
    assert "ce-id" in value["problems"][0]["remedy"]
    assert (await hook().send(b"\0", "application/cloudevents+avro")).status == 415
    assert (await hook().send(b"{", STRUCTURED)).status == 400
    assert (await hook().send(b"{", "application/json", headers=HEADERS)).status == 400


@pytest.mark.parametrize("encoded", ["no base64!", 5, b64encode(b"\xff").decode(), b64encode(b"{").decode()])
async def test_base64_that_can_t_be_read_is_said(encoded: Any) -> None:
    event = {**EVENT, "datacontenttype": "application/json", "data_base64": encoded}
    del event["data"]
    assert set(await wrong(hook(), event)) == {"/data_base64"}


@pytest.mark.parametrize(
    ("time", "holds"),
    [
        ("2026-01-31T08:00:00.123456789Z", True),
        ("2026-01-31t08:00:00+05:30", True),
        ("2016-12-31T23:59:60Z", True),
        ("2026-01-31 08:00:00Z", False),
        ("2026-01-31T08:00:00", False),
        ("2026-02-30T08:00:00Z", False),
    ],
)
async def test_times_are_those_of_rfc_3339(time: str, holds: bool) -> None:
    made = hook()
    assert (await structured(made, {**EVENT, "time": time})).status == (202 if holds else 400)


async def test_a_sender_that_asks_gets_consent() -> None:
    asks = [(b"webhook-request-origin", b"eventemitter.example.com"), (b"webhook-request-rate", b"120")]
    reply = await hook().send(method="OPTIONS", headers=asks)
    headers = dict(reply.headers)
    assert reply.status == 200
    assert headers[b"webhook-allowed-origin"] == b"eventemitter.example.com"
    assert headers[b"webhook-allowed-rate"] == b"*"
    assert b"POST" in headers[b"allow"]
    limited = await hook(client_rate="2/s", origins=["EventEmitter.example.com"]).send(method="OPTIONS", headers=asks)
    assert dict(limited.headers)[b"webhook-allowed-rate"] == b"120"
    other = await hook(origins=["other.example.com"]).send(method="OPTIONS", headers=asks)
    assert other.status == 403
    assert b"webhook-allowed-origin" not in dict(other.headers)
    odd = await hook().send(method="OPTIONS", headers=[(b"webhook-request-origin", b"a b\xff")])
    assert odd.status == 403
    assert (await hook().send(method="OPTIONS")).status == 204


@pytest.mark.parametrize(
    ("given", "says"),
    [({"methods": ["GET"]}, "GET"), ({"body": "raw"}, "body"), ({"types": ["a*b"]}, "pattern"), ({"types": []}, "1")],
)
def test_settings_that_mean_nothing_are_rejected(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        CloudEventsSettings.model_validate({"verify": "none", **given})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_NAMES = st.sampled_from([*EVENT, "dataschema", "data_base64", "x", "X", ""])


@settings(max_examples=150)
@given(st.dictionaries(_NAMES, _JSON | st.sampled_from(list(EVENT.values())), max_size=8) | _JSON)
async def test_whatever_comes_is_taken_or_rejected(event: Any) -> None:
    made = hook()
    for content_type, sent in ((STRUCTURED, event), (BATCH, [event])):
        reply = await structured(made, sent, content_type)
        assert reply.status in (200, 202, 400), reply.body
