"""The check of a credential of type `email` by a login to its servers."""

from hookline.api import VerifyContext
from hookline_email.connector import EmailCredential, email


@email.verify
async def who(ctx: VerifyContext[EmailCredential]) -> str:
    """Log in at the SMTP server, the IMAP server, or both."""
    from hookline_email import imap, smtp

    credential = ctx.credential
    known: list[str] = []
    if credential.smtp_host is not None:
        async with smtp.connection(ctx.resources, credential, 20.0) as client:
            await client.noop()
        known.append(f"{credential.smtp_username or 'anybody'} at {credential.smtp_host} (SMTP)")
    if credential.imap_host is not None:
        async with imap.session(ctx.resources, credential):
            pass
        known.append(f"{credential.imap_username} at {credential.imap_host} (IMAP)")
    return ", ".join(known)
