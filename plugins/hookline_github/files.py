"""Files of repositories: read, and written as commits."""

import hashlib
from base64 import b64decode, b64encode
from typing import Annotated, Any, Final

from pydantic import Field

from hookline.api import Attachment, Context, Either, Reach, Reply, StepError
from hookline_github.client import GitHub, as_object, path_of
from hookline_github.connector import GitHubApi, github
from hookline_github.shared_settings import Repository, given, repository_path

Path = Annotated[
    str, Reach("service_path"), Field(min_length=1, description="The file's path, from the repository's root.")
]

_RAW: Final = "application/vnd.github.raw+json"


@github.action(idempotent=True)
async def get_file(
    ctx: Context[GitHubApi],
    repository: Repository,
    path: Path,
    ref: Annotated[str | None, Field(description="A branch, tag or commit; by default the default branch.")] = None,
) -> Reply:
    """Read a file; the result has its `path`, `sha`, `size` and `text`.

    A file that isn't UTF-8 becomes an attachment with the file's name, and `text` is null. Raises `github.not_a_file`
    for a folder, and for anything else that has no content of its own.
    """
    api, where = GitHub(ctx), f"{repository_path(repository)}/contents/{path_of(path)}"
    answer = (await api.send("GET", where, params=given(ref=ref))).json()
    if not isinstance(answer, dict) or answer.get("type") != "file":
        kind = "folder" if isinstance(answer, list) else answer.get("type") if isinstance(answer, dict) else "nothing"
        raise StepError(f"{path} is a {kind}, not a file", code="github.not_a_file")
    if answer.get("encoding") == "base64":
        content = _decoded(answer.get("content"))
    else:
        # Above 1 MB it comes only by itself.
        content = (await api.send("GET", where, params=given(ref=ref), accept=_RAW)).content
    about = {"path": answer.get("path"), "sha": answer.get("sha"), "size": len(content)}
    try:
        return Reply({**about, "text": content.decode()})
    except UnicodeDecodeError:
        return Reply({**about, "text": None}, attachments=(await _kept(ctx, path, content),))


def _decoded(content: Any) -> bytes:
    try:
        return b64decode(content)
    except (TypeError, ValueError):
        raise StepError("the file's content in GitHub's response can't be read", code="github.answer") from None


async def _kept(ctx: Context[GitHubApi], path: str, content: bytes) -> Attachment:
    writer = await ctx.blobs.create()
    try:
        await writer.write(content)
        blob = await writer.commit()
    finally:
        await writer.abort()
    name = path.rpartition("/")[2]
    return Attachment(
        id=blob.id, name=name, filename=name, type="application/octet-stream", size=blob.size, sha256=blob.sha256
    )


@github.action(idempotent=True)
async def put_file(
    ctx: Context[GitHubApi],
    repository: Repository,
    path: Path,
    message: Annotated[str, Field(min_length=1, description="The commit's message.")],
    text: Annotated[str | None, Either("attachment"), Field(description="The new content.")] = None,
    attachment: Annotated[
        str | None,
        Reach("attachment"),
        Field(description="In its place: the name of the message's attachment with the new content."),
    ] = None,
    branch: Annotated[str | None, Field(description="The branch; by default the default branch.")] = None,
    sha: Annotated[
        str | None,
        Field(
            description="The `sha` of the content to replace; if the file has changed since, GitHub answers with 409."
        ),
    ] = None,
) -> dict[str, Any]:
    """Write a file as a commit; the result has `changed`, `path`, `sha` and `commit`.

    If the file already has this content, there is no commit, so that doing it twice makes one. Without `sha`, any
    content is replaced.
    """
    content = await _content(ctx, text, attachment)
    new = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    api, where = GitHub(ctx), f"{repository_path(repository)}/contents/{path_of(path)}"
    found = await api.send("GET", where, params=given(ref=branch), missing=True)
    there = as_object(found).get("sha") if found.status != 404 else None
    if there == new:
        return {"changed": False, "path": path.strip("/"), "sha": new, "commit": None}
    change = given(message=message, content=b64encode(content).decode(), branch=branch, sha=sha or there)
    made = await api.json("PUT", where, json=change)
    return {"changed": True, "path": path.strip("/"), "sha": new, "commit": made.get("commit")}


async def _content(ctx: Context[GitHubApi], text: str | None, attachment: str | None) -> bytes:
    if (text is None) == (attachment is None):
        raise StepError("give either `text` or `attachment` as the file's content", code="github.content")
    if text is not None:
        return text.encode()
    found = ctx.message.attachments_like(attachment or "")
    if len(found) != 1:
        what = "no attachment" if not found else "several attachments"
        raise StepError(f"the message has {what} named {attachment!r}", code="github.content")
    return b"".join([chunk async for chunk in ctx.blobs.open(found[0].id)])
