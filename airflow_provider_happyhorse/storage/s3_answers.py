"""What S3's errors mean for publishing: absent, taken, refused for good, or worth another try."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_happyhorse.exceptions import PublishRefused
from airflow_provider_happyhorse.storage.stores import ObjectExists, StorageUnavailable


class AbsentObject(Exception):
    """There is no object of this name."""


class Conflict(StorageUnavailable):
    """Another request for the same name got in between; nothing was decided, and this one is to be sent again."""


#: Answers of the 4xx kind that the same request may not get again (S3 API reference, "Error responses").
_PASSING = frozenset(
    {
        "BadDigest",
        "ExpiredToken",
        "IncompleteBody",
        "RequestTimeTooSkewed",
        "RequestTimeout",
        "SlowDown",
        "Throttling",
        "TooManyRequests",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Say of what boto3, Airflow's hook or the worker's disk raises whether another try can help.

    :raises AbsentObject: 404 of an object.
    :raises ObjectExists: 412.
    :raises PublishRefused: another try meets the same: access denied, no such bucket.
    :raises Conflict: 409.
    :raises StorageUnavailable: everything else, also a connection that is not found.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError  # type: ignore[import-untyped]

    try:
        yield
    except ClientError as error:
        _raise(uri, error)
    except ParamValidationError as error:
        # Names are checked long before, so what it does not know is a condition or a checksum.
        raise PublishRefused(f"The installed botocore cannot write to {uri} without overwriting; upgrade it: {error}.") from error
    except AirflowNotFoundException as error:
        # Airflow says the same when a secrets backend fails for a moment.
        raise StorageUnavailable(f"{uri}: {error}; another try costs no credits") from error
    except (BotoCoreError, OSError) as error:
        raise StorageUnavailable(f"The storage failed: {error} at {uri}; another try costs no credits") from error


def _raise(uri: str, error: Exception) -> None:
    answer = getattr(error, "response", {})
    code = str(answer.get("Error", {}).get("Code", ""))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in ("NoSuchKey", "404", "NotFound"):  # a HEAD has no body, so no code
        raise AbsentObject(uri) from error
    if code in ("PreconditionFailed", "412"):
        raise ObjectExists(uri) from error
    text = f"The storage failed: {error} at {uri}; another try costs no credits"
    if code in ("ConditionalRequestConflict", "OperationAborted", "409"):
        raise Conflict(text) from error
    if 400 <= status < 500 and status not in (408, 429) and code not in _PASSING:
        hint = (
            " (s3:ListBucket tells an absent object from a forbidden one; s3:GetObject, s3:PutObject and s3:DeleteObject are needed too)"
            if status == 403
            else ""
        )
        raise PublishRefused(f"The storage refuses: {error} at {uri}{hint}.") from error
    raise StorageUnavailable(text) from error
