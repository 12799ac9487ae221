"""Converting the errors of a bucket to errors of steps."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from hookline.api import AuthExpired, StepError, Unavailable

_STATUS: Final = re.compile(r"status code: (\d{3})")
_SAID: Final = re.compile(r"<Code>([^<]*)</Code>(?:\s*<Message>([^<]*)</Message>)?")
_LONGEST: Final = 300


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise StepError for the library's errors. `what`: the object or the bucket, for messages."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise failure(what, error) from error
    except ValueError as error:
        # An invalid path.
        raise StepError(f"{what}: {_said(error)}", code="s3.key") from error


def failure(what: str, error: Exception) -> StepError:
    """Return the step's error for an error of the library."""
    said = _said(error)
    match error:
        case _ if "NoSuchBucket" in str(error):
            return StepError(f"{what}: there is no such bucket", code="s3.bucket")
        case FileNotFoundError():
            return StepError(f"{what}: there is no such object", code="s3.not_found")
        case PermissionDeniedError() | UnauthenticatedError():
            return AuthExpired(f"{what}: {said}", code="s3.access")
        case AlreadyExistsError():
            return StepError(f"{what} exists already", code="s3.exists")
        case PreconditionError():
            return StepError(f"{what} was changed meanwhile", code="s3.changed", retryable=True)
        case InvalidPathError():
            return StepError(f"{what}: {said}", code="s3.key")
    status = _STATUS.search(str(error))
    if status is not None and status[1].startswith("4") and status[1] not in ("408", "409", "429"):
        if status[1] in ("401", "403"):
            return AuthExpired(f"{what}: {said}", code="s3.access")
        return StepError(f"{what}: {said}", code="s3.rejected")
    return Unavailable(f"{what}: {said}", code="s3.unavailable")


def _said(error: Exception) -> str:
    """Return the first line of the error; the request and the response follow it at length."""
    found = _SAID.search(str(error))
    if found is not None:
        return ": ".join(part for part in found.groups() if part)[:_LONGEST]
    return str(error).partition("\n")[0][:_LONGEST]
