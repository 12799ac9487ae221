"""What a case asks of a store: to keep the journal, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hookline.model.execution import StepRecord
from hookline.model.progress import Progress
from hookline.ports import Change, Conclude, DropEntries, Proceed, Record


@dataclass(slots=True)
class CaseStore:
    """Keeps what one execution does."""

    records: list[StepRecord] = field(default_factory=list)
    _progress: dict[str, Progress] = field(default_factory=dict)
    _results: dict[str, dict[int, bytes]] = field(default_factory=dict)

    async def commit(self, changes: Sequence[Change]) -> Sequence[None]:
        """Take over what concerns the journal."""
        for change in changes:
            match change:
                case Record(_, steps):
                    self.records.extend(steps)
                case Proceed(_, progress, results):
                    self._progress[progress.path] = progress
                    self._results.setdefault(progress.path, {}).update(results)
                case DropEntries(_, seqs):
                    dropped = frozenset(seqs)
                    self.records[:] = [record for record in self.records if record.seq not in dropped]
                case Conclude(_, path):
                    self._progress.pop(path, None)
                    self._results.pop(path, None)
                case _:
                    pass
        return [None] * len(changes)

    async def progress(self, execution_id: str) -> Sequence[Progress]:
        """How far its foreach blocks have got."""
        return tuple(self._progress.values())

    async def item_results(
        self, execution_id: str, path: str, after: int = -1, limit: int = 1000
    ) -> Sequence[tuple[int, bytes]]:
        """What their items gave."""
        return sorted(pair for pair in self._results.get(path, {}).items() if pair[0] > after)[:limit]
