import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
# Runs the script on the tests of a folder, as .ci/run does on those of the project.
RUN = """
import signal, sys
from pathlib import Path
from scripts import second_try

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
second_try._GRACE_SECONDS = 10
folder, seconds, workers = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
outcomes = folder / "build" / "outcomes.jsonl"
command = [sys.executable, "-m", "pytest", "-p", "scripts.outcomes", f"--outcomes={outcomes}"]
command += [f"--rootdir={folder}", "-c", "/dev/null", "-p", "no:cacheprovider", "--tb=no"]
first = [*command, str(folder)]
if workers:
    first += ["-p", "xdist.plugin", "-n", str(workers), "--dist", "loadfile"]
    first += ["--max-worker-restart", "0"]
sys.exit(second_try.both(first, command, folder, outcomes, seconds))
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
# Fails until it has been run so often as the number says.
UNSTEADY = """
from pathlib import Path

def test_a():
    runs = Path(__file__).with_suffix(".runs")
    count = int(runs.read_text()) + 1 if runs.exists() else 1
    runs.write_text(str(count))
    assert count >= {runs}

def test_b():
    pass
"""

SKIPS = """
    if count > 1:
        import pytest
        pytest.skip()
    assert"""
ONCE = """
    assert Path(__file__).with_suffix(".runs").read_text() == "1"
"""
CRASHES = """
    if count > 1:
        import os
        os._exit(3)
    assert"""


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., tuple[int, list[str]]]:
    """Runs files of tests; gives the exit status and the lines that were printed."""

    def run(seconds: float = 60, workers: int = 0, **files: str) -> tuple[int, list[str]]:
        for name, text in files.items():
            (tmp_path / f"test_{name}.py").write_text(text)
        result = subprocess.run(
            [sys.executable, "-c", RUN, str(tmp_path), str(seconds), str(workers)],
            cwd=tmp_path,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in result.stderr, result.stderr
        return result.returncode, result.stdout.splitlines()

    return run


def closing(lines: list[str]) -> str:
    """The closing line without the time, which must be the only one of its kind."""
    (line,) = [one for one in lines if one.startswith("=") and " in " in one]
    assert line == lines[-1]
    return line.strip("= ").partition(" in ")[0]


def test_what_passes_is_run_once(suite: Callable[..., tuple[int, list[str]]]) -> None:
    status, lines = suite(one=UNSTEADY.format(runs=1))
    assert status == 0
    assert closing(lines) == "2 passed"
    assert not [line for line in lines if "second try" in line or "unsteady" in line]


def test_what_passes_alone_is_named_as_unsteady_at_the_end(
    suite: Callable[..., tuple[int, list[str]]],
) -> None:
    status, lines = suite(one=UNSTEADY.format(runs=2), other="def test_c(): pass")
    assert status == 0
    assert lines[-2] == "unsteady: test_one.py::test_a"
    assert closing(lines) == "3 passed"


def test_what_fails_twice_fails_the_run(suite: Callable[..., tuple[int, list[str]]]) -> None:
    status, lines = suite(one=UNSTEADY.format(runs=3), other=UNSTEADY.format(runs=2))
    assert status == 1
    assert "FAILED test_one.py::test_a" in lines
    assert "unsteady: test_other.py::test_a" in lines
    assert closing(lines) == "1 failed, 3 passed"


def test_a_fixture_that_fails_after_its_test_fails_it(
    suite: Callable[..., tuple[int, list[str]]],
) -> None:
    text = "import pytest\n@pytest.fixture\ndef ends():\n    yield\n    assert 0\n"
    status, lines = suite(one=f"{text}def test_a(ends): pass")
    assert status == 1
    assert closing(lines) == "1 failed"


def test_what_is_skipped_alone_has_not_passed(
    suite: Callable[..., tuple[int, list[str]]],
) -> None:
    status, lines = suite(one=UNSTEADY.format(runs=2).replace("    assert", SKIPS))
    assert status == 1
    assert closing(lines) == "1 failed, 1 passed"


def test_what_fails_only_alone_is_unsteady(suite: Callable[..., tuple[int, list[str]]]) -> None:
    text = UNSTEADY.format(runs=2).replace("    pass", ONCE)
    status, lines = suite(one=text)
    assert status == 0
    assert lines[-3:-1] == ["unsteady: test_one.py::test_a", "unsteady: test_one.py::test_b"]
    assert closing(lines) == "2 passed"


def test_a_worker_that_crashes_fails_the_run_at_once(
    suite: Callable[..., tuple[int, list[str]]],
) -> None:
    status, lines = suite(
        workers=2, one="import os\ndef test_a(): os._exit(3)", other="def test_c(): pass"
    )
    assert status == 1
    assert "ERROR a worker crashed in test_one.py::test_a" in lines
    assert not [line for line in lines if "second try" in line]
    assert closing(lines) == "1 failed, 1 passed, 1 error"


def test_a_file_that_cannot_be_collected_fails_the_run(
    suite: Callable[..., tuple[int, list[str]]],
) -> None:
    status, lines = suite(workers=2, one="import nothing_of_this_name", other="def test_c(): pass")
    assert status == 1
    assert [line for line in lines if line.startswith("ERROR test_one.py could not be collected")]
    assert "error" in closing(lines)


def test_a_crash_of_the_second_try_leaves_the_failure(
    suite: Callable[..., tuple[int, list[str]]],
) -> None:
    status, lines = suite(one=UNSTEADY.format(runs=9).replace("    assert", CRASHES))
    assert status == 1
    assert closing(lines) == "1 failed, 1 passed"


def test_a_run_that_hangs_fails_and_names_what_was_running(
    suite: Callable[..., tuple[int, list[str]]],
) -> None:
    status, lines = suite(
        seconds=8,
        workers=2,
        one="import threading\ndef test_a(): threading.Event().wait()",
        other="def test_c(): pass",
    )
    assert status == 1
    assert "ERROR test_one.py::test_a was running" in lines
    assert [line for line in lines if line.startswith("ERROR") and "did not end within" in line]
    assert "error" in closing(lines)


def test_many_failures_are_not_tried_again(suite: Callable[..., tuple[int, list[str]]]) -> None:
    status, lines = suite(**{f"n{number}": "def test_a(): assert 0" for number in range(11)})
    assert status == 1
    assert not [line for line in lines if "second try" in line]
    assert closing(lines) == "11 failed, 1 error"


def test_a_run_without_tests_fails(suite: Callable[..., tuple[int, list[str]]]) -> None:
    status, lines = suite()
    assert status == 1
    assert closing(lines) == "0 passed, 1 error"


def test_whoever_ends_the_run_ends_its_tests(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(
        "import os, threading\nfrom pathlib import Path\n"
        "def test_a():\n"
        "    Path(__file__).with_suffix('.part').write_text(str(os.getpid()))\n"
        "    Path(__file__).with_suffix('.part').rename(Path(__file__).with_suffix('.pid'))\n"
        "    threading.Event().wait()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path), "60", "2"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
    )
    pid = tmp_path / "test_one.pid"
    while not pid.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    assert not psutil.pid_exists(int(pid.read_text()))
