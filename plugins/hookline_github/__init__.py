"""GitHub: issues, files, statuses, releases and workflows, and a trigger that makes its own webhook."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_github import (  # noqa: F401 - they add to the connector
    commit_statuses,
    credential_check,
    events_trigger,
    files,
    github_request,
    issues,
    releases,
    workflow_dispatch,
)
from hookline_github.connector import github


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The GitHub connector."""
    return [github]
