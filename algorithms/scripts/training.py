"""A training script's life: its code, its process, and what is told when it fails."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from algorithms.catalog.frameworks import Framework
from algorithms.scripts import environment, versions
from algorithms.scripts.code import CodeError, check_requirements, fetch
from algorithms.toolkit.job import base_folder
from algorithms.toolkit.training import FAILURE_CHARACTERS, start_log

_TRACEBACK = "Traceback (most recent call last)"
# As many characters of an error as a FailureReason has.
_KEPT = FAILURE_CHARACTERS
_LAST_WORDS_SECONDS = 10
# What the platform tells its own algorithms, and no container of AWS knows.
_PRIVATE = ("SCRIPT_FRAMEWORK", "SCRIPT_IMAGE_VERSION", "SAGEMAKER_HOST_ADDRESSES")

log = logging.getLogger("algorithms")


def run(framework: Framework) -> int:
    """Train as the files below the base folder say, and return the exit code.

    What goes wrong is worded as SageMaker's training toolkit does, in the failure file.
    """
    start_log()
    log.info("Docker entrypoint called with argument(s): train")
    base = base_folder()
    code = base / "code"
    versions.tell(framework)
    module = f"sagemaker_{framework.module}_container.training:main"
    invocation = environment.read(base, module, os.environ)
    try:
        fetch(invocation.submitted, code, base)
        command = _command(invocation, code)
    except CodeError as error:
        return _fail(base, f"Framework Error: \n{error}")
    try:
        check_requirements(code)
    except CodeError as error:
        return _fail(
            base,
            _called("InstallRequirementsError", 1, str(error), "pip install -r requirements.txt"),
        )
    shown = " ".join(["python", *command[2:]] if command[0] == sys.executable else command)
    log.info("Invoking user training script: %s", shown)
    exit_code, error_message = _spawn(command, code, invocation.variables)
    if exit_code == 0:
        log.info("Reporting training SUCCESS")
        return 0
    return _fail(base, _called("ExecuteUserScriptError", exit_code, error_message, shown))


def _command(invocation: environment.Invocation, code: Path) -> list[str]:
    """Give the command that runs the script; it runs in the folder of the code.

    Raises:
        CodeError: The code does not hold the script.
    """
    program = invocation.program
    if not program:
        raise CodeError("no script is named: set the hyperparameter sagemaker_program")
    if (code / "setup.py").is_file():
        log.info("The package is not installed: it is imported from its folder, as it is")
        return [sys.executable, "-u", "-m", program.removesuffix(".py"), *invocation.arguments]
    if not (code / program).is_file():
        held = ", ".join(sorted(path.name for path in code.iterdir())[:20]) or "nothing"
        raise CodeError(
            f"sagemaker_program is {program!r}, which sagemaker_submit_directory does not hold; "
            f"it holds {held}"
        )
    if program.endswith(".py"):
        return [sys.executable, "-u", program, *invocation.arguments]
    (code / program).chmod(0o755)
    return [f"./{program}", *invocation.arguments]


def _spawn(command: Sequence[str], code: Path, variables: dict[str, str]) -> tuple[int, str]:
    """Run the script to its end; its exit code, and the error that it last wrote."""
    inherited = {name: value for name, value in os.environ.items() if name not in _PRIVATE}
    searched = [str(code), *filter(None, [os.environ.get("PYTHONPATH")])]
    asked = _asked_to_end()
    try:
        process = subprocess.Popen(
            command,
            env={**inherited, **variables, "PYTHONPATH": os.pathsep.join(searched)},
            cwd=code,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        return 126, f"{command[0]} cannot be started: {error.strerror}"
    # A script may save what it has when it is asked to end.
    threading.Thread(target=_pass_on, args=[asked, process], daemon=True).start()
    errors = _Errors()
    reader = threading.Thread(target=errors.read, args=[process.stderr], daemon=True)
    reader.start()
    exit_code = process.wait()
    # What the script left running may hold its output open for ever.
    reader.join(timeout=_LAST_WORDS_SECONDS)
    return exit_code if exit_code >= 0 else 128 - exit_code, errors.message


def _asked_to_end() -> int:
    """A descriptor that has a byte for each signal from now on.

    Python runs a handler between two steps of the main thread: a signal that comes as that begins
    to wait for the script would be noticed at the script's end. The byte is written at once.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told)
    signal.signal(signal.SIGTERM, lambda *_: None)
    return heard


def _pass_on(asked: int, process: subprocess.Popen[bytes]) -> None:
    while number := os.read(asked, 1):
        if number[0] == signal.SIGTERM:
            process.send_signal(signal.SIGTERM)


class _Errors:
    """Passes on what a script writes to stderr, and keeps how its last error reads."""

    def __init__(self) -> None:
        self._error: list[str] = []
        self._last = ""
        self._traced = False

    @property
    def message(self) -> str:
        """The last exception without its frames, or else the last line."""
        return ("\n".join(self._error) or self._last)[:_KEPT]

    def read(self, stream: IO[bytes] | None) -> None:
        """Read to the end."""
        for raw in stream or ():
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            print(line, flush=True)
            self._keep(line)

    def _keep(self, line: str) -> None:
        if line.startswith(_TRACEBACK):
            self._error.clear()
            self._traced = True
        elif self._traced and line and not line[0].isspace():
            if sum(map(len, self._error)) < _KEPT:
                self._error.append(line)
        elif line.strip():
            self._last = line.strip()


def _called(kind: str, exit_code: int, message: str, command: str) -> str:
    """Word the end of a command as the toolkit does."""
    # The command comes last, and is what may be missing.
    room = FAILURE_CHARACTERS - len(kind) - len(command) - 60
    told = message[: max(room, 200)]
    return f'{kind}:\nExitCode {exit_code}\nErrorMessage "{told}"\nCommand "{command}"'


def _fail(base: Path, text: str) -> int:
    log.error("Reporting training FAILURE")
    log.error("%s", text)
    path = base / "output" / "failure"
    path.parent.mkdir(parents=True, exist_ok=True)
    # A script that has said itself why it failed is heard.
    if not path.exists():
        path.write_text(text[:FAILURE_CHARACTERS], encoding="utf-8")
    return 1
