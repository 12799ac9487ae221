"""`slack.*`: post to Slack, answer its commands, share files, and look up channels and people."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_slack import call, directory, files, messages, options, post_to_url, views  # noqa: F401 - each adds its actions
from hookline_slack.connector import slack


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The Slack connector."""
    return [slack]
