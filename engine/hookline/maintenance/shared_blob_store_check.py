"""The check that all nodes have one blob store. Otherwise a node couldn't read the files that others have accepted."""

from hookline.kernel.errors import BlobGone, ConfigError
from hookline.kernel.logs import Log
from hookline.storage.blobs import Blobs
from hookline.storage.cluster import Membership

_MARK = b"This blob store belongs to a Hookline database. The database knows this file; don't remove it.\n"
_REMEDY = (
    'all nodes need one blob store: a folder that all hosts share (blobs = "file:///shared/folder"), or a '
    'bucket (blobs = "s3://bucket")'
)


async def check_blob_store(membership: Membership, blobs: Blobs, log: Log) -> None:
    """Raise ConfigError if nodes run on other hosts and have another blob store. Raises StoreError.

    The store has a file that the database names. Because a copy of a store has this file, too, a node of another host
    must also read a new one.
    """
    if not membership.shared:
        return
    mark = await membership.blob_mark()
    if mark is None or not await is_readable(blobs, mark):
        # Nodes of an earlier release have made no mark.
        if mark is not None and membership.hosts > 1:
            raise ConfigError(f"this node has another blob store than the nodes of other hosts; {_REMEDY}")
        if mark is not None:
            log.warning("this blob store isn't the one that was used before: the files of that one can't be read here")
        await membership.set_blob_mark(await _store(blobs, _MARK), instead_of=mark)
    if membership.hosts > 1:
        probe = await _store(blobs, b"This file is removed once another node has read it.\n")
        try:
            read = await membership.probe(probe)
        finally:
            await blobs.delete(probe)
        if not read:
            raise ConfigError(f"nodes of other hosts can't read what this node stores; {_REMEDY}")


async def is_readable(blobs: Blobs, blob_id: str) -> bool:
    """Return true if a blob is in the store. Raises StoreError."""
    try:
        async for _ in blobs.open(blob_id):
            pass
    except BlobGone:
        return False
    return True


async def _store(blobs: Blobs, text: bytes) -> str:
    writer = await blobs.create()
    try:
        await writer.write(text)
        return (await writer.commit()).id
    except BaseException:
        await writer.abort()
        raise
