"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Reads and writes objects in buckets of Amazon S3 and of compatible services (MinIO, Ceph, Cloudflare R2, …), which the
credential's `endpoint` names. The credential's key needs `s3:ListBucket` on the bucket, and, depending on the actions,
`s3:GetObject`, `s3:PutObject`, `s3:AbortMultipartUpload` and `s3:DeleteObject` on the objects. Keys are names separated
by slashes. Keys with an empty name (`a//b`, `/a`, `a/`), `.`, `..` or control characters are not supported.
"""

ERRORS: Final[Mapping[str, str]] = {
    "s3.access": "The credential is wrong, or doesn't allow the operation.",
    "s3.attachment": "The name of an attachment matches none of the message's, or several.",
    "s3.bucket": "No bucket is given, or two are, or the bucket doesn't exist.",
    "s3.changed": "The object was replaced while it was read.",
    "s3.content": "Neither `content` nor `file` is given, or both are, or an object that is read as JSON isn't JSON.",
    "s3.encoding": "The text doesn't match the given encoding, or can't be written in it.",
    "s3.exists": "An object with other content exists already, and must not be replaced.",
    "s3.key": "The key, or a listed one, can't be used.",
    "s3.not_found": "The object doesn't exist.",
    "s3.rejected": "The server rejected the request.",
    "s3.too_large": "The object, or a line of it, is too large.",
    "s3.too_many": "More objects match than can be listed or tracked.",
    "s3.unavailable": "The server can't be reached, or is temporarily unavailable. It can be retried.",
}

EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "orders-from-s3",
    "trigger": {"use": "s3.new", "with": {"prefix": "incoming", "pattern": "*.json"}, "credential": "drop"},
    "steps": [
        {
            "id": "order",
            "use": "s3.read",
            "with": {"key": "$.body.key", "format": "json"},
            "credential": "drop",
            "retry": {"attempts": 5, "wait": "5s"},
        },
        {
            "id": "done",
            "use": "s3.move",
            "with": {"key": "$.trigger.body.key", "to": "done/{{ trigger.body.name }}", "replace": True},
            "credential": "drop",
            "retry": {"attempts": 5, "wait": "5s"},
        },
    ],
}
