"""The place of a node among the others of its database."""

import asyncio
from typing import Any, cast

import pytest

from hookline.kernel.errors import StoreAway
from hookline.storage.limit_parts import Parts, PartsMoved, PartsRequest
from hookline_sqlstore.cluster.interfaces import TablesAccess
from hookline_sqlstore.cluster.membership import PostgresMembership
from hookline_sqlstore.writing.prepared_commit import Commit


class _Database:
    """Has few parts of a rate, and gives what a node had."""

    def __init__(self) -> None:
        self.given = 0

    def write(self, commit: Commit) -> "asyncio.Future[None]":
        results, (operation,) = cast(list[Any], commit.results), commit.operations
        results[:] = [[PartsMoved(1, Parts(0), self.given) for _ in operation.row]]
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


@pytest.mark.cluster_rule("C7")
async def test_nodes_that_all_need_parts_of_a_rate_do_not_make_each_other_look_all_the_time() -> None:
    database = _Database()
    membership, told = PostgresMembership(cast(TablesAccess, database)), list[str]()
    membership.size, membership.tell_others = 2, lambda: told.append("look")

    def request(*, asks: bool) -> PartsRequest:
        return PartsRequest("orders", "10/s", 10, 1.0, 1, 0.0, 20.0, asks)

    await membership.move_limit_parts([request(asks=False)])
    assert told == []
    for _ in range(10):
        await membership.move_limit_parts([request(asks=True)])
    assert told == ["look"]
    # What a node gives, others can take now.
    database.given = 2
    await membership.move_limit_parts([request(asks=False)])
    assert told == ["look"] * 2


@pytest.mark.cluster_rule("C15")
def test_a_node_that_has_lost_its_lease_while_it_starts_may_try_again() -> None:
    with pytest.raises(StoreAway):
        _ = PostgresMembership(cast(TablesAccess, _Database())).lease
