"""A plugin of pytest that writes what becomes of each test into a file, while the tests run.

`pytest -p scripts.outcomes --outcomes FILE` writes one JSON document a line, at once: what a run
that is cut off has left says how far it came. `scripts/second_try.py` reads it.
"""

import json
from pathlib import Path
from typing import IO

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the name of the file."""
    parser.addoption("--outcomes", type=Path, required=True, metavar="FILE", help=__doc__)


def pytest_configure(config: pytest.Config) -> None:
    """Write in the process that hears of all tests, and in no worker of pytest-xdist."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Outcomes(config.getoption("outcomes")), "outcomes")


class _Outcomes:
    """Writes down what pytest, and pytest-xdist where it is used, report."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = path.open("w", encoding="utf-8")

    def _write(self, **event: str | int) -> None:
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write(event="begun", id=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # An xfail is a skip to its report, and so it is counted.
        self._write(event="phase", id=report.nodeid, outcome=report.outcome)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._write(event="ended", id=nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write(event="not collected", id=report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        self._write(event="crashed", id=crashitem)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._write(event="finished", status=int(exitstatus))
        self._file.close()
