"""The check of a credential for GitHub: does GitHub accept it, and whose is it?"""

from hookline.api import StepError, VerifyContext
from hookline_github.client import GitHub
from hookline_github.connector import GitHubApi, github


@github.verify
async def who(ctx: VerifyContext[GitHubApi]) -> str:
    """Ask GitHub for the owner of the token."""
    api = GitHub(ctx)
    try:
        user = await api.json("GET", "/user")
    except StepError as error:
        if error.error_code != "http.403" or "integration" not in error.message:
            raise
        # The token of an app's installation has no user; it has repositories instead.
        found = await api.json("GET", "/installation/repositories", params={"per_page": 1})
        return f"an app's installation with {found.get('total_count', 'some')} repositories"
    return f"{user.get('login')}"
