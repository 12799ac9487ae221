"""Asking GitHub whether it takes a credential, and whose it is."""

from hookline.api import StepError, VerifyContext
from hookline_github.client import GitHub
from hookline_github.connector import GitHubApi, github


@github.verify
async def who(ctx: VerifyContext[GitHubApi]) -> str:
    """Ask whose token it is."""
    api = GitHub(ctx)
    try:
        user = await api.json("GET", "/user")
    except StepError as error:
        if error.error_code != "http.403" or "integration" not in error.message:
            raise
        # The token of an app's installation is nobody's; it has repositories instead.
        found = await api.json("GET", "/installation/repositories", params={"per_page": 1})
        return f"an app's installation with {found.get('total_count', 'some')} repositories"
    return f"{user.get('login')}"
