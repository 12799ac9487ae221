"""A stream stands for its items, and is no value."""

from collections.abc import Callable
from typing import Any

import pytest

from hookline.kernel.errors import ExpressionFailed
from hookline.kernel.json import encode
from hookline.model.foreach_progress_and_streams import Stream, stream_in


@pytest.mark.parametrize(
    "use",
    [
        len,
        list,
        bool,
        dict,
        lambda stream: stream[0],
        lambda stream: stream["x"],
        lambda stream: stream.get("x"),
        lambda stream: "x" in stream,
        lambda stream: stream.items(),
        lambda stream: stream.values(),
        lambda stream: {**stream},
        lambda stream: stream.copy(),
    ],
)
def test_what_takes_it_for_an_object_is_told_what_to_do(use: Callable[[Any], Any]) -> None:
    with pytest.raises(ExpressionFailed, match="stream of 1,000 items; only foreach"):
        use(Stream("b", 1000))


def test_it_has_a_count_and_is_recorded_as_an_object() -> None:
    stream = Stream("b", 3)
    assert (stream["count"], stream.count, stream.blob_id) == (3, 3, "b")
    assert encode({"body": stream}) == b'{"body":{"stream":"b","count":3}}'
    assert stream == Stream("b", 3)
    assert stream != Stream("c", 3)


def test_it_is_found_wherever_it_is() -> None:
    stream = Stream("b", 3)
    assert stream_in({"a": [1, {"b": stream}]}) is stream
    assert stream_in({"a": [1, {"stream": "b", "count": 3}]}) is None
