"""The folder of the platform, and the process that its record names."""

import importlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.confinement import Confinement, offered
from local.containers.container import open_to_all
from local.platform import assembly, credentials, lifecycle, ownership, server
from local.platform.credentials import Credentials
from local.platform.errors import PlatformError
from local.platform.home import CHECKOUT, Home
from local.platform.progress import Silent
from local.platform.record import recorded
from local.process_identity import ProcessIdentity
from local.sagemaker.processes import KIND, Processes
from local.sagemaker.store import Store
from tests.platform import free_port

PLAIN = Path(__file__).parents[1] / "unit" / "cli" / "plain_server.py"
COMMAND = [sys.executable, str(PLAIN)]
NOBODY = 65_000
YEAR = 365 * 86_400


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home")
    yield made
    server.stop(made)


def open_to_others(folder: Path) -> list[Path]:
    return [path for path in [folder, *folder.rglob("*")] if path.lstat().st_mode & 0o077]


def owned_by_another(
    monkeypatch: pytest.MonkeyPatch, place: Path, user: int = NOBODY, mode: int = 0o755
) -> None:
    """Let a folder be another user's, which only root could make it."""
    look = ownership.look

    def seen(path: Path) -> os.stat_result:
        found = [*look(path)[:10]]
        if path == place:
            found[0], found[4] = stat.S_IFDIR | mode, user
        return os.stat_result(found)

    monkeypatch.setattr(ownership, "look", seen)


@pytest.mark.holds("The platform's folder is its user's alone to read, also one that others could.")
def test_a_folder_that_was_readable_by_all_is_its_owners_alone_with_all_that_is_kept(
    home: Home,
) -> None:
    home.create()
    home.credentials.write_text("{}")
    home.log.write_text("")
    for path in (home.path, home.state, home.credentials, home.log):
        path.chmod(0o755)
    before = os.umask(0o022)
    try:
        started = server.start(home, free_port(), COMMAND)
        home.write_secret(home.credentials, "{}")
    finally:
        os.umask(before)
    server.wait_ready(started, home)
    assert (home.state / "kept").exists()
    assert open_to_others(home.path) == []


@pytest.mark.holds("A folder of another user, or in one of another user, is not used.")
@pytest.mark.parametrize("within", ["", "inside", "far/inside"])
def test_a_folder_of_another_user_is_refused(
    within: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    owned_by_another(monkeypatch, theirs)
    wanted = Home(theirs / within)
    for act in (
        wanted.create,
        lambda: lifecycle.attach(wanted),
        lambda: lifecycle.up(wanted, None, Silent()),
        lambda: lifecycle.down(wanted, print),
    ):
        with pytest.raises(PlatformError, match="65000"):
            act()
    assert [*theirs.iterdir()] == []


@pytest.mark.holds("A link to a folder of another user is followed, and the folder refused.")
def test_a_link_to_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from local.platform.home import default_home

    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (tmp_path / "link").symlink_to(theirs)
    owned_by_another(monkeypatch, theirs)
    monkeypatch.setenv("SMP_HOME", str(tmp_path / "link"))
    with pytest.raises(PlatformError, match="belongs to user 65000"):
        default_home().create()


@pytest.mark.holds("A folder that everybody could replace or has written into is not used.")
def test_a_place_that_others_may_change_is_refused(tmp_path: Path) -> None:
    anybodys = tmp_path / "anybodys"
    anybodys.mkdir()
    anybodys.chmod(0o777)
    with pytest.raises(PlatformError, match="everybody could replace it"):
        Home(anybodys / "home").create()
    # As /tmp is: nobody but its owner can replace what lies there.
    anybodys.chmod(0o1777)
    Home(anybodys / "home").create()
    (anybodys / "home").chmod(0o770)
    with pytest.raises(PlatformError, match="Others may write into"):
        Home(anybodys / "home").create()


@pytest.mark.holds("Whoever owns the checkout may have the platform's folder in it.")
def test_a_folder_in_the_checkout_asks_nothing_of_what_is_above_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As where a container's root works in a folder of the user outside.
    owned_by_another(monkeypatch, CHECKOUT.parent, mode=0o777)
    owned_by_another(monkeypatch, CHECKOUT, os.geteuid())
    ownership.check(CHECKOUT / "nowhere", CHECKOUT)


@pytest.mark.holds("A link in the platform's folder leads neither keys nor logs out of it.")
def test_links_in_the_folder_are_not_written_through(home: Home, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("three years")
    home.create()
    home.credentials.symlink_to(target)
    home.log.symlink_to(target)
    home.write_secret(home.credentials, "{}")
    with pytest.raises(OSError, match=r"server\.log"):
        server.start(home, free_port(), COMMAND)
    assert target.read_text() == "three years"
    assert not home.credentials.is_symlink()


@pytest.mark.holds("A container's own user may read what is mounted, though others may not.")
def test_what_is_mounted_into_a_container_is_readable_there(tmp_path: Path) -> None:
    folder, secret = tmp_path / "input", tmp_path / "secret"
    (folder / "data").mkdir(parents=True)
    files = {folder / "data" / "a.csv": 0o600, folder / "data" / "run.sh": 0o700, secret: 0o600}
    for path, mode in files.items():
        path.touch()
        path.chmod(mode)
    (folder / "link").symlink_to(secret)
    folder.chmod(0o700)
    open_to_all(folder)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *files]}
    assert modes == {"input": 0o755, "a.csv": 0o644, "run.sh": 0o755, "secret": 0o600}


@pytest.mark.holds("A step of the clock neither hides a running platform nor ends it.")
def test_a_platform_is_found_and_left_running_when_the_clock_is_set(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = server.start(home, free_port(), COMMAND)
    home.write_secret(home.credentials, json.dumps(asdict(Credentials("a", "b"))))
    set_the_clock(monkeypatch, YEAR)
    assert server.running(home) == started
    monkeypatch.setattr(assembly, "make", lambda *given: tmp_path / "made")
    monkeypatch.setattr("local.platform.deployment.deploy", lambda *given: None)
    assert lifecycle.up(home, None, Silent()).found
    assert psutil.Process(started.pid).is_running()


@pytest.mark.holds("A step of the clock lets no process of a killed platform escape its end.")
def test_what_a_killed_platform_left_running_is_ended_after_the_clock_was_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store.db")
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    left, others = (subprocess.Popen(sleep, start_new_session=True) for _ in range(2))
    try:
        store.put(KIND, str(left.pid), asdict(ProcessIdentity.of(left.pid)))
        # Its number is of another boot, or was given out again, or is all that is known of it.
        own = ProcessIdentity.of(others.pid)
        for number, row in enumerate(
            (
                asdict(replace(own, started=own.started - 1)),
                asdict(replace(own, boot="another")),
                {"pid": own.pid, "created": psutil.Process(own.pid).create_time()},
            )
        ):
            store.put(KIND, f"{number}", row)
            set_the_clock(monkeypatch, YEAR)
            Processes(store, Confinement(offered(), tmp_path)).end_left_over()
        assert left.wait(60) == -signal.SIGKILL
        assert others.poll() is None
    finally:
        for process in (left, others):
            process.kill()
            process.wait()
        store.close()


@pytest.mark.holds("The record of another boot, or of a number given out again, names no server.")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no boot has a name elsewhere")
def test_a_record_of_another_boot_names_no_process() -> None:
    own = ProcessIdentity.of(os.getpid())
    assert own.process() == psutil.Process()
    assert replace(own, boot="another").process() is None
    assert replace(own, started=own.started + 1).process() is None


@pytest.mark.holds("A copy of a platform's folder does not reach the original's server.")
def test_a_copied_folder_neither_finds_nor_ends_the_originals_server(
    home: Home, tmp_path: Path
) -> None:
    started = server.start(home, free_port(), COMMAND)
    copy = Home(tmp_path / "copy")
    copy.create()
    copy.record.write_bytes(home.record.read_bytes())
    assert server.running(copy) is None
    found = recorded(copy)
    assert found
    assert found.port == started.port
    lifecycle.down(copy, print)
    assert server.running(home) == started


@pytest.mark.holds("A record of an older version is taken up, or refused while its server runs.")
def test_a_record_of_an_older_version_is_taken_up_once_its_server_has_ended(home: Home) -> None:
    started = server.start(home, free_port(), COMMAND)
    server.wait_ready(started, home)
    older = {"pid": started.pid, "created": 1.5, "port": started.port, "deployed": "made"}
    home.record.write_text(json.dumps(older))
    with pytest.raises(PlatformError, match="older version") as caught:
        lifecycle.up(home, None, Silent())
    assert f"kill {started.pid}" in caught.value.remedy
    os.kill(started.pid, signal.SIGKILL)
    os.waitpid(started.pid, 0)
    found = recorded(home)
    assert found
    assert (found.port, found.deployed, found.process) == (started.port, "made", None)


@pytest.mark.holds("A record that is lost or broken costs no state.")
def test_a_platform_without_its_record_keeps_its_state_when_it_cannot_start(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.create()
    (home.state / "kept").write_text("three years")

    def fail(*given: Any) -> None:
        raise PlatformError("synthesize", "It is broken.", "")

    monkeypatch.setattr(assembly, "make", fail)
    monkeypatch.setattr(credentials, "load", fail)
    with pytest.raises(PlatformError, match="broken"):
        lifecycle.up(home, free_port(), Silent())
    home.record.write_text("{")
    with pytest.raises(PlatformError, match="not as smp writes it"):
        lifecycle.up(home, free_port(), Silent())
    assert (home.state / "kept").read_text() == "three years"


def set_the_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """As psutil sees it: the time of the boot, from which it counts all others, is another."""
    if not sys.platform.startswith("linux"):
        return
    linux = importlib.import_module("psutil._pslinux")
    boot = linux.boot_time()
    monkeypatch.setattr(linux, "boot_time", lambda: boot + seconds)
