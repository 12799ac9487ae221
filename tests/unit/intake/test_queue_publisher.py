"""Publishing to the intake queue while the store, or what it says, isn't known."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from hookline.intake.queue_publisher import Publisher
from hookline.kernel.errors import ServiceUnavailable
from hookline.storage.change_declarations import Accepted
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes


@pytest.mark.cluster_rule("C21")
@pytest.mark.parametrize(("unanswered", "behind", "accepts"), [(59, 59, True), (61, 0, False), (0, 61, False)])
async def test_messages_are_accepted_while_flows_and_credentials_are_new_enough(
    unanswered: float, behind: float, accepts: bool
) -> None:
    clock = ManualClock()
    envelope = Envelopes(clock).make()

    async def publish(_envelope: Any) -> Accepted:
        return Accepted(envelope.execution_id)

    publisher = Publisher(
        cast(Any, SimpleNamespace(publish=publish)),
        cast(Any, None),
        clock,
        structlog.get_logger(),
        cast(Any, SimpleNamespace(present=unanswered > 0, unanswered_for=lambda: unanswered)),
        timedelta(minutes=1),
        # The database answers, and its changes can't be adopted.
        cast(Any, SimpleNamespace(behind_for=lambda: behind)),
    )
    if accepts:
        assert await publisher.publish(envelope) == Accepted(envelope.execution_id)
    else:
        with pytest.raises(ServiceUnavailable):
            await publisher.publish(envelope)
