"""smp run in the process of a test, on a folder of its own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cli import guard
from local.platform import server
from local.platform.home import Home
from tests.unit.cli.calls import Said, Smp


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    made = Home(tmp_path / "home")
    monkeypatch.setenv("SMP_HOME", str(made.path))
    yield made
    if made.log.exists():
        server.stop(made)


@pytest.fixture
def smp(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Smp:
    """Run smp in this process."""
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.delenv("SMP_DEBUG", raising=False)

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["smp", *arguments])
        capsys.readouterr()
        code = guard.run()
        return Said(code, *capsys.readouterr())

    return run
