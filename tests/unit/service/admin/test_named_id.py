"""The id by which the API decides who may use a document, which is the one that the document is compiled by."""

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookline.flows.compiler.compile import variables_of
from hookline.flows.documents.read import read
from hookline.kernel.errors import FlowInvalid
from hookline.service.admin.flows.authoring import named_id

_KEYS = st.sampled_from(['"id"', '"\\u0069d"', '"i\\u0064"', '"ID"', '"id "', '"vars"'])
_VALUES = st.sampled_from(['"mine"', '"other"', '"\\u006fther"', "5", "null", '{"id": "other"}', '"\\ud83d\\ude00"'])
_MEMBERS = st.lists(st.tuples(_KEYS, _VALUES).map(": ".join), max_size=4).map(", ".join)


@given(members=_MEMBERS, start=st.sampled_from(["", "\ufeff", " \n"]), end=st.sampled_from(["", " ", "]", "\ufeff"]))
@example(members='"id": "mine", "id": "other"', start="\ufeff", end="")
def test_the_id_is_that_of_the_reader_of_documents(members: str, start: str, end: str) -> None:
    text = f"{start}{{{members}}}{end}".encode()
    with suppress(FlowInvalid):
        found = read(text).value.get("id")
        assert named_id(text) == (found if isinstance(found, str) else None)


@pytest.mark.parametrize("text", ["", "[]", '"id"', "{", '{"id": "a"', "[" * 100_000, '{"x": ' * 100_000])
def test_a_text_without_an_id_names_none(text: str) -> None:
    assert named_id(text.encode()) is None


def test_a_large_document_is_read_by_its_id_alone() -> None:
    assert named_id(json.dumps({"steps": [{}] * 300_000, "id": "late"}).encode()) == "late"


_IDS = st.from_regex(r"\A[a-c]([a-c-]{0,4}[a-c])?\Z")


@given(one=_IDS, other=_IDS, name=st.from_regex(r"\A[A-C_]{1,5}\Z"))
@example(one="a", other="a--b", name="X")
def test_a_variable_belongs_to_one_flow_at_most(one: str, other: str, name: str) -> None:
    variable = f"HOOKLINE_VARS_{other.upper().replace('-', '_')}__{name}"
    owners = {flow_id for flow_id in (one, other, "a_b", "A-B", "") if variables_of(flow_id, {variable: "secret"})}
    assert len(owners) <= 1
