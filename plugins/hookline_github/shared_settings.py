"""Settings that several actions have."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from hookline_github.client import segment

_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")


def _is_repository(text: str) -> str:
    owner, _, name = text.partition("/")
    if not _REPOSITORY.fullmatch(text) or {owner, name} & {".", ".."}:
        raise ValueError("a repository is written as owner/name")
    return text


Repository = Annotated[
    str, AfterValidator(_is_repository), Field(description="The repository, as `owner/name`.", examples=["octo/app"])
]
Number = Annotated[int, Field(ge=1, description="The number of the issue or the pull request.")]
Labels = Annotated[list[str], Field(description="The names of the labels.")]


def repository_path(repository: str) -> str:
    """Return the API's path of a repository."""
    owner, _, name = repository.partition("/")
    return f"/repos/{segment(owner)}/{segment(name)}"


def given(**fields: Any) -> dict[str, Any]:
    """The fields that a step gives, without those that are None."""
    return {name: value for name, value in fields.items() if value is not None}
