"""What failures of a command mean: what happened, where, and what to do about it."""

import errno
import os
import resource
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from local.platform.errors import PlatformError
from local.platform.home import Home, default_home

_LOG = "smp-errors.log"
_NO_KEY = {
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_REMEDIES = {
    errno.ENOSPC: "Free some space on that disk and run {command} again.",
    errno.EDQUOT: "Free some space on that disk, or have your quota raised, and run {command}"
    " again.",
    errno.EFBIG: "Allow this shell larger files, with ulimit -f unlimited, and run {command}"
    " again.",
    errno.EMFILE: "Allow this shell more open files, with ulimit -n 1024, and run {command} again.",
    errno.ENFILE: "End some programs: this machine has as many files open as it can.",
    errno.EROFS: "Let SMP_HOME name a folder on a disk that may be written, and run {command}"
    " again.",
    errno.EACCES: "Give yourself that permission, or name another place, and run {command} again.",
    errno.EPERM: "Give yourself that permission, or name another place, and run {command} again.",
    errno.ENAMETOOLONG: "Name a shorter path, and run {command} again.",
    errno.ELOOP: "Name a path without such links, and run {command} again.",
    errno.ENOENT: "Name a path that exists, and run {command} again.",
    errno.ENOTDIR: "Name another path: a part of this one is a file and no folder.",
    errno.EISDIR: "Name a file and no folder.",
    errno.ENOMEM: "End some programs: this machine has no memory left.",
    errno.EAGAIN: "End some programs: no more processes may be started (ulimit -u).",
    errno.EIO: "Look after that disk: it does not answer as it should.",
}


def command() -> str:
    """The command that runs, as a person would call it again."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    return " ".join(["smp", *words[:1]])


def explain(error: BaseException) -> PlatformError | None:
    """The failure as a person is told; None when it means nothing that is known here."""
    if isinstance(error, PlatformError):
        return error
    # Only what has been imported can have been raised.
    for module, explanation in _LIBRARIES.items():
        if module in sys.modules and (found := explanation(error)):
            return found
    if isinstance(error, ConnectionError | TimeoutError):
        return _unreachable(str(error))
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, MemoryError):
        return PlatformError(command(), "There is not enough memory.", _REMEDIES[errno.ENOMEM])
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return PlatformError(command(), f"{error}.", _REMEDIES[errno.EAGAIN])
    if isinstance(error, ImportError):
        return _import(error)
    return None


def _botocore(error: BaseException) -> PlatformError | None:
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        if error.response.get("Error", {}).get("Code") in _NO_KEY:
            return _key_refused(error)
        return PlatformError(error.operation_name, str(error), "The server's own words: smp logs")
    if isinstance(
        error,
        exceptions.HTTPClientError | exceptions.ConnectionError | exceptions.ReadTimeoutError,
    ):
        return _unreachable(str(error))
    if isinstance(
        error,
        exceptions.NoCredentialsError
        | exceptions.PartialCredentialsError
        | exceptions.CredentialRetrievalError
        | exceptions.ProfileNotFound
        | exceptions.SSOError
        | exceptions.TokenRetrievalError,
    ):
        return PlatformError(
            "find your credentials",
            str(error),
            "Give them as to every tool of AWS, for example with aws configure and AWS_PROFILE.",
        )
    if isinstance(error, exceptions.BotoCoreError):
        return PlatformError("call the platform", str(error), "See its state with: smp status")
    return None


def _psutil(error: BaseException) -> PlatformError | None:
    import psutil

    if isinstance(error, psutil.Error):
        return PlatformError("look at the processes", f"{error}.", "See what runs with: smp status")
    return None


def _urllib(error: BaseException) -> PlatformError | None:
    from urllib.error import URLError

    return _unreachable(str(error.reason)) if isinstance(error, URLError) else None


def _http(error: BaseException) -> PlatformError | None:
    from http.client import HTTPException

    if isinstance(error, HTTPException):
        return _unreachable(f"What answered is no HTTP: {type(error).__name__} {error}".strip())
    return None


def _commands(error: BaseException) -> PlatformError | None:
    from local.platform.commands import Cancelled

    if isinstance(error, Cancelled):
        return PlatformError(command(), f"It was ended before it could {error}.", "Run it again.")
    return None


_LIBRARIES: dict[str, Callable[[BaseException], PlatformError | None]] = {
    "botocore.exceptions": _botocore,
    "psutil": _psutil,
    "urllib.error": _urllib,
    "http.client": _http,
    "local.platform.commands": _commands,
}


def _unreachable(why: str) -> PlatformError:
    return PlatformError(
        "reach the platform",
        f"{why.rstrip('.')}." if why else "The connection was lost.",
        "See what runs with smp status, and why it ended with smp logs.",
    )


def _key_refused(error: BaseException) -> PlatformError:
    return PlatformError(
        "sign in",
        f"The platform does not know the key in {default_home().credentials}. {error}",
        "Remove that file; smp up makes a new key.",
    )


def _system(error: OSError) -> PlatformError:
    """What the operating system refused, with the file when it names one."""
    number = error.errno or 0
    reason = (error.strerror or str(error) or type(error).__name__).rstrip(".")
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if _is_path(name)]
    if number == errno.ENOENT and not names and _folder_is_gone():
        return PlatformError(
            command(), "The folder that this shell stands in is gone.", "Go to another one with cd."
        )
    if number in (errno.EMFILE, errno.ENFILE):
        reason += f" (ulimit -n is {resource.getrlimit(resource.RLIMIT_NOFILE)[0]})"
    remedy = _REMEDIES.get(number, "Mend that, and run {command} again.")
    return PlatformError(
        command(),
        f"{reason}: {' and '.join(names)}." if names else f"{reason}.",
        remedy.format(command=command()),
    )


def _is_path(name: object) -> bool:
    return isinstance(name, str | bytes) and bool(name)


def _folder_is_gone() -> bool:
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def _import(error: ImportError) -> PlatformError:
    """Nothing can be imported where no file can be opened, which Python takes for its absence."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
        [*Path(__file__).parent.iterdir()]
    except OSError as reason:
        return _system(reason)
    return PlatformError(
        "find what smp is made of",
        f"{error}. The environment that it runs in is not whole.",
        "Install it anew with: make setup",
    )


def unexpected(error: BaseException) -> PlatformError:
    """What to say of an error that nobody thought of; its trace is kept in a file."""
    trace = "".join(traceback.format_exception(error))
    head = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC  {shlex.join(sys.argv)}"
    try:
        path = _keep(f"{head}\n{trace}\n")
        place = f"The trace of it is in {path}."
    except (OSError, PlatformError):
        place = "Its trace is printed with SMP_DEBUG=1."
    text = str(error).strip().partition("\n")[0]
    name = type(error).__name__
    return PlatformError(
        command(),
        f"smp itself went wrong: {name}{f': {text}' if text else ''}",
        f"{place} Please report it with that.",
    )


def _keep(text: str) -> Path:
    """Append to the platform's own log of such errors, or write a new file without a platform."""
    home: Home | None = None
    try:
        home = default_home()
        home.check()
    except (OSError, PlatformError):
        home = None
    if home and home.marker.is_file():
        path = home.path / _LOG
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
    else:
        descriptor, name = tempfile.mkstemp(prefix="smp-", suffix=".log")
        path = Path(name)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    return path
