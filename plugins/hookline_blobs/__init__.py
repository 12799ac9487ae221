"""Files in a directory, as a blob store."""

from collections.abc import Mapping

from hookline.api import hookimpl
from hookline.api_storage import BlobStoreFactory

from .directory import file_blobs


@hookimpl
def register_blob_stores() -> Mapping[str, BlobStoreFactory]:
    return {"file": file_blobs}
