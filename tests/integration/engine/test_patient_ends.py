"""Which ends may share somebody else's commit: those that nobody waits for, and that a crash can do over."""

from collections.abc import Sequence
from typing import Any

import pytest
from tests.integration.engine_harness import Harness, act
from tests.integration.store_trouble import Trouble

from hookline.model.execution import State
from hookline.storage.change_declarations import Change, End

MAPPED: dict[str, Any] = {"id": "map", "use": "map", "with": {"body": 1}}


@pytest.mark.parametrize(
    ("steps", "settings", "patient"),
    [
        ([MAPPED], {}, True),
        ([act("one")], {}, False),
        ([act("one"), MAPPED], {}, False),
        ([MAPPED], {"order_by": "$.body.id"}, False),
        ([MAPPED], {"concurrency": 1}, False),
    ],
    ids=["recomputed", "action", "action before", "order", "one at a time"],
)
async def test_an_end_is_patient(
    harness: Harness, steps: list[dict[str, Any]], settings: dict[str, Any], patient: bool
) -> None:
    ends: list[End] = []

    def note(changes: Sequence[Change]) -> bool:
        ends.extend(change for change in changes if isinstance(change, End))
        return False

    harness.flow("f", steps, **settings)
    async with harness.engine() as engine:
        Trouble(engine, note)
        execution_id = await harness.send(engine, "f", {"id": 7})
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert [end.patient for end in ends] == [patient]
