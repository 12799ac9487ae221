"""The URL of a bucket: `s3://bucket/prefix?region=…&endpoint=…`."""

from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from hookline.api import StoreError
from hookline.api.storage import Blobs, Clock

_SETTINGS: Final = ("endpoint", "region")
_FORM: Final = "write s3://bucket/prefix?region=eu-central-1, and &endpoint=https://… where it isn't Amazon's"

#: A sender waits meanwhile, and tries again where it gets a 503.
_RETRIES: Final[Any] = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


def s3_blobs(url: str, *, clock: Clock) -> Blobs:
    """A bucket; who may use it is read from the environment, as Amazon's own tools do, and never from the URL.

    Raises StoreError for a URL that can't be read, and where the library isn't installed.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise StoreError(
            "credentials don't belong in the URL of a blob store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    given = parse_qsl(parts.query, keep_blank_values=True)
    settings = dict(given)
    if not parts.netloc or ":" in parts.netloc or parts.fragment:
        raise StoreError(f"the URL of the blob store names no bucket: {_FORM}")
    if len(settings) < len(given) or not settings.keys() <= set(_SETTINGS) or "" in settings.values():
        # Only names are shown: a value may be a secret that somebody has put there.
        raise StoreError(f"of settings in a blob store's URL there are {', '.join(_SETTINGS)}, each once: {_FORM}")
    endpoint = settings.get("endpoint", "")
    if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
        raise StoreError(f"the endpoint of a blob store is an http:// or https:// URL: {_FORM}")
    try:
        from obstore.store import S3Store

        from .bucket import BucketBlobs
    except ModuleNotFoundError as error:
        raise StoreError("S3 needs obstore: pip install 'hookline[s3]'") from error
    bucket = S3Store(
        parts.netloc,
        prefix=unquote(parts.path).strip("/") or None,
        client_options={
            "allow_http": endpoint.startswith("http:"),
            "connect_timeout": timedelta(seconds=5),
            "timeout": timedelta(seconds=60),
        },
        retry_config=_RETRIES,
        **settings,  # type: ignore[arg-type]  # its names are those above
    )
    return BucketBlobs(bucket, clock)
