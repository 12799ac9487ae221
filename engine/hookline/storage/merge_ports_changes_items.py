"""What becomes of the items of a foreach that are not kept one by one."""

from dataclasses import dataclass

from hookline.model.items import Progress


@dataclass(frozen=True, slots=True)
class Proceed:
    """Items of a running execution's foreach are done: their progress takes the place of their entries."""

    execution_id: str
    progress: Progress
    results: tuple[tuple[int, bytes], ...] = ()
    """JSON of what the items gave, each with its place."""


@dataclass(frozen=True, slots=True)
class DropEntries:
    """Entries are taken out of the journal: those of items that are done."""

    execution_id: str
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Conclude:
    """A foreach has come to its end: its own entry takes the place of its progress, and of its items' results."""

    execution_id: str
    path: str
