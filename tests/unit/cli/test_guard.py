"""What smp says when it fails."""

import errno
import http.client
import os
import subprocess
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer
from botocore import exceptions

from local.cli import guard
from local.cli.main import app
from local.platform import lifecycle
from local.platform.errors import PlatformError
from local.platform.home import Home
from tests.platform import SMP
from tests.unit.cli.calls import Smp

# An error with an article of its own: where it came from, and what of the remedy must be said.
FAILURES: dict[str, tuple[BaseException, str]] = {
    "full disk": (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "Free some space"),
    "quota": (OSError(errno.EDQUOT, "Disk quota exceeded", "/x/y"), "Free some space"),
    "read-only": (OSError(errno.EROFS, "Read-only file system", "/x/y"), "may be written"),
    "not allowed": (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "permission"),
    "too many files": (OSError(errno.EMFILE, "Too many open files", "/x/y"), "ulimit -n 1024"),
    "too large": (OSError(errno.EFBIG, "File too large", "/x/y"), "ulimit -f"),
    "bytes": (FileNotFoundError(errno.ENOENT, "No such file", b"/x/y"), "path that exists"),
    "two paths": (OSError(errno.EXDEV, "Invalid cross-device link", "/x/y", None, "/z"), "/x/y"),
    "no reason": (OSError("odd"), "odd"),
    "broken disk": (OSError(errno.EIO, "Input/output error", "/x/y"), "Look after that disk"),
    "no processes": (BlockingIOError(errno.EAGAIN, "Resource unavailable"), "ulimit -u"),
    "no threads": (RuntimeError("can't start new thread"), "ulimit -u"),
    "no memory": (MemoryError(), "End some programs"),
    "reset": (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "smp logs"),
    "broken pipe to the server": (BrokenPipeError(errno.EPIPE, "Broken pipe"), "smp logs"),
    "too slow": (TimeoutError("timed out"), "smp logs"),
    "url": (urllib.error.URLError(ConnectionRefusedError(111, "refused")), "smp logs"),
    "no http": (http.client.BadStatusLine("SSH-2.0"), "smp logs"),
    "half an answer": (http.client.IncompleteRead(b""), "smp logs"),
    "no endpoint": (exceptions.EndpointConnectionError(endpoint_url="http://x"), "smp logs"),
    "closed": (exceptions.ConnectionClosedError(endpoint_url="http://x"), "smp logs"),
    "hangs": (exceptions.ReadTimeoutError(endpoint_url="http://x"), "smp logs"),
    "no answer": (exceptions.ResponseStreamingError(error="odd"), "smp logs"),
    "no sense": (exceptions.ParamValidationError(report="odd"), "smp status"),
    "no credentials": (exceptions.NoCredentialsError(), "aws configure"),
    "no profile": (exceptions.ProfileNotFound(profile="x"), "aws configure"),
    "expired": (exceptions.ClientError({"Error": {"Code": "ExpiredToken"}}, "X"), "smp up"),
    "unknown key": (
        exceptions.ClientError({"Error": {"Code": "InvalidClientTokenId"}}, "X"),
        "smp up",
    ),
    "denied": (exceptions.ClientError({"Error": {"Code": "AccessDenied"}}, "X"), "smp logs"),
    "empty error": (exceptions.ClientError({}, "X"), "smp logs"),
    "process gone": (psutil.NoSuchProcess(1), "smp status"),
    "process hidden": (psutil.AccessDenied(1), "smp status"),
    "module": (ModuleNotFoundError("No module named 'x'"), "make setup"),
    "its own": (PlatformError("x", "y", "z"), "z"),
}


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*given: Any, **named: Any) -> Any:
        raise error

    return fail


def commands() -> list[list[str]]:
    """Every command with arguments that it takes."""
    found: list[list[str]] = []

    def look(command: Any, words: list[str]) -> None:
        inner = getattr(command, "commands", {})
        for name, one in inner.items():
            look(one, [*words, name])
        if not inner or command.invoke_without_command:
            needed = [one for one in command.params if one.required]
            places = ["1" for one in needed if one.param_type_name == "argument"]
            named = [one.opts[0] for one in needed if one.param_type_name != "argument"]
            options = [word for option in named for word in (option, "1")]
            found.append([*words, *places, *options])

    look(typer.main.get_command(app), [])
    # These start one, or need none.
    return [words for words in found if words[0] not in ("up", "demo") and words[1:] != ["build"]]


@pytest.mark.holds("Whatever a command fails of is a sentence: what, where, and what to do.")
@pytest.mark.parametrize("error", FAILURES)
def test_every_failure_is_a_sentence_with_a_place_and_a_remedy(
    error: str, smp: Smp, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised, remedy = FAILURES[error]
    monkeypatch.setattr(lifecycle, "attach", failing(raised))
    said = smp("status")
    said.is_a_sentence()
    assert remedy in said.err
    if getattr(raised, "filename", None):
        assert "/x/y" in said.err


def test_an_unexpected_error_is_a_sentence_and_its_trace_lies_in_the_folder(
    smp: Smp, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "attach", failing(ZeroDivisionError("by zero")))
    home.create()
    said = smp("status")
    said.is_a_sentence()
    log = home.path / "smp-errors.log"
    assert str(log) in said.err
    assert "ZeroDivisionError: by zero" in said.err
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("SMP_DEBUG", "1")
    assert "Traceback" in smp("status").err


def test_without_a_platform_the_trace_of_an_unexpected_error_lies_beside_it(
    smp: Smp, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(lifecycle, "attach", failing(ZeroDivisionError()))
    smp("status").is_a_sentence()
    [log] = tmp_path.glob("smp-*.log")
    assert "Traceback" in log.read_text()
    assert not home.path.exists()
    # Nor where nothing can be written at all.
    monkeypatch.setattr("tempfile.mkstemp", failing(OSError(errno.ENOSPC, "No space left")))
    said = smp("status")
    said.is_a_sentence()
    assert "SMP_DEBUG=1" in said.err


def test_an_interruption_is_told_with_the_exit_code_of_one(
    smp: Smp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "attach", failing(KeyboardInterrupt()))
    said = smp("status")
    assert (said.code, said.err) == (guard.INTERRUPTED, "Interrupted.\n")


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_says_that_no_platform_runs(words: list[str], smp: Smp) -> None:
    said = smp(*words)
    if words in (["down"], ["stop"]):
        assert (said.code, said.err) == (0, "No platform runs here.\n")
        return
    said.is_a_sentence()


# What only a process of its own can meet. `exec` leaves no shell that would meet it first.
SURROUNDINGS: dict[str, tuple[str, int, str]] = {
    "few files": ("ulimit -n 20; exec $SMP status", 1, "smp up"),
    "hardly any files": ("ulimit -n 8; exec $SMP status", 1, ""),
    "no files grow": ("ulimit -f 0; exec $SMP up", 1, "ulimit -f"),
    "closed output": ("exec $SMP --help >&-", 0, ""),
    "all closed": ("exec $SMP status <&- >&- 2>&-", 1, ""),
    "full output": ("exec $SMP --help >/dev/full", 1, "No space left on device"),
    "full errors": ("exec $SMP status 2>/dev/full", 1, ""),
    "latin": (
        "mkdir home; printf '\\342\\234\\223' >home/server.log;"
        " PYTHONIOENCODING=latin-1 exec $SMP logs",
        0,
        "",
    ),
    "no such place": ("mkdir gone; cd gone; rmdir ../gone; SMP_HOME=x exec $SMP status", 1, "x"),
    "nothing known": ('exec env -i SMP_HOME="$SMP_HOME" $SMP status', 1, "smp up"),
    "a proxy": (
        "HTTP_PROXY=http://127.0.0.1:1 http_proxy=http://127.0.0.1:1 exec $SMP env",
        1,
        "up",
    ),
    "signal": ("trap '' INT; exec $SMP status", 1, "smp up"),
}


@pytest.mark.holds("A shell that is short of something is told so, without a trace.")
@pytest.mark.parametrize("what", SURROUNDINGS)
def test_a_shell_that_is_short_of_something_ends_in_no_trace(what: str, tmp_path: Path) -> None:
    script, code, remedy = SURROUNDINGS[what]
    environment = {**os.environ, "SMP": str(SMP), "SMP_HOME": str(tmp_path / "home")}
    said = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in said.stderr + said.stdout
    assert said.returncode == code, said
    assert remedy in said.stderr


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    with subprocess.Popen([SMP, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as smp:
        assert smp.stdout
        smp.stdout.close()
        assert smp.stderr
        assert smp.stderr.read() == b""
    assert smp.returncode in (0, 1)


def test_output_that_cannot_be_written_at_the_end_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr("local.cli.main.app", lambda: full.write("x"))
        monkeypatch.setattr("os.environ", dict(os.environ))
        assert guard.run() == guard.FAILED
    assert "No space left on device" in capsys.readouterr().err
