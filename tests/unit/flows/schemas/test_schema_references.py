"""The references of a schema: which of them lead back to where they stand."""

from random import Random

import pytest

from hookline.flows.schemas.schema_references import on_cycles


def leads_back(graph: dict[str, set[str]], node: str) -> bool:
    reached = set[str]()
    left = set(graph[node])
    while left:
        reached |= left
        left = {other for one in left for other in graph[one]} - reached
    return node in reached


@pytest.mark.parametrize("seed", range(200))
def test_the_nodes_on_cycles_are_those_from_which_a_way_leads_back(seed: int) -> None:
    dice = Random(seed)
    nodes = [f"n{number}" for number in range(dice.randrange(1, 12))]
    graph = {node: {other for other in nodes if dice.random() < dice.choice((0.05, 0.2))} for node in nodes}
    assert on_cycles(graph) == {node for node in nodes if leads_back(graph, node)}
