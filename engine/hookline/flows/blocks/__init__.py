"""The blocks of the flow language while a flow is compiled: one file for each, and the table that finds them."""

from collections.abc import Mapping
from typing import Any, Final

from hookline.flows.blocks.action import ACTION
from hookline.flows.blocks.batch import BATCH
from hookline.flows.blocks.batch import USE as GATHER
from hookline.flows.blocks.block import StepType
from hookline.flows.blocks.flow_call import CALL
from hookline.flows.blocks.flow_call import USE as FLOW
from hookline.flows.blocks.foreach import FOREACH
from hookline.flows.blocks.parallel import PARALLEL
from hookline.flows.blocks.switch import SWITCH
from hookline.flows.blocks.try_block import TRY
from hookline.flows.blocks.webhook_wait import USE as WEBHOOK
from hookline.flows.blocks.webhook_wait import WAIT

BLOCKS: Final[dict[str, StepType]] = {"switch": SWITCH, "foreach": FOREACH, "parallel": PARALLEL, "try": TRY}
"""Each block by the key that tells its steps from others, as in `model.flow.BLOCKS`."""

USES: Final[dict[str, StepType]] = {WEBHOOK: WAIT, FLOW: CALL, GATHER: BATCH}
"""Blocks whose steps say `use`, as an action's do."""


def block_of(step: Mapping[str, Any]) -> StepType:
    """The block that a step's JSON is: an action, where neither a key nor what it uses says otherwise."""
    for key, block in BLOCKS.items():
        if key in step:
            return block
    use = step.get("use")
    return USES.get(use, ACTION) if isinstance(use, str) else ACTION
