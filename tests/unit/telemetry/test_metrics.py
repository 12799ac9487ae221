"""The text of metrics: the label of the node, and the texts of several nodes in one."""

from tests.metric_samples import samples

from hookline.telemetry.metrics import Metrics, merged


def values(text: bytes, name: str) -> dict[frozenset[tuple[str, str]], float]:
    return {marks: value for (other, marks), value in samples(text.decode()).items() if other == name}


def test_every_series_has_the_name_of_the_node() -> None:
    metrics = Metrics("here")
    metrics.accepted("f")
    metrics.attempted("f", "a.b", "ok", 0.2)
    metrics.show_backlog({"f": (2, 1.5)}, {})
    found = samples(metrics.exposition().decode())
    assert len(found) > 20
    assert {dict(marks)["node"] for _, marks in found} == {"here"}
    assert found["hookline_queue_depth", frozenset({("flow", "f"), ("node", "here")})] == 2


def test_the_texts_of_several_nodes_become_one() -> None:
    nodes = [Metrics("a"), Metrics('b\n# HELP hookline_accepted "x"\r')]
    for number, metrics in enumerate(nodes, start=1):
        for _ in range(number):
            metrics.accepted("f")
            metrics.attempted("f", "a.b", "ok", 0.2)
    nodes[1].duplicate("only here")
    text = merged([metrics.exposition() for metrics in nodes])
    # The parser rejects a family that is described twice, and series of one that stand apart.
    assert sorted(values(text, "hookline_accepted_total").values()) == [1, 2]
    assert sorted(values(text, "hookline_step_seconds_count").values()) == [1, 2]
    assert list(values(text, "hookline_duplicates_total").values()) == [1]
    assert text.count(b"# TYPE hookline_accepted counter") == 1
    assert text.endswith(b"\n# EOF\n")
    assert merged([nodes[0].exposition()]) == nodes[0].exposition()
