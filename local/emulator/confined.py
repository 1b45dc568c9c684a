"""What ministack starts for its callers is kept to its own folder: functions, and other code.

Workers of functions, one-off functions, scripts of Glue and the JavaScript of resolvers are started
through the `subprocess` of their modules; here that starts them confined, in an environment of
their own. Python functions come from a process that has boto3 already, where that can be.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from local.confinement import Confinement, Rules
from local.emulator import forking

# The variables of this process that a function may see; its own are added to them.
_PASSED = re.compile(
    r"PATH|LANG|LC_.*|TZ|AWS_.*|_LAMBDA.*|LAMBDA_TASK_ROOT|_X_AMZN_.*|SSL_CERT_.*|NODE_PATH"
)
# This process's own, which are nobody else's: what is started gets a role's, or none.
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
# As AWS Lambda has it; of the server, what it writes is its user's alone.
_UMASK = 0o022


class Starter:
    """Starts what ministack starts, in the place of `subprocess`.

    Args:
        confinement: what keeps it to its rules.
        parent: what Python functions are forked from; None where they are started by themselves.
        packages: of which functions may ship none of their own, to be forked.
    """

    def __init__(
        self, confinement: Confinement, parent: forking.Parent | None, packages: tuple[str, ...]
    ) -> None:
        self._confinement = confinement
        self._parent = parent
        self._packages = packages

    def module(self) -> Any:
        """The subprocess module, but for what starts processes."""
        names = [name for name in dir(subprocess) if name[0] != "_"]
        shim = SimpleNamespace(**{name: getattr(subprocess, name) for name in names})
        shim.Popen, shim.run = self.popen, self.run
        return shim

    def popen(self, command: Sequence[str], *args: Any, **given: Any) -> Any:
        """Start a process; a worker of a Python function is forked where it can be.

        -I -S leave the standard library alone on the path, so that a function that does not ship a
        dependency fails here as it does on AWS.
        """
        command = [*command]
        temporary = _temporary(given.get("cwd"))
        environment = _environment(given.pop("env", None)) | _places(temporary)
        rules = _rules(command, given.get("cwd"), temporary)
        if command[0] == sys.executable and len(command) == 2:
            folder, script = given["cwd"], command[1]
            if self._parent is not None and forking.shares(
                Path(folder), environment, self._packages
            ):
                request = self._confinement.request(rules) if self._confinement.offer else {}
                with contextlib.suppress(OSError, EOFError):
                    return self._parent.fork(script, folder, environment, request)
            command = [command[0], "-I", "-S", "-u", script]
        if given.get("text"):
            # Whatever a function prints must not end its reader.
            given["errors"] = "replace"
        return self._started(subprocess.Popen, [command, *args], given, environment, rules)

    def run(self, command: Sequence[str], *args: Any, **given: Any) -> Any:
        """Run a process to its end."""
        temporary = _temporary(given.get("cwd"))
        environment = _environment(given.pop("env", None)) | _places(temporary)
        rules = _rules(command, given.get("cwd"), temporary)
        return self._started(subprocess.run, [command, *args], given, environment, rules)

    def _started(
        self,
        start: Any,
        arguments: Sequence[Any],
        given: Mapping[str, Any],
        environment: Mapping[str, str],
        rules: Rules,
    ) -> Any:
        with self._confinement.launch(arguments[0], environment, rules) as launch:
            return start(
                launch.command,
                *arguments[1:],
                **given,
                env=launch.environment,
                pass_fds=launch.descriptors,
                umask=_UMASK,
            )


def install(starter: Starter) -> None:
    """Let all of ministack that runs a caller's code start it confined."""
    from ministack.core import lambda_runtime, node_pool
    from ministack.services import glue, lambda_svc

    modules: tuple[Any, ...] = (lambda_runtime, lambda_svc, glue, node_pool)
    for module in modules:
        module.subprocess = starter.module()


def _environment(given: Mapping[str, str] | None) -> dict[str, str]:
    """What a caller's code finds: what ministack adds, and of this process what it may see."""
    given = os.environ if given is None else given
    return {
        name: value
        for name, value in given.items()
        if os.environ.get(name) != value or (_PASSED.fullmatch(name) and name not in _KEYS)
    }


def _places(temporary: Path) -> dict[str, str]:
    return {"HOME": str(temporary), "TMPDIR": str(temporary)}


def _temporary(folder: str | None) -> Path:
    """A TMPDIR: beside the code that a worker unpacked for itself, it goes when that goes."""
    if folder is not None and Path(folder).name == "code":
        made = Path(folder).with_name("tmp")
        made.mkdir(exist_ok=True)
        return made
    return Path(tempfile.mkdtemp(prefix="started-"))


def _rules(command: Sequence[str], folder: str | None, temporary: Path) -> Rules:
    reads = [Path(word) for word in command if word.startswith("/")]
    if folder is not None:
        own = Path(folder)
        # Layers lie beside the code.
        reads.append(own.parent if own.name == "code" else own)
    return Rules(temporary, reads=reads)
