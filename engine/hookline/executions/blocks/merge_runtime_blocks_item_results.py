"""What the items of a foreach gave whose items are not kept one by one, put together once all are done."""

from typing import Any, Final

from hookline.executions.context import ExecutionRun
from hookline.executions.steps.spool import Spool
from hookline.kernel.json import decode

#: Bytes of JSON that a list of results may have; larger ones are a stream.
LARGEST_LIST: Final = 10_000_000
_PAGE: Final = 250


async def collected(run: ExecutionRun, path: str, *, listed: bool) -> Any:
    """The results of a block, in order: a stream, or a list where the items were `listed` and it isn't too large.

    Raises StoreError.
    """
    await run.journal.flush()
    spool: Spool | None = None if listed else Spool(run.services.blobs)
    results: list[bytes] = []
    size, after = 0, -1
    try:
        while page := await run.services.store.item_results(run.id, path, after, _PAGE):
            after = page[-1][0]
            results += [result for _, result in page]
            size += sum(len(result) for _, result in page)
            if spool is None and size > LARGEST_LIST:
                spool = Spool(run.services.blobs)
            if spool is not None:
                for result in results:
                    await spool.add(result)
                results.clear()
        if spool is not None:
            return await spool.finish()
    finally:
        if spool is not None:
            await spool.abort()
    if run.redactor is not None:
        results = [run.redactor.opened_line(result) for result in results]
    return [decode(result, exact=run.flow.exact) for result in results]
