import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local.platform import server
from local.platform.errors import PlatformError
from local.platform.home import Home
from local.platform.record import Server
from local.process_identity import ProcessIdentity

PLAIN = Path(__file__).with_name("plain_server.py")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home")
    yield made
    server.stop(made)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def command(kind: str) -> list[str]:
    return [sys.executable, str(PLAIN), "--kind", kind]


def belonging_to(home: Home) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            near = [*process.cmdline(), process.cwd(), *process.environ().values()]
        except psutil.Error:
            continue
        if any(str(home.path) in text for text in near):
            found.append(process)
    return found


def test_a_started_server_is_found_again(home: Home, port: int) -> None:
    started = server.start(home, port, command("ready"))
    server.wait_ready(started, home)
    assert server.running(home) == started
    assert home.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kind", ["parent", "deaf"])
def test_stop_ends_children_that_left_the_group_too(
    home: Home, port: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STOP_SECONDS", 1.0)
    started = server.start(home, port, command(kind))
    server.wait_ready(started, home)
    assert len(belonging_to(home)) == 4
    assert server.stop(home) == 4
    assert belonging_to(home) == []


def test_stop_finds_what_outlived_a_killed_server(home: Home, port: int) -> None:
    started = server.start(home, port, command("parent"))
    server.wait_ready(started, home)
    os.kill(started.pid, signal.SIGKILL)
    wait_for(lambda: server.running(home) is None)
    assert len(belonging_to(home)) == 3
    server.stop(home)
    assert belonging_to(home) == []


def test_a_server_that_dies_at_once_is_told_with_its_last_words(home: Home, port: int) -> None:
    started = server.start(home, port, command("dies"))
    with pytest.raises(PlatformError, match="the plain server dies of a reason"):
        server.wait_ready(started, home)


def test_a_port_that_is_taken_is_refused_with_its_holder_and_another_port(
    home: Home,
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        with pytest.raises(PlatformError) as caught:
            server.start(home, taken, command("ready"))
    assert f"process {os.getpid()}" in caught.value.why
    assert "smp up --port" in caught.value.remedy
    assert not home.path.exists()


def test_a_record_of_a_process_whose_number_was_given_out_again_is_no_server(home: Home) -> None:
    home.create()
    identity = ProcessIdentity.of(os.getpid())
    Server(identity.pid, identity.started - 1, 4566, boot=identity.boot).save(home)
    assert server.running(home) is None


def test_a_folder_of_the_platform_does_not_make_a_persons_shell_a_member(home: Home) -> None:
    home.create()
    leader, follower = os.openpty()
    shell = os.fork()
    if shell == 0:  # a shell on a terminal of its own, standing in the state folder
        os.setsid()
        os.open(os.ttyname(follower), os.O_RDWR)
        os.chdir(home.state)
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)"])
    look = (
        "import sys, pathlib; from local.platform import home, server;"
        "print([p.pid for p in server.members(home.Home(pathlib.Path(sys.argv[1])))])"
    )
    try:
        wait_for(lambda: Path(psutil.Process(shell).cwd()) == home.state)
        # Asked in a new process, as smp does: psutil lists the terminals of a machine but once.
        seen = subprocess.check_output([sys.executable, "-c", look, str(home.path)], text=True)
        assert seen.strip() == "[]"
    finally:
        os.kill(shell, signal.SIGKILL)
        os.waitpid(shell, 0)
        os.close(leader)
        os.close(follower)


def test_a_folder_with_somebodys_files_is_neither_used_nor_removed(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("three years")
    for act in (Home(tmp_path).create, Home(tmp_path).remove):
        with pytest.raises(PlatformError, match="not a platform's"):
            act()
    assert [*tmp_path.iterdir()] == [precious]
