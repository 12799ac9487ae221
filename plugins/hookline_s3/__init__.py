"""Buckets of S3 and compatible services: as blob stores, and the connector `s3` with the trigger `s3.new`."""

from collections.abc import Mapping, Sequence

from hookline.api import Connector, hookimpl
from hookline.api_storage import BlobStoreFactory
from hookline_s3.blobs.bucket_from_url import s3_blobs


@hookimpl
def register_blob_stores() -> Mapping[str, BlobStoreFactory]:
    return {"s3": s3_blobs}


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """Return the connector of buckets."""
    # Imported here, because a node that only accepts messages needs the blob store alone.
    from hookline_s3.connector import connector
    from hookline_s3.steps import actions, credential_check, new_objects_trigger  # noqa: F401 - they add theirs to the connector

    return [connector]
