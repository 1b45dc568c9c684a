"""AWS's own clients, each in its environment, pointed at the platform by what `smp env` prints."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local.platform.home import CHECKOUT
from tests.platform import LocalPlatform

SCRIPTS = CHECKOUT / "tests" / "clients"
ENVIRONMENTS = CHECKOUT / ".venv-clients"
SECONDS = 300


def run(
    platform: LocalPlatform, name: str, command: Sequence[str], folder: Path
) -> "subprocess.CompletedProcess[str]":
    """Run a command of a client's environment, with nothing of this process's own environment."""
    environment = ENVIRONMENTS / name
    assert (environment / ".ready").exists(), f"{environment} is not made: run `make clients`"
    return subprocess.run(
        # Of a path, what is installed beside the environment.
        [str(environment / "bin" / command[0]), *command[1:]],
        env={
            "PATH": f"{environment}/bin:{os.environ['PATH']}",
            "HOME": str(folder),
            **platform.credentials.variables(platform.endpoint_url),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        # Before Python 3.12.4 what threads print at once can hold foreign bytes (issue 119506).
        errors="replace",
        timeout=SECONDS,
        check=False,
    )


def answer(platform: LocalPlatform, script: str, folder: Path, *arguments: str) -> Any:
    """What a script prints as its last line, which is JSON; `script` is a path below clients/."""
    result = run(
        platform, Path(script).parts[0], ["python", str(SCRIPTS / script), *arguments], folder
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return json.loads(result.stdout.rstrip().rpartition("\n")[2])
