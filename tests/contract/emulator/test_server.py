import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from .conftest import Server, allow, free_port, started, zipped

ROOT = Path(__file__).parents[3]
SLEEPS = "import time\ndef handler(event, context): time.sleep(event['for'])\n"


def test_a_port_that_is_taken_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = subprocess.run(
            [sys.executable, "-m", "local.server", "--port", str(port), "--state", str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert found.returncode == 3
    assert found.stderr == (
        f"Port {port} of 127.0.0.1 cannot be served: in use. Stop what uses it or choose another "
        "with --port.\n"
    )
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_and_the_functions_that_run(
    tmp_path: Path, number: signal.Signals
) -> None:
    server = started(tmp_path, free_port())
    role = server.role("f", "lambda.amazonaws.com", allow("logs:*"))
    functions = server.client("lambda")
    functions.create_function(
        FunctionName="f",
        Runtime="python3.13",
        Handler="index.handler",
        Role=role,
        Timeout=60,
        Code={"ZipFile": zipped(SLEEPS)},
    )
    functions.invoke(FunctionName="f", Payload=b'{"for": 0}')
    functions.invoke(FunctionName="f", Payload=b'{"for": 50}', InvocationType="Event")
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert children
    os.kill(server.process.pid, number)
    assert server.process.wait(60) == 0
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


def test_it_listens_on_loopback_alone(server: Server) -> None:
    listening = {
        connection.laddr.ip
        for process in (psutil.Process(server.process.pid),)
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_nothing_is_written_outside_of_the_state_folder(server: Server) -> None:
    files = {Path(f.path) for f in psutil.Process(server.process.pid).open_files()}
    assert {f for f in files if server.state not in f.parents} == set()


def test_it_is_small_at_rest(tmp_path: Path) -> None:
    server = started(tmp_path, free_port())
    try:
        server.client("s3").list_buckets()
        assert psutil.Process(server.process.pid).memory_info().rss < 120 * 2**20
    finally:
        os.kill(server.process.pid, signal.SIGTERM)
        server.process.wait(60)


def test_faults_reach_the_service_and_unknown_paths_are_named(server: Server) -> None:
    server.post("/_smp/faults", {"drop_events": 1})
    server.post("/_smp/interrupt?job=one", {})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        server.post("/_smp/interrupt", {})
    with pytest.raises(urllib.error.HTTPError, match="404"):
        server.get("/_smp/nothing")
