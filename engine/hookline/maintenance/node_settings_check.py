"""The checks that a node's settings fit those of the other nodes that serve its database."""

from pathlib import Path

from hookline.kernel.errors import ConfigError
from hookline.storage.cluster import Membership, Node


async def check_flows_folder(membership: Membership, folder: Path) -> None:
    """Raise ConfigError if nodes of other hosts serve: they don't see a folder of this host. Raises StoreError."""
    others = [node.name for node in await _serving(membership) if node.host != membership.node.host]
    if others:
        raise ConfigError(
            f"nodes of other hosts serve this database ({', '.join(sorted(others))}), which don't see the folder "
            f"{folder}: deploy the flows, and serve them with `--flows database`"
        )


async def check_queue(membership: Membership) -> None:
    """Raise ConfigError if a node has another intake queue, or only one of both has one. Raises StoreError.

    Messages that are left in a queue that no node reads don't run, and two queues have no common order.
    """
    mine = membership.node.queue
    for node in await _serving(membership):
        # A node of an earlier release doesn't tell.
        if node.queue not in (None, mine):
            raise ConfigError(
                f"the node {node.name} serves this database with {_shown(node.queue)}, and this one with {_shown(mine)}"
                ": give all nodes the same `queue`. Before you change it, stop the nodes that accept messages, and wait"
                " until the others have inserted what is in the old queue"
            )


async def _serving(membership: Membership) -> list[Node]:
    return [node for node in await membership.nodes() if node.gone_at is None]


def _shown(queue: str | None) -> str:
    return f"the queue {queue!r}" if queue else "no queue"
