"""A benchmark that ends, however it ends, leaves no server behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
# As peers do: a worker in a session of its own, one whose parent is gone, and none heeds SIGTERM.
PEER = """
import os, signal, subprocess, sys, threading
from pathlib import Path

signal.signal(signal.SIGTERM, signal.SIG_IGN)
folder, kind = Path(sys.argv[1]), sys.argv[2]
if kind == "server":
    command = [sys.executable, __file__, str(folder)]
    subprocess.Popen([*command, "worker"], start_new_session=True)
    subprocess.run([sys.executable, "-c", STARTER, *command, "orphan"], check=True)
part = folder / f"{kind}.part"
part.write_text(str(os.getpid()))
part.rename(folder / f"{kind}.pid")
threading.Event().wait()
"""
STARTER = "import subprocess, sys; subprocess.Popen([sys.executable, *sys.argv[2:]])"
BENCHMARK = """
import os, signal, sys, time
from pathlib import Path
from benchmarks import supervising
from benchmarks.measuring import end_by_signals

# nohup and shells that start in the background leave these ignored to all that they start.
for ignored in (signal.SIGHUP, signal.SIGINT):
    signal.signal(ignored, signal.SIG_DFL)
supervising._GRACE_SECONDS = 0.1
end_by_signals()
with supervising.supervised(sys.argv[2:], Path(sys.argv[1]), os.environ) as process:
    if "fails" in os.environ:
        while not (Path(sys.argv[1]) / "server.pid").exists():
            time.sleep(0.05)
        raise RuntimeError("the measurement failed")
    process.wait()
"""


def processes(folder: Path) -> list[psutil.Process]:
    """The three processes of the peer, once it has come up."""
    paths = [folder / f"{kind}.pid" for kind in ("server", "worker", "orphan")]
    while not all(path.exists() for path in paths):
        time.sleep(0.05)
    return [psutil.Process(int(path.read_text())) for path in paths]


def benchmark(folder: Path, **environment: str) -> "subprocess.Popen[bytes]":
    peer = folder / "peer.py"
    peer.write_text(f"STARTER = {STARTER!r}\n{PEER}")
    command = [sys.executable, str(peer), str(folder), "server"]
    return subprocess.Popen(
        [sys.executable, "-c", BENCHMARK, str(folder), *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_that_ends_the_benchmark_ends_its_servers(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = benchmark(tmp_path)
    peers = processes(tmp_path)
    process.send_signal(number)
    process.wait()
    assert psutil.wait_procs(peers, timeout=60)[1] == []


def test_a_measurement_that_fails_ends_its_servers(tmp_path: Path) -> None:
    process = benchmark(tmp_path, fails="yes")
    process.wait()
    kinds = ("server", "worker", "orphan")
    pids = [int(path.read_text()) for kind in kinds if (path := tmp_path / f"{kind}.pid").exists()]
    assert pids
    # The context waits until all have ended; who reaps an orphan may take its time.
    assert not [pid for pid in pids if running(pid)]


def running(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_server_that_ends_by_itself_is_noticed(tmp_path: Path) -> None:
    process = benchmark(tmp_path)
    server, *others = processes(tmp_path)
    server.kill()
    assert process.wait() == 0
    assert psutil.wait_procs(others, timeout=60)[1] == []
