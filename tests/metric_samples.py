"""Reading the text that Prometheus scrapes."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples of a text, by name and labels; no two have the same."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]  # it has no types
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, key
            found[key] = sample.value
    return found


def sample(text: bytes | str, name: str, **labels: str) -> float | None:
    """The value of a sample of one node, whatever its name; None if there is none."""
    found = samples(text.decode() if isinstance(text, bytes) else text)
    ours = [
        value
        for (other, marks), value in found.items()
        if other == name and {mark for mark in marks if mark[0] != "node"} == set(labels.items())
    ]
    assert len(ours) <= 1, ours
    return ours[0] if ours else None
