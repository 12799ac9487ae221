"""Buckets of S3, and of what speaks like it, as blob stores."""

from collections.abc import Mapping

from hookline.api import hookimpl
from hookline.api.storage import BlobStoreFactory

from .address import s3_blobs


@hookimpl
def register_blob_stores() -> Mapping[str, BlobStoreFactory]:
    return {"s3": s3_blobs}
