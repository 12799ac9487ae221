"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Reads and writes objects in buckets of Amazon S3, and of what speaks like it (MinIO, Ceph, Cloudflare R2, …), which the
credential's `endpoint` names. Its key needs `s3:ListBucket` on the bucket, and of what its steps do `s3:GetObject`,
`s3:PutObject`, `s3:AbortMultipartUpload` and `s3:DeleteObject` on the objects. Keys are names with a slash between
them: those with an empty name (`a//b`, `/a`, `a/`), `.`, `..` or control characters aren't taken.
"""

ERRORS: Final[Mapping[str, str]] = {
    "s3.access": "The credential is wrong, or doesn't allow it.",
    "s3.attachment": "What names an attachment names none of the message's, or several.",
    "s3.bucket": "No bucket is named, or two are, or there is no such bucket.",
    "s3.changed": "Another object took the place of the one that was being read.",
    "s3.content": "Neither `content` nor `file` is given, or both, or an object isn't JSON that is read as such.",
    "s3.encoding": "The text isn't in the encoding that is given, or can't be written in it.",
    "s3.exists": "There is an object already, with other content, and it isn't to be replaced.",
    "s3.key": "The key, or one that is listed, can't be used.",
    "s3.not_found": "There is no such object.",
    "s3.rejected": "The server rejected it.",
    "s3.too_large": "The object, or a line of it, is larger than is allowed.",
    "s3.too_many": "More objects match than are listed, or kept track of.",
    "s3.unavailable": "The server can't be reached, or does nothing now; it can be tried again.",
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
