"""The URL of a bucket: `s3://bucket/prefix?region=…&endpoint=…`."""

import re
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from hookline.api import StoreError
from hookline.api_storage import Blobs, Clock

_SETTINGS: Final = ("endpoint", "region")
_FORM: Final = "write s3://bucket/prefix?region=eu-central-1, and &endpoint=https://… if it isn't Amazon's"

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_REGION: Final = re.compile(r"[A-Za-z0-9-]+")
_SILENCE: Final = timedelta(seconds=60)
"""The longest time without data from the server. A part of an upload must be sent within it; a whole download has no
limit, because it takes as long as its reader.
"""
_LONGEST: Final = timedelta(days=1)

#: A sender waits meanwhile, and retries after a 503.
_RETRIES: Final[Any] = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


def s3_blobs(url: str, *, clock: Clock) -> Blobs:
    """Make the store in a bucket. The access key is read from the environment, never from the URL.

    Raises StoreError if the URL is invalid, or if the library isn't installed.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise StoreError(
            "credentials don't belong in the URL of a blob store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    given = parse_qsl(parts.query, keep_blank_values=True)
    settings = dict(given)
    if _BUCKET.fullmatch(parts.netloc) is None or parts.fragment:
        raise StoreError(f"the URL of the blob store names no bucket: {_FORM}")
    if len(settings) < len(given) or not settings.keys() <= set(_SETTINGS) or "" in settings.values():
        # Only names are shown, because a value may be a secret.
        raise StoreError(f"the settings in a blob store's URL are {', '.join(_SETTINGS)}, each once: {_FORM}")
    endpoint = settings.get("endpoint", "")
    if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
        raise StoreError(f"the endpoint of a blob store must be an http:// or https:// URL: {_FORM}")
    prefix = unquote(parts.path).strip("/")
    if prefix and any(part in ("", ".", "..") or not part.isprintable() for part in prefix.split("/")):
        raise StoreError(f"the prefix in a blob store's URL must be names separated by single slashes: {_FORM}")
    if _REGION.fullmatch(settings.get("region", "-")) is None:
        raise StoreError(f"the region of a blob store may only have letters, digits and dashes: {_FORM}")
    try:
        from obstore.store import S3Store

        from hookline_s3.blobs.bucket import BucketBlobs
    except ModuleNotFoundError as error:
        raise StoreError("S3 needs obstore: pip install 'hookline[s3]'") from error
    bucket = S3Store(
        parts.netloc,
        prefix=prefix or None,
        client_options={
            "allow_http": endpoint.startswith("http:"),
            "connect_timeout": timedelta(seconds=5),
            "read_timeout": _SILENCE,
            "timeout": _LONGEST,
        },
        retry_config=_RETRIES,
        **settings,  # type: ignore[arg-type]  # its names are those above
    )
    return BucketBlobs(bucket, clock)
