"""`slack.*`: post to Slack, answer its commands, share files, and look up channels and people."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_slack import call, credential_check, directory, files, messages, options, post_to_url, views  # noqa: F401 - they add to the connector
from hookline_slack.connector import slack


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The Slack connector."""
    return [slack]
