"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Works with GitHub, and with GitHub Enterprise Server (`base_url`): issues, labels and comments, files, commit statuses,
releases, workflows, and any other request of the REST API. Lists are streams, whatever their length. If GitHub asks
for fewer requests, a step waits as long as GitHub says.

The credential is a token. A fine-grained one needs the repository permissions for what the flow does: *Issues*,
*Contents*, *Commit statuses*, *Actions*, and for `github.events` *Webhooks* (for an organization's events the
organization permission of that name). `hookline credentials verify` shows its owner.

`github.events` creates the webhook itself. A webhook that is created by hand is verified with the scheme `github`,
whose credential is of the type `github`.
"""

ERRORS: Final[Mapping[str, str]] = {
    "http.<status>": "GitHub rejected the request; its message, also of each field, is in the error. A 401 "
    "means that the token is wrong or expired; a 403 or 429 for a rate limit is tried again when GitHub says.",
    "github.answer": "GitHub's response doesn't match its documentation.",
    "github.content": "`put_file` has no content, or two, or an `attachment` that isn't exactly one of the message's.",
    "github.events": "The trigger has neither a repository nor an organization, or both.",
    "github.name": "A name, or a part of a path, is empty, `.` or `..`.",
    "github.not_a_file": "The `path` of `get_file` is a folder, a link or a submodule.",
}

EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "label-new-issues",
    "trigger": {
        "use": "github.events",
        "with": {"repository": "octo/app", "events": ["issues"]},
        "credential": "github-prod",
    },
    "steps": [
        {"id": "opened", "use": "filter", "with": {"keep": "{{ body.action == 'opened' }}"}},
        {
            "id": "label",
            "use": "github.add_labels",
            "with": {
                "repository": "$.body.repository.full_name",
                "number": "$.body.issue.number",
                "labels": ["triage"],
            },
            "credential": "github-prod",
        },
    ],
}
