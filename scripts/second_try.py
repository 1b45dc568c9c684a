"""Run every test, and once more, alone, what failed: that tells broken tests from unsteady ones.

`python scripts/second_try.py` runs `make test`. Each file with a failure is then run again in a
process, and on a local platform, of its own. A test that fails both times fails the run. One that
passes once is unsteady: the run passes and names it at its end, for whoever sees it to mend. A
crash, an error of the collection or a run that does not end fails the run without another try.
"""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

CHECKOUT = Path(__file__).resolve().parents[1]
OUTCOMES = CHECKOUT / "build" / "outcomes.jsonl"
SECONDS = 60 * 60
# A busy machine does not fail more files than this: the change does.
FILES = 10
# pytest's closing line, such as "==== 1 failed, 3 passed in 2.31s ====".
_CLOSING = re.compile(r"=* ?(no tests ran|(\d+ \w+(, )?)+) in [\d.]+s")
# How long pytest may take to end what its tests have begun.
_GRACE_SECONDS = 120
# How long what a run has printed may take to be read once it has ended.
_READ_SECONDS = 5


@dataclass
class Run:
    """What became of the tests of one run of pytest."""

    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    """Why the run is no answer about its tests; empty when it is."""

    @property
    def counts(self) -> str:
        """How many tests there were of each kind, in the words of pytest."""
        kinds = {"failed": self.failed, "passed": self.passed, "skipped": self.skipped}
        return ", ".join(f"{len(ids)} {kind}" for kind, ids in kinds.items() if ids)


def read(lines: Iterable[str]) -> Run:
    """Judge a run by what `scripts/outcomes.py` wrote of it."""
    run, begun = Run(), dict[str, None]()
    phases: dict[str, set[str]] = {}
    status: int | None = None
    for line in lines:
        event = json.loads(line)
        match event["event"]:
            case "begun":
                begun[event["id"]] = None
            case "phase":
                phases.setdefault(event["id"], set()).add(event["outcome"])
            case "ended":
                begun.pop(event["id"], None)
            case "not collected":
                run.broken.append(f"{event['id']} could not be collected")
            case "crashed":
                begun.pop(event["id"], None)
                run.broken.append(f"a worker crashed in {event['id']}")
            case "finished":
                status = int(event["status"])
    for test, outcomes in phases.items():
        kind = run.passed
        if "failed" in outcomes:
            kind = run.failed
        elif "skipped" in outcomes:
            kind = run.skipped
        kind.add(test)
    if status is None:
        run.broken.append("pytest did not come to its end")
    elif status not in (0, 1) or (status == 1 and not run.failed):
        run.broken.append(f"pytest ended with status {status}")
    if status != 0 and begun and run.broken:
        run.broken += [f"{test} was running" for test in begun]
    run.broken = list(dict.fromkeys(run.broken))
    return run


def execute(command: Sequence[str], outcomes: Path, folder: Path, seconds: float) -> Run:
    """Run a command that runs pytest, show what it prints, and judge it.

    The closing line of pytest is left out: only the last one, of all, may be read as the result.
    """
    outcomes.unlink(missing_ok=True)
    # pytest is ended by SIGINT, which whatever nohup or a shell starts in the background ignores.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # A group of its own, so that all of it can be ended.
        start_new_session=True,
    )
    # What a test leaves running may hold the pipe open for ever: the reader is not waited for.
    reader = threading.Thread(target=_show, args=(process.stdout,), daemon=True)
    reader.start()
    late = False
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        late, status = True, -1
    finally:
        _end(process)
        reader.join(_READ_SECONDS)
    written = outcomes.exists()
    run = read(outcomes.read_text(encoding="utf-8").splitlines()) if written else Run()
    if late:
        run.broken.insert(0, f"{shlex.join(command)} did not end within {seconds:g} s")
    elif status and not run.failed and not run.broken:
        run.broken.append(f"{shlex.join(command)} ended with status {status}")
    elif not written:
        run.broken.append(f"{shlex.join(command)} ran no test")
    return run


def _show(lines: IO[str] | None) -> None:
    for line in lines or ():
        if not _CLOSING.match(line):
            sys.stdout.write(line)
            sys.stdout.flush()


def _end(process: "subprocess.Popen[str]") -> None:
    """End what still runs of a command; pytest ends what its tests have begun, when it is asked."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)


def both(
    first: Sequence[str],
    again: Sequence[str],
    folder: Path = CHECKOUT,
    outcomes: Path = OUTCOMES,
    seconds: float = SECONDS,
) -> int:
    """Run all tests, what failed of them again, and report: 0 when no test failed both times.

    Args:
        first: The command that runs every test.
        again: The command that runs one file, whose path is added to it.
        folder: Where both run, and what the paths of files are relative to.
        outcomes: The file that both let `scripts/outcomes.py` write.
        seconds: How long each may take.
    """
    began = time.monotonic()
    run = execute(first, outcomes, folder, seconds)
    unsteady = set[str]()
    files = sorted({test.partition("::")[0] for test in run.failed})
    if files and not run.broken and len(files) > FILES:
        run.broken.append(f"{len(files)} files have failures, and at most {FILES} are tried again")
    if not run.broken:
        for file in files:
            print(f"second try: {file}", flush=True)
            second = execute([*again, file], outcomes, folder, seconds)
            for reason in second.broken:
                print(f"second try: {reason}")
            of_file = {test for test in run.failed if test.partition("::")[0] == file}
            if not second.broken:
                unsteady |= of_file & second.passed
            unsteady |= second.failed - of_file
    run.failed -= unsteady
    run.passed |= unsteady
    for test in sorted(run.failed):
        print(f"FAILED {test}")
    for reason in run.broken:
        print(f"ERROR {reason}")
    for test in sorted(unsteady):
        print(f"unsteady: {test}")
    took = time.monotonic() - began
    errors = f", {len(run.broken)} error{'s' * (len(run.broken) > 1)}" if run.broken else ""
    print(f"===== {run.counts or '0 passed'}{errors} in {took:.2f}s =====", flush=True)
    return 1 if run.failed or run.broken else 0


def main() -> int:
    """Run `make test`, and pytest on what fails."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = ["-p", "scripts.outcomes", f"--outcomes={OUTCOMES}"]
    return both(
        ["make", "test", f"ARGS={' '.join(options)}", *sys.argv[1:]],
        [str(CHECKOUT / ".venv" / "bin" / "python"), "-m", "pytest", *options],
    )


if __name__ == "__main__":
    sys.exit(main())
