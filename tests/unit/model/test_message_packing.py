"""An envelope comes out of its payload as it went in."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from hookline.kernel.json import encode
from hookline.model.message import Arrival, Attachment, Envelope, Message, head_of, pack, unpack, without_body

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
times = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=10,
)
attachments = st.builds(
    Attachment, id=text, name=text, filename=text | st.none(), type=text, size=st.integers(0, 2**60), sha256=text
)
arrivals = st.builds(
    Arrival,
    use=text,
    method=text | st.none(),
    path=text,
    query=st.dictionaries(text, text, max_size=3),
    received_at=times | st.none(),
    verified_by=text | st.none(),
    client=text | st.none(),
)
envelopes = st.builds(
    Envelope,
    execution_id=text,
    flow_id=text,
    message=st.builds(
        Message,
        body=values,
        headers=st.dictionaries(text, text, max_size=3),
        attachments=st.lists(attachments, max_size=2).map(tuple),
    ),
    arrival=arrivals,
    accepted_at=times,
    dedupe_key=text | st.none(),
    dedupe_until=times | st.none(),
    body_json=st.none(),
    raw=st.binary(max_size=20) | st.none(),
    raw_headers=st.lists(st.tuples(text, text), max_size=3).map(tuple),
)


def _again(envelope: Envelope) -> Envelope:
    return unpack(
        pack(envelope),
        execution_id=envelope.execution_id,
        flow_id=envelope.flow_id,
        accepted_at=envelope.accepted_at,
        dedupe_key=envelope.dedupe_key,
        dedupe_until=envelope.dedupe_until,
    )


@pytest.mark.rule(3)
@given(envelopes)
def test_unpack_undoes_pack(envelope: Envelope) -> None:
    again = _again(envelope)
    # The body's JSON is at hand afterwards, whether or not it was before. A text needs none.
    body = envelope.message.body
    assert again.body_json == (None if isinstance(body, str) else encode(body))
    assert (again.message, again.arrival) == (envelope.message, envelope.arrival)
    assert (again.raw, again.raw_headers, again.dedupe_key) == (envelope.raw, envelope.raw_headers, envelope.dedupe_key)
    assert _again(again) == again


@given(envelopes)
def test_the_arrival_and_the_tags_can_be_read_without_the_rest(envelope: Envelope) -> None:
    for payload in (pack(envelope), without_body(pack(envelope))):
        head = head_of(payload)
        assert (head.arrival, head.tags) == (envelope.arrival, envelope.tags)


@given(envelopes)
def test_a_message_without_its_body_keeps_the_rest(envelope: Envelope) -> None:
    payload = without_body(pack(envelope))
    known = {"execution_id": envelope.execution_id, "flow_id": envelope.flow_id, "accepted_at": envelope.accepted_at}
    read = unpack(payload, **known)
    assert (read.message.body, read.raw) == (None, None)
    assert (read.message.headers, read.arrival) == (envelope.message.headers, envelope.arrival)


@pytest.mark.rule(16)
def test_a_text_is_stored_as_it_is_and_not_as_json_that_is_six_times_as_long() -> None:
    made = Envelope("a", "flow", Message("\x01" * 1000), Arrival("webhook"), datetime(2026, 1, 1, tzinfo=UTC))
    assert len(pack(made)) < 1200
    assert _again(made).message.body == made.message.body


@given(text)
def test_a_body_that_was_stored_as_json_is_read_whatever_it_is(body: str) -> None:
    made = Envelope("a", "flow", Message(body), Arrival("webhook"), datetime(2026, 1, 1, tzinfo=UTC))
    assert _again(structs.replace(made, body_json=encode(body))).message.body == body
