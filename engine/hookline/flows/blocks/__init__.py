"""The kinds of steps, one file for each, and the tables from which the compiler chooses."""

from collections.abc import Mapping
from typing import Any, Final

from hookline.flows.blocks.action import ACTION
from hookline.flows.blocks.batch import BATCH
from hookline.flows.blocks.batch import USE as GATHER
from hookline.flows.blocks.flow_call import CALL
from hookline.flows.blocks.flow_call import USE as FLOW
from hookline.flows.blocks.foreach import FOREACH
from hookline.flows.blocks.parallel import PARALLEL
from hookline.flows.blocks.step_type import StepType
from hookline.flows.blocks.switch import SWITCH
from hookline.flows.blocks.try_block import TRY
from hookline.flows.blocks.webhook_wait import USE as WEBHOOK
from hookline.flows.blocks.webhook_wait import WAIT

BLOCKS: Final[dict[str, StepType]] = {"switch": SWITCH, "foreach": FOREACH, "parallel": PARALLEL, "try": TRY}
"""The blocks by the key that only their steps have, as in `model.flow.BLOCKS`."""

USES: Final[dict[str, StepType]] = {WEBHOOK: WAIT, FLOW: CALL, GATHER: BATCH}
"""Blocks whose steps have `use`, like those of actions."""


def step_type_of(step: Mapping[str, Any]) -> StepType:
    """The kind of a step, from its JSON: an action unless a key or the value of `use` says otherwise."""
    for key, block in BLOCKS.items():
        if key in step:
            return block
    use = step.get("use")
    return USES.get(use, ACTION) if isinstance(use, str) else ACTION
