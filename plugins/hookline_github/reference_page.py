"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Works with GitHub, and with GitHub Enterprise Server (`base_url`): issues, labels and comments, files, commit statuses,
releases, workflows, and any other request of the REST API. Lists are streams, whatever their length. Where GitHub wants
fewer requests, a step waits for as long as it says.

The credential is a token. A fine-grained one needs the repository permissions of what a flow does: *Issues*,
*Contents*, *Commit statuses*, *Actions*, and for `github.events` *Webhooks* (for an organization's events the
organization permission of that name). `hookline credentials verify` shows whose it is.

`github.events` makes the webhook by itself. A webhook that is made by hand is verified with the scheme `github`, whose
credential is of the type `github`.
"""

ERRORS: Final[Mapping[str, str]] = {
    "http.<status>": "GitHub rejected the request; its message, also of each field, is in the error. A 401 "
    "is a token that is wrong or expired; a 403 or 429 over a rate limit is tried again when GitHub says.",
    "github.answer": "GitHub answered with something that it shouldn't.",
    "github.content": "`put_file` has no content, or two, or names an attachment that isn't there.",
    "github.events": "The trigger names no repository and no organization, or both.",
    "github.name": "A name, or a part of a path, is empty or leads elsewhere.",
    "github.not_a_file": "There is a folder, a link or a submodule where `get_file` looks for a file.",
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
