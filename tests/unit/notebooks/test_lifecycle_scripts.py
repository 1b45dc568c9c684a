import ast
import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sagemaker_constructs.notebook_files import (
    MAX_CHARACTERS,
    SETTINGS,
    encoded_length,
    lifecycle_script,
)

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "notebooks" / "lifecycle"
HOOKS = ["on_create.sh", "on_start.sh"]
# As long as real names make it, and longer.
LONG = json.dumps({"files_bucket": "b" * 63, "files_key": "k" * 68, "platform": "x" * 3000})

# What a run leaves is no part of it, and differs from one test process to the next.
DELIVERED = sorted(
    path for path in (ROOT / "notebooks").rglob("*.*") if "__pycache__" not in path.parts
)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_script_is_within_sagemakers_limit_with_settings_in_it(hook: str) -> None:
    script = lifecycle_script(FOLDER, hook).replace(SETTINGS, LONG)
    assert len(base64.b64encode(script.encode())) == encoded_length(script)
    assert encoded_length(script) <= MAX_CHARACTERS


@pytest.mark.parametrize("path", DELIVERED, ids=lambda path: path.name)
def test_nothing_that_an_instance_gets_has_lines_of_windows(path: Path) -> None:
    assert path.suffix == ".pyc" or b"\r" not in path.read_bytes()


@pytest.mark.parametrize("hook", HOOKS)
def test_shellcheck_finds_nothing(hook: str) -> None:
    script = lifecycle_script(FOLDER, hook).replace(SETTINGS, LONG)
    judge = Path(sys.executable).with_name("shellcheck")
    found = subprocess.run(
        [str(judge), "--shell=bash", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
    assert found.returncode == 0


@pytest.mark.parametrize("hook", HOOKS)
def test_what_may_take_long_is_begun_in_the_background_with_a_log(hook: str) -> None:
    script = lifecycle_script(FOLDER, hook)
    waited = [line.split()[1] for line in script.splitlines() if line.startswith("run_platform ")]
    assert set(waited) <= {"create", "start"}
    assert 'nohup "$PYTHON"' in script
    assert '>>"$DELIVERED/log/$1.log" 2>&1 </dev/null &' in script


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks" / "notebook_instance").glob("*.py")))
def test_the_program_is_read_by_the_oldest_python_of_an_instance(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_without_a_python_that_has_boto3_a_script_says_so(tmp_path: Path) -> None:
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    script = lifecycle_script(FOLDER, "on_start.sh").replace(SETTINGS, LONG)
    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "SMP_NOTEBOOK_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Found no Python with boto3 and psutil" in done.stderr


def test_a_command_that_is_none_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "notebook_instance", "stop"],
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "create|start|packages|agent" in done.stderr


def test_what_a_start_waits_for_loads_no_boto3() -> None:
    code = "import sys, notebook_instance.__main__; print('boto3' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
