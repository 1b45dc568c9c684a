import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from types_boto3_s3 import S3Client

from local.confinement import Confinement, Rules, offered
from local.sagemaker.arns import Arns
from local.sagemaker.endpoints.server import ModelServer
from local.sagemaker.logs import LogStream
from local.sagemaker.ports import Credentials
from local.sagemaker.processes import KIND, Process, Processes
from local.sagemaker.roles import CallFailed, Role
from local.sagemaker.store import Store
from tests.unit.sagemaker.surroundings import ACCOUNT, LIMITS, REGION, ROLE, TestAws, until

ARNS = Arns(REGION, ACCOUNT)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.sqlite")


def run(
    store: Store, folder: Path, code: str, on_line: Callable[[str], None] = lambda _: None
) -> Process:
    return Processes(store, Confinement(offered(), folder)).start(
        [sys.executable, "-c", code],
        environment={},
        folder=folder,
        rules=Rules(folder),
        on_line=on_line,
    )


def test_a_process_that_cannot_be_remembered_does_not_live_on(store: Store, tmp_path: Path) -> None:
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        run(store, tmp_path, "import time; time.sleep(60)")
    assert not [
        p for p in psutil.Process().children() if "import time; time.sleep(60)" in p.cmdline()
    ]


def test_who_hears_of_the_end_of_a_process_finds_it_forgotten(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget = store.delete

    def slowly(kind: str, name: str) -> bool:
        time.sleep(0.2)
        return forget(kind, name)

    monkeypatch.setattr(store, "delete", slowly)
    run(store, tmp_path, "").wait()
    assert store.all(KIND) == []


def test_a_line_that_cannot_be_taken_in_does_not_break_the_process(
    store: Store, tmp_path: Path
) -> None:
    lines: list[str] = []

    def take(line: str) -> None:
        lines.append(line)
        raise RuntimeError(line)

    code = "import time\nfor n in range(3): print(n, flush=True); time.sleep(0.05)"
    assert run(store, tmp_path, code, take).wait() == 0
    assert lines == ["0", "1", "2"]


def test_a_process_gets_the_limit_of_threads_and_nothing_that_is_not_its_own(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the platform's")
    lines: list[str] = []
    code = "import os; print(os.getenv('OMP_NUM_THREADS'), 'AWS_SECRET_ACCESS_KEY' in os.environ)"
    assert run(store, tmp_path, code, lines.append).wait() == 0
    assert lines == ["3 False"]


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="the watcher of this system reaps at once")
def test_a_stop_in_the_moment_of_the_end_takes_nothing_from_the_watcher(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = threading.Event()
    real = os.waitid

    def late(*arguments: Any) -> Any:
        stopped.wait(60)
        return real(*arguments)

    monkeypatch.setattr(os, "waitid", late)
    process = run(store, tmp_path, "raise SystemExit(3)")
    until(lambda: psutil.Process(process._popen.pid).status() == psutil.STATUS_ZOMBIE)
    process.stop(5)
    stopped.set()
    assert process.exited.wait(60)
    assert process.exit_code == 3


def test_a_model_server_that_cannot_be_started_is_told_to_who_waits() -> None:
    def launch(port: int) -> Process:
        raise subprocess.SubprocessError("no more processes")

    server = ModelServer(
        launch, LIMITS, startup=5, log_stream_arn="", on_given_up=lambda problem: None
    )
    told: list[str] = []
    waiting = threading.Thread(target=lambda: told.append(server.wait_ready()), daemon=True)
    server.start()
    waiting.start()
    waiting.join(60)
    assert told == ["it could not be started (SubprocessError: no more processes)"]


def test_a_drain_ends_when_the_server_is_stopped() -> None:
    server = ModelServer(
        lambda port: pytest.fail("not started"),
        LIMITS,
        startup=5,
        log_stream_arn="",
        on_given_up=lambda problem: None,
    )
    server._in_flight = 1
    draining = threading.Thread(target=server.drain, args=[60], daemon=True)
    draining.start()
    server.stop(0)
    draining.join(60)
    assert not draining.is_alive()


def test_whatever_ends_a_log_stream_is_told(
    aws: TestAws, bucket: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[CallFailed] = []
    stream = LogStream(
        Role(aws, ARNS, ROLE), ARNS, group="/g", stream="s", on_failure=failures.append
    )
    stream.open()

    def broken(service: str, role: str) -> Any:
        raise RuntimeError("out of threads")

    monkeypatch.setattr(aws, "client", broken)
    stream.add("a line")
    stream.close()
    (failure,) = failures
    assert "logs:PutLogEvents" in str(failure)
    assert "out of threads" in str(failure)


def test_credentials_show_no_secret_where_they_are_printed() -> None:
    shown = f"{Credentials('AKIA1', 'very-secret', 'very-token')!r}"
    assert "AKIA1" in shown
    assert "very" not in shown
