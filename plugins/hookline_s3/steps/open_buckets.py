"""The buckets that an engine's steps use."""

from collections import OrderedDict
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from hookline.api import Context, PollContext, StepError, Unavailable, VerifyContext
from hookline_s3.connector import S3Credential

OPEN: Final = 64
"""The most buckets that stay open; the least recently used one is dropped."""
_TIMEOUTS: Final[Any] = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=60),
    # A whole download takes as long as its reader.
    "timeout": timedelta(days=1),
}
#: The flow defines the retries of a step.
_RETRIES: Final[Any] = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}


class Buckets:
    """A resource of one engine: its steps' buckets, by credential."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[S3Credential, str], S3Store] = OrderedDict()

    def get(self, credential: S3Credential, bucket: str) -> S3Store:
        """Return a bucket, opened with a credential."""
        found = self._open.get((credential, bucket))
        if found is None:
            found = self._open[credential, bucket] = _store(credential, bucket)
            if len(self._open) > OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end((credential, bucket))
        return found

    async def close(self) -> None:
        """Forget the buckets; the library closes its connections itself."""
        self._open.clear()


async def bucket_of(
    ctx: Context[S3Credential] | PollContext[S3Credential] | VerifyContext[S3Credential], named: str | None
) -> S3Store:
    """Return the bucket of a step. Raises StepError (`s3.bucket`, `engine.egress`).

    Call it for each use, since it checks the addresses that the server has now.
    """
    own = ctx.credential.bucket
    if own is not None and named is not None and named != own:
        raise StepError("the credential is for another bucket; leave `bucket` out", code="s3.bucket")
    bucket = own or named
    if bucket is None:
        raise StepError("there is no bucket; give `bucket`, or a credential with a bucket", code="s3.bucket")
    server = urlsplit(ctx.credential.url)
    try:
        await ctx.resources.resolve(server.hostname or "", server.port or (443 if server.scheme == "https" else 80))
    except Unavailable as error:
        raise Unavailable(error.message, code="s3.unavailable") from error
    return ctx.resources.get(Buckets).get(ctx.credential, bucket)


def _store(credential: S3Credential, bucket: str) -> S3Store:
    secret, token = credential.secret_access_key, credential.session_token
    client: Any = {**_TIMEOUTS, "allow_http": credential.url.startswith("http:")}
    given: dict[str, Any] = {
        "region": credential.region,
        # The one that was checked, whatever the environment says.
        "endpoint": credential.url,
        "virtual_hosted_style_request": False,
        "access_key_id": credential.access_key_id,
        "secret_access_key": secret.get_secret_value() if secret is not None else None,
        "session_token": token.get_secret_value() if token is not None else None,
    }
    try:
        return S3Store(
            bucket,
            prefix=credential.prefix or None,
            client_options=client,
            retry_config=_RETRIES,
            **{name: value for name, value in given.items() if value is not None},
        )
    except (BaseError, ValueError) as error:
        raise StepError(f"the bucket {bucket!r} can't be used: {type(error).__name__}", code="s3.bucket") from error
