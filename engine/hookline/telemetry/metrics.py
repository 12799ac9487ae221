"""The metrics of an engine, for `/metrics`. Each engine has a registry of its own, so one process can have two."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from hookline.kernel import logs
from hookline.model.execution import State
from hookline.storage.statistics import BUCKETS, LATENCY_BOUNDS, Counts

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class _Tally:
    """The numbers of a flow since they were taken."""

    __slots__ = ("accepted", "ended", "latency", "queue_age", "rejected")

    def __init__(self) -> None:
        self.accepted = 0
        self.rejected = 0
        self.ended = {State.SUCCEEDED: 0, State.FAILED: 0, State.CANCELLED: 0}
        self.queue_age = timedelta(0)
        self.latency = [0] * BUCKETS

    def counts(self) -> Counts:
        return Counts(
            accepted=self.accepted,
            rejected=self.rejected,
            succeeded=self.ended[State.SUCCEEDED],
            failed=self.ended[State.FAILED],
            cancelled=self.ended[State.CANCELLED],
            queue_age=self.queue_age,
            latency=tuple(self.latency),
        )


class FlowCounts:
    """Counts what happens in the flows of one engine."""

    def __init__(self) -> None:
        self._tallies: defaultdict[str, _Tally] = defaultdict(_Tally)

    def accepted(self, flow_id: str) -> None:
        """Count an accepted message."""
        self._tallies[flow_id].accepted += 1

    def rejected(self, flow_id: str) -> None:
        """Count a rejected request."""
        self._tallies[flow_id].rejected += 1

    def ended(self, flow_id: str, state: State, latency: timedelta) -> None:
        """Count an execution that has ended. `latency`: the time since its acceptance."""
        tally = self._tallies[flow_id]
        tally.ended[state] += 1
        tally.latency[bisect_left(LATENCY_BOUNDS, latency.total_seconds())] += 1

    def queued(self, flow_id: str, age: timedelta) -> None:
        """Note the age of the oldest queued execution."""
        tally = self._tallies[flow_id]
        tally.queue_age = max(tally.queue_age, age)

    def take(self) -> dict[str, Counts]:
        """Return the numbers since the last call, by flow."""
        taken = {flow_id: tally.counts() for flow_id, tally in self._tallies.items()}
        self._tallies.clear()
        return taken


class Metrics:
    """Counters, gauges and histograms. All names begin with `hookline_`, and all series have the label `node`.

    What it counts of flows is counted for the statistics, too.
    """

    def __init__(self, node: str = "") -> None:
        """`node`: the name of the node that counts."""
        self._node = node
        self.flow_counts = FlowCounts()
        self.registry = CollectorRegistry()
        self.registry.register(_DroppedLines())
        accepted = Counter("hookline_accepted", "Messages accepted.", ["flow"], registry=self.registry)
        duplicates = Counter("hookline_duplicates", "Messages that are duplicates.", ["flow"], registry=self.registry)
        rejected = Counter(
            "hookline_rejected", "Requests rejected, by flow and reason.", ["flow", "reason"], registry=self.registry
        )
        admin_rejected = Counter(
            "hookline_admin_rejected",
            "Requests to the admin API that were rejected because of their token or host, by status.",
            ["status"],
            registry=self.registry,
        )
        self._sign_ins_dropped = Counter(
            "hookline_sign_ins_dropped",
            "Requests with invalid tokens that are not recorded, because there were too many.",
            registry=self.registry,
        )
        ended = Counter(
            "hookline_executions_ended", "Executions ended, by state.", ["flow", "state"], registry=self.registry
        )
        polls = Counter("hookline_polls", "Polls, by flow and result.", ["flow", "result"], registry=self.registry)
        subscriptions = Counter(
            "hookline_subscriptions",
            "Changes of subscriptions with providers, by flow and result.",
            ["flow", "result"],
            registry=self.registry,
        )
        connections = Counter(
            "hookline_broker_connections",
            "Connections to brokers, by flow and result: listening, failed or lost.",
            ["flow", "result"],
            registry=self.registry,
        )
        self._listening = Gauge(
            "hookline_broker_listening", "1 if the flow is connected to its broker.", ["flow"], registry=self.registry
        )
        step_seconds = Histogram(
            "hookline_step_seconds",
            "Duration of the attempts at actions.",
            ["flow", "action", "result"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._left_out = Counter(
            "hookline_workers_left_out",
            "Workers left out of /metrics, because they didn't give theirs in time.",
            registry=self.registry,
        )
        faults = Counter(
            "hookline_plugin_faults",
            "Faults of plugins: `defect`, `abandoned_call` or `blocked_loop`.",
            ["plugin", "fault"],
            registry=self.registry,
        )
        self._queue_depth = Gauge(
            "hookline_queue_depth",
            "Executions queued, by flow; one node reports it for all.",
            ["flow"],
            registry=self.registry,
        )
        self._queue_age = Gauge(
            "hookline_queue_age_seconds",
            "Age of the oldest queued execution; one node reports it for all.",
            ["flow"],
            registry=self.registry,
        )
        self._executions = Gauge(
            "hookline_executions",
            "Executions that have not ended, by state; one node reports it for all.",
            ["flow", "state"],
            registry=self.registry,
        )
        # Finding a child by its labels is slower than counting.
        self._accepted: Callable[[str], Counter] = lru_cache(4096)(accepted.labels)
        self._duplicates: Callable[[str], Counter] = lru_cache(4096)(duplicates.labels)
        self._admin_rejected: Callable[[str], Counter] = lru_cache(8)(admin_rejected.labels)
        self._rejected: Callable[[str, str], Counter] = lru_cache(4096)(rejected.labels)
        self._ended: Callable[[str, State], Counter] = lru_cache(4096)(ended.labels)
        self._polls: Callable[[str, str], Counter] = lru_cache(4096)(polls.labels)
        self._subscriptions: Callable[[str, str], Counter] = lru_cache(4096)(subscriptions.labels)
        self._connections: Callable[[str, str], Counter] = lru_cache(4096)(connections.labels)
        self._faults: Callable[[str, str], Counter] = lru_cache(4096)(faults.labels)
        self._step_seconds: Callable[[str, str, str], Histogram] = lru_cache(4096)(step_seconds.labels)

    def accepted(self, flow_id: str) -> None:
        """Count an accepted message."""
        self._accepted(flow_id).inc()
        self.flow_counts.accepted(flow_id)

    def admin_rejected(self, status: int) -> None:
        """Count a request to the admin API that isn't admitted: status 401, 403, 421 or 429."""
        self._admin_rejected(str(status)).inc()

    def sign_ins_dropped(self, count: int) -> None:
        """Count rejected sign-ins that are not recorded."""
        self._sign_ins_dropped.inc(count)

    def duplicate(self, flow_id: str) -> None:
        """Count a duplicate."""
        self._duplicates(flow_id).inc()

    def rejected(self, flow_id: str, reason: str) -> None:
        """Count a rejected request. `reason` is the code of the error. All unknown flows have the name `-`."""
        self._rejected(flow_id, reason).inc()
        self.flow_counts.rejected(flow_id)

    def ended(self, flow_id: str, state: State, latency: timedelta) -> None:
        """Count an execution that has ended. `latency`: the time since its acceptance."""
        self._ended(flow_id, state).inc()
        self.flow_counts.ended(flow_id, state, latency)

    def polled(self, flow_id: str, result: str) -> None:
        """Count a poll. `result` is `ok` or `failed`."""
        self._polls(flow_id, result).inc()

    def subscribed(self, flow_id: str, result: str) -> None:
        """Count a change of a subscription: `ok` if it was made or renewed, `removed` or `failed`."""
        self._subscriptions(flow_id, result).inc()

    def connection(self, flow_id: str, result: str) -> None:
        """Count a change of a connection to a broker: `listening`, `failed` or `lost`."""
        self._connections(flow_id, result).inc()
        self._listening.labels(flow_id).set(result == "listening")

    def no_connection(self, flow_id: str) -> None:
        """Remove the gauge of a flow that no longer listens to a broker."""
        self._listening.labels(flow_id)
        self._listening.remove(flow_id)

    def left_out(self, count: int) -> None:
        """Count workers that are left out of `/metrics`."""
        self._left_out.inc(count)

    def faulted(self, plugin: str, fault: str) -> None:
        """Count a fault of a plugin: `defect`, `abandoned_call` or `blocked_loop`."""
        self._faults(plugin, fault).inc()

    def attempted(self, flow_id: str, action: str, result: str, seconds: float) -> None:
        """Record the duration of an attempt at an action. `result` is `ok` or the code of the error."""
        self._step_seconds(flow_id, action, result).observe(seconds)

    def show_backlog(self, backlog: dict[str, tuple[int, float]], counts: dict[tuple[str, State], int]) -> None:
        """Set the gauges: the depth and the age in seconds of each flow's queue, and the executions by state."""
        self._queue_depth.clear()
        self._queue_age.clear()
        self._executions.clear()
        for flow_id, (depth, age) in backlog.items():
            self._queue_depth.labels(flow_id).set(depth)
            self._queue_age.labels(flow_id).set(age)
        for (flow_id, state), count in counts.items():
            self._executions.labels(flow_id, state).set(count)

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        labelled = _Labelled(self.registry, self._node)
        text: bytes = generate_latest(labelled)  # type: ignore[no-untyped-call]  # the library has no types there
        return text


_END: Final = b"# EOF\n"
_FAMILY: Final = b"# HELP "


def merged(expositions: Iterable[bytes]) -> bytes:
    """Merge the texts of several nodes, made by `Metrics.exposition`, into one.

    Each family has its description once, as OpenMetrics demands, and then the series of all nodes.
    """
    families: dict[bytes, list[bytes]] = {}
    for text in expositions:
        lines = iter(text.removesuffix(b"\n" + _END).split(b"\n"))
        series: list[bytes] = []
        for line in lines:
            if line.startswith(_FAMILY):
                description = b"%b\n%b" % (line, next(lines))
                series = families.setdefault(description, [])
            else:
                series.append(line)
    return b"\n".join([*(line for head, series in families.items() for line in (head, *series)), _END])


class _Labelled:
    """The metrics of a registry, with the name of the node at each series."""

    def __init__(self, registry: CollectorRegistry, node: str) -> None:
        self._registry = registry
        self._node = node

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            shown = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            shown.samples = [sample._replace(labels={**sample.labels, "node": self._node}) for sample in metric.samples]
            yield shown


class _DroppedLines:
    """Counts the lines of the log that were dropped, for a registry."""

    def collect(self) -> Iterable[CounterMetricFamily]:
        yield CounterMetricFamily(
            "hookline_log_lines_dropped",
            "Lines of the log that were dropped, because it couldn't be written.",
            value=logs.dropped_lines(),
        )
