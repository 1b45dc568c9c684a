"""The errors of the API, with the codes and statuses that AWS gives them."""

import errno
import sqlite3

# As many characters as AWS keeps of a FailureReason.
REASON_LIMIT = 1024


class ServiceError(Exception):
    """An answer of the API that is an error."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def invalid(message: str) -> ServiceError:
    """The request is well formed but cannot be done."""
    return ServiceError("ValidationException", message)


def in_use(message: str) -> ServiceError:
    """The name is taken, or the resource is needed by another."""
    return ServiceError("ResourceInUse", message)


def conflict(message: str) -> ServiceError:
    """The resource is not in a state in which this can be done."""
    return ServiceError("ConflictException", message)


def throttled() -> ServiceError:
    """Too many calls; the SDKs wait and call again."""
    return ServiceError("ThrottlingException", "Rate exceeded")


def not_offered(operation: str, offered: str, closed: str = "") -> ServiceError:
    """An operation of AWS that is not there yet on the local platform, or is `closed` on AWS."""
    if closed:
        return ServiceError(
            "UnknownOperationException",
            f"{operation} is an operation of SageMaker that the local platform does not offer, and "
            f"that AWS closes: {closed}",
        )
    return ServiceError(
        "UnknownOperationException",
        f"{operation} is an operation of SageMaker that the local platform does not offer yet. "
        f"It offers: {offered}.",
    )


def unknown_operation(operation: str, service: str = "SageMaker") -> ServiceError:
    """No service of the name has this operation."""
    return ServiceError(
        "UnknownOperationException", f"{service} has no operation {operation!r}.", 404
    )


def internal_reason(detail: str = "") -> str:
    """The FailureReason of what went wrong within the platform itself."""
    sentence = "We encountered an internal error. Please try again."
    return f"{sentence} ({detail})" if detail else sentence


def disk_refusal(error: Exception) -> str:
    """What to do about a disk that takes no more, or an empty text where that is not the error."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        full = code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return f"{_UNWRITTEN} ({error}). Let its folder be writable for you and try again."
    elif isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if error.errno == errno.EROFS:
            return f"{_UNWRITTEN} ({error.strerror}). Let its disk be writable and try again."
    else:
        return ""
    words = error.strerror if isinstance(error, OSError) else error
    return f"{_UNWRITTEN} ({words}). Free some space on its disk and try again." if full else ""


_UNWRITTEN = "The local platform could not write its state"
