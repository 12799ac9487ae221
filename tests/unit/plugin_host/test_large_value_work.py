"""What takes long is what is read, not what is there."""

from typing import Any

import pytest

from hookline.model.foreach_progress_and_streams import Stream
from hookline.plugin_host.large_value_work import reads_large_values
from hookline.sdk.mappers import Reference

LONG = [{"n": number} for number in range(20_000)]
SCOPE = {"body": {"lines": LONG, "id": 7}, "item": LONG[0], "steps": {"rows": {"body": Stream("b", 1_000_000)}}}


@pytest.mark.parametrize(
    ("path", "long"),
    [
        ((), True),
        (("body",), True),
        (("body", "lines"), True),
        (("body", "id"), False),
        (("body", "lines", 3, "n"), False),
        (("item",), False),
        (("body", "nothing", "there"), False),
        (("steps", "rows", "body"), False),
        (("steps", "rows", "body", "nothing"), False),
    ],
)
def test_only_what_reads_many_values_takes_long(path: tuple[Any, ...], long: bool) -> None:
    assert reads_large_values([Reference(("item", "n")), Reference(path)], SCOPE) is long
