"""The check of a credential by listing its bucket."""

from hookline.api import VerifyContext
from hookline_s3.connector import S3Credential, connector


@connector.verify
async def verify(ctx: VerifyContext[S3Credential]) -> str | None:
    """List the credential's bucket; return the key's id."""
    from hookline_s3.steps import bucket_requests, open_buckets

    await bucket_requests.answers(await open_buckets.bucket_of(ctx, None))
    return ctx.credential.access_key_id
