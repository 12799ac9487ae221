"""The blocks of the flow language while a flow is compiled: one file for each, and the table that finds them."""

from collections.abc import Mapping
from typing import Any, Final

from hookline.flows.blocks.action import ACTION
from hookline.flows.blocks.block import Block
from hookline.flows.blocks.foreach import FOREACH
from hookline.flows.blocks.switch import SWITCH

BLOCKS: Final[dict[str, Block]] = {"switch": SWITCH, "foreach": FOREACH}
"""Each block by the key that tells its steps from others, as in `model.flow.BLOCKS`."""


def block_of(step: Mapping[str, Any]) -> Block:
    """The block that a step's JSON is: an action, where no key says otherwise."""
    return next((block for key, block in BLOCKS.items() if key in step), ACTION)
