"""Actions, called as the engine calls them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from hookline.api import Action, Attachment, Context, Message


async def call(action: Action, settings: Mapping[str, Any], **context: Any) -> Any:
    """Run an action; `context`: the fields of its context that it uses."""
    arguments = action.arguments(action.settings.model_validate(settings))
    if action.takes_context:
        fields: dict[str, Any] = dict.fromkeys(Context.__dataclass_fields__)
        arguments["ctx"] = Context(**{**fields, "message": Message(), **context})
    return await action.run(**arguments)


class Chunks:
    """Blobs that are given in pieces of so many bytes."""

    def __init__(self, content: bytes = b"", size: int = 3) -> None:
        self.content = content
        self.size = size
        self.given = 0

    async def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        for start in range(0, len(self.content), self.size):
            await asyncio.sleep(0)
            self.given += 1
            yield self.content[start : start + self.size]


def attachment(content: bytes, name: str, media_type: str, id: str = "b1") -> Attachment:
    return Attachment(id, name, f"{name}.file", media_type, len(content), hashlib.sha256(content).hexdigest())
