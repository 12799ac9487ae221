"""Messages from the requests of triggers that have a format of their own."""

from functools import partial
from typing import Any

import msgspec

from hookline.bodies.media_types import Media
from hookline.bodies.received_body import Received
from hookline.flows.schemas.body_schema import BodySchema
from hookline.intake.body_checker import BodyChecker
from hookline.kernel.errors import Problem, SchemaViolation
from hookline.kernel.json import is_heavy
from hookline.model.message import Attachment
from hookline.model.webhook import RequestSettings
from hookline.plugin_host.large_value_work import Offloader
from hookline.sdk.triggers import NewFile, ParsedRequest, RequestTrigger
from hookline.service.hooks.headers_and_masks import Headers
from hookline.service.uploads.file_types import FileTypes
from hookline.service.uploads.incoming_files import IncomingFile, clean_filename
from hookline.service.uploads.request_blobs import RequestBlobs


class ReadMessage(msgspec.Struct, frozen=True):
    """One message of a request; its files are stored."""

    body: Any
    id: str | None
    attachments: tuple[Attachment, ...]


async def read_messages(
    trigger: RequestTrigger,
    settings: RequestSettings,
    method: str,
    headers: Headers,
    media: Media,
    received: Received,
    *,
    schema: BodySchema | None,
    blobs: RequestBlobs,
    offloader: Offloader,
    body_checker: BodyChecker,
    exact: bool,
) -> tuple[ReadMessage, ...]:
    """Return the messages that a trigger reads from a request.

    Raises RequestRejected; the files stored before belong to `blobs`.
    """
    if trigger.read is None:
        raise NotImplementedError("a trigger without `read` has its requests read by their types")
    request = ParsedRequest(
        method, headers.received, headers.joined.get("content-type"), media.type, received.body, received.attachments
    )
    large = is_heavy(received.json or received.raw or b"")
    made = await offloader.run(partial(trigger.read, request, settings), large=large)
    if schema is not None:
        found = await body_checker.problems(schema, [each.body for each in made], exact=exact)
        if found:
            raise SchemaViolation(problems=[_located(index, problem, len(made)) for index, problem in found])
    types = None if settings.file_types is None else FileTypes(settings.file_types)
    read: list[ReadMessage] = []
    for each in made:
        kept = [await _kept(file, types, blobs) for file in each.files]
        read.append(ReadMessage(each.body, each.id, (*each.attachments, *kept)))
    return tuple(read)


def _located(index: int | None, problem: Problem, count: int) -> Problem:
    """Return a problem with its pointer into the body, or into the list of bodies if there are several messages."""
    at = f"/{index}{problem.pointer}" if count > 1 and index is not None else problem.pointer
    return Problem(problem.message, at, problem.code, problem.remedy)


async def _kept(file: NewFile, types: FileTypes | None, blobs: RequestBlobs) -> Attachment:
    incoming = IncomingFile(blobs, file.type, types, f"the file {file.name!r}")
    await incoming.write(file.content)
    blob = await incoming.commit()
    filename = clean_filename(None if file.filename is None else file.filename.encode("utf-8", "replace"))
    return Attachment(blob.id, file.name, filename, incoming.media_type, blob.size, blob.sha256)
