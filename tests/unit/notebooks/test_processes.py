import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from notebook_instance import processes
from notebook_instance.settings import HOME


@contextmanager
def _process(code: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    started = subprocess.Popen(
        [sys.executable, "-c", f"print(1, flush=True)\n{code}"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
    )
    assert started.stdout
    started.stdout.readline()
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def test_a_process_that_works_is_told_from_one_that_waits() -> None:
    before = {(1, 0.0): 10.0, (2, 0.0): 5.0, (3, 0.0): 1.0}
    # The first worked all the time, the second a little, the third is gone and its number reused.
    now = {(1, 0.0): 70.0, (2, 0.0): 5.3, (3, 9.0): 6.0}
    found = processes.work(before, now, 60, 4)
    assert found.busy == 2
    assert found.cpu_percent == pytest.approx(100 * 66.3 / 240)


def test_only_processes_of_the_notebook_count(tmp_path: Path) -> None:
    with (
        _process("import time; time.sleep(99)", **{HOME: str(tmp_path)}) as mine,
        _process("import time; time.sleep(99)") as other,
    ):
        found = {pid for pid, _ in processes.seconds_of(str(tmp_path), [])}
        assert found == {mine.pid}
        everything = {pid for pid, _ in processes.seconds_of(None, [mine.pid])}
        assert other.pid in everything
        assert not {mine.pid, os.getpid()} & everything


def test_what_a_process_spent_grows_while_it_works(tmp_path: Path) -> None:
    with _process("while True: pass", **{HOME: str(tmp_path)}):
        (before,) = processes.seconds_of(str(tmp_path), []).values()
        until = time.monotonic() + 30
        while time.monotonic() < until:
            (now,) = processes.seconds_of(str(tmp_path), []).values()
            if now > before:
                return
        raise AssertionError("it never spent anything")


def test_a_terminal_runs_while_its_shell_has_a_command() -> None:
    # Terminals are opened while the agent runs, which has asked before.
    psutil.Process().terminal()
    shell, terminal = pty.fork()
    if shell == 0:
        # A run in the background of a script ignores it, and hands that on.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv("/bin/sh", ["sh"])
    try:
        assert processes.running_terminals(os.getpid()) == 0
        os.write(terminal, b"sleep 99\n")
        until = time.monotonic() + 30
        while not processes.running_terminals(os.getpid()):
            assert time.monotonic() < until
        while processes.running_terminals(os.getpid()):
            # The first may come before the shell has handed its terminal over to the command.
            os.write(terminal, b"\x03")
            assert time.monotonic() < until
    finally:
        for child in psutil.Process(shell).children():
            child.kill()
        os.kill(shell, 9)
        os.close(terminal)
        os.waitpid(shell, 0)


def test_without_a_server_no_terminal_runs() -> None:
    assert processes.running_terminals(None) == 0
    assert processes.running_terminals(2**22 + 1) == 0
