"""Two smp on one folder."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.platform.home import Home
from tests.platform import SMP


def silent(text: str) -> None:
    raise AssertionError(f"nobody is to wait here: {text}")


class Notes(list[str]):
    """What a waiting `smp` says, and when it has said something."""

    def __init__(self) -> None:
        self.came = threading.Event()

    def take(self, text: str) -> None:
        self.append(text)
        self.came.set()


@contextmanager
def waiting(home: Home, purpose: str, notes: Notes) -> Iterator[list[bool]]:
    """Somebody else who wants the platform meanwhile: what the folder held once it was theirs."""
    found: list[bool] = []

    def wait() -> None:
        with home.locked(purpose, notes.take):
            found.append(home.marker.exists())

    thread = threading.Thread(target=wait)
    thread.start()
    assert notes.came.wait(60)
    assert found == []
    yield found
    thread.join()


def test_a_second_smp_says_at_once_for_which_it_waits_and_locks_the_folder_anew(
    tmp_path: Path,
) -> None:
    home, notes = Home(tmp_path / "home"), Notes()
    entered, leave = threading.Event(), threading.Event()

    def down() -> None:
        with home.locked("smp down", silent):
            home.create()
            entered.set()
            assert leave.wait(60)
            home.remove()

    holder = threading.Thread(target=down)
    holder.start()
    assert entered.wait(60)
    with waiting(home, "smp up", notes) as found:
        assert notes == [f"Waiting for another smp (process {os.getpid()}: smp down) to finish ..."]
        leave.set()
        holder.join()
    assert found == [False]


def test_two_platforms_in_one_folder_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with (
        Home(tmp_path / "one").locked("smp up", silent),
        Home(tmp_path / "other").locked("smp up", silent),
    ):
        pass
    assert [*tmp_path.iterdir()] == []


def test_a_lock_that_nothing_came_of_leaves_a_folder_of_before_as_it_was(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.locked("smp up", silent):
        home.create()
        home.remove(keep_log=True)
        assert home.marker.exists()
    assert home.path.exists()


@pytest.mark.holds("A second smp on the same folder says at once which one it waits for.")
def test_smp_down_says_that_smp_up_is_at_work(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home.locked("smp up", silent):
        home.create()
        down = subprocess.Popen(
            [SMP, "down"],
            env={**os.environ, "SMP_HOME": str(home.path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert down.stderr
        said = down.stderr.readline()
    assert f"process {os.getpid()}: smp up" in said
    assert "Ended 0 processes" in down.communicate()[1]
    assert not home.path.exists()
