"""NATS JetStream as an intake queue: a replicated stream that accepts messages in front of the database."""

from collections.abc import Mapping

from hookline.api import StoreError, hookimpl
from hookline.api_storage import Blobs, Clock, IntakeQueue, IntakeQueueFactory


@hookimpl
def register_intake_queues() -> Mapping[str, IntakeQueueFactory]:
    return {"nats": jetstream}


def jetstream(url: str, *, clock: Clock, blobs: Blobs) -> IntakeQueue:
    """Make the queue of `nats://host:4222,host:4222?stream=hookline&replicas=3`.

    The windows of dedupe keys count from the times of messages, so the clock isn't needed.
    """
    # Imported here, because discovery imports every plugin, also without the extra.
    try:
        from hookline_nats.queue import JetStreamQueue
    except ModuleNotFoundError as error:
        raise StoreError(f"JetStream needs {error.name}: pip install 'hookline[nats]'") from error
    return JetStreamQueue(url, blobs)
