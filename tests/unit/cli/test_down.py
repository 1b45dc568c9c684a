"""What `smp down` and `smp stop` do with what notebooks hold."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.cli import platform as commands
from local.platform.home import Home
from local.sagemaker.notebooks import volumes
from local.sagemaker.notebooks.home import NotebookHome
from notebook_instance import samples
from tests.unit.cli.calls import Smp

INSTANCE = "sagemaker-platform-local-workbench"


@pytest.fixture
def notebook(home: Home) -> NotebookHome:
    """A notebook instance as the platform leaves it: with its samples, and nothing of a person."""
    home.create()
    made = NotebookHome(home.notebooks / INSTANCE)
    shown = made.volume / "sagemaker-platform"
    samples.place(volumes.SAMPLES, shown)
    (shown / "platform.json").write_text("{}")
    (made.volume / ".ipynb_checkpoints").mkdir()
    (made.volume / ".ipynb_checkpoints" / "x.ipynb").write_text("{}")
    return made


def lost(home: Home) -> list[str]:
    return volumes.changed(home.notebooks).get(INSTANCE, [])


def clone(notebook: NotebookHome, tmp_path: Path) -> Path:
    origin, target = tmp_path / "origin", notebook.volume / "team"
    for command in (
        ["init", "--quiet", str(origin)],
        ["-C", str(origin), "config", "user.email", "a@b.example"],
        ["-C", str(origin), "config", "user.name", "a"],
    ):
        subprocess.run(["git", *command], check=True)
    (origin / "a.py").write_text("1")
    subprocess.run(["git", "-C", str(origin), "add", "."], check=True)
    subprocess.run(["git", "-C", str(origin), "commit", "--quiet", "-m", "a"], check=True)
    subprocess.run(["git", "clone", "--quiet", str(origin), str(target)], check=True)
    notebook.keep_cloned(target.name)
    # Until the clock of the file system ticks, what comes next would have the same time.
    probe = tmp_path / "probe"
    probe.touch()
    while probe.stat().st_ctime_ns <= notebook.cloned()[target.name]:
        probe.touch()
    return target


@pytest.mark.usefixtures("notebook")
def test_what_the_platform_delivered_is_given_up_without_a_question(home: Home, smp: Smp) -> None:
    assert lost(home) == []
    assert smp("down").code == 0
    assert not home.path.exists()


def test_a_sample_that_was_copied_is_no_loss_and_one_that_was_changed_is(
    home: Home, notebook: NotebookHome
) -> None:
    shown = notebook.volume / "sagemaker-platform"
    shutil.copy(shown / "README.md", notebook.volume / "copy.md")
    assert lost(home) == []
    (shown / "README.md").write_text("mine")
    assert lost(home) == ["sagemaker-platform/README.md"]


def test_a_sample_of_an_older_version_is_no_loss(home: Home, notebook: NotebookHome) -> None:
    older = home.path / "older"
    older.mkdir()
    (older / "0_gone.ipynb").write_text("{}")
    samples.place(older, notebook.volume / "sagemaker-platform")
    assert lost(home) == []


@pytest.mark.parametrize("name", ["mine.ipynb", "deep/down/mine.txt", ".hidden", "platform.json"])
def test_a_file_of_a_persons_own_is_a_loss(home: Home, notebook: NotebookHome, name: str) -> None:
    path = notebook.volume / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("work")
    assert lost(home) == [name]


def test_a_clone_as_it_came_is_no_loss(home: Home, notebook: NotebookHome, tmp_path: Path) -> None:
    clone(notebook, tmp_path)
    assert lost(home) == []


def test_what_was_changed_in_a_clone_is_a_loss_even_with_the_old_time(
    home: Home, notebook: NotebookHome, tmp_path: Path
) -> None:
    made = clone(notebook, tmp_path)
    before = (made / "a.py").stat()
    (made / "a.py").write_text("2")
    os.utime(made / "a.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert lost(home) == ["team/a.py"]


def test_a_commit_in_a_clone_is_a_loss(home: Home, notebook: NotebookHome, tmp_path: Path) -> None:
    made = clone(notebook, tmp_path)
    subprocess.run(["git", "-C", str(made), "branch", "mine"], check=True)
    assert lost(home) == ["team/.git"]


def test_a_repository_that_a_person_cloned_is_a_loss_named_once(
    home: Home, notebook: NotebookHome, tmp_path: Path
) -> None:
    shutil.rmtree(notebook.folder / "clones", ignore_errors=True)
    made = clone(notebook, tmp_path)
    shutil.rmtree(notebook.folder / "clones")
    assert lost(home) == ["team/.git", "team/a.py"]
    assert made.is_dir()


def test_links_lead_nowhere_and_odd_files_hinder_nobody(
    home: Home, notebook: NotebookHome, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("not the notebook's")
    (notebook.volume / "link").symlink_to(tmp_path)
    (notebook.volume / "file").symlink_to(tmp_path / "thesis.txt")
    assert lost(home) == []
    os.mkfifo(notebook.volume / "pipe")
    (notebook.volume / "sagemaker-platform" / ".delivered.json").write_text("[")
    assert "pipe" in lost(home)
    shutil.rmtree(notebook.volume)
    notebook.volume.symlink_to(tmp_path)
    assert lost(home) == []


def test_a_program_is_refused_and_told_what_would_be_lost(
    home: Home, notebook: NotebookHome, smp: Smp
) -> None:
    for number in range(7):
        (notebook.volume / f"{number}.txt").write_text("work")
    said = smp("down")
    said.is_a_sentence()
    assert f"{INSTANCE}: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 2 more" in said.err
    assert "smp stop" in said.err
    assert "smp down --yes" in said.err
    assert (notebook.volume / "0.txt").exists()


@pytest.mark.parametrize("option", ["--yes", "-y"])
def test_a_program_that_says_yes_is_not_asked(
    option: str, home: Home, notebook: NotebookHome, smp: Smp
) -> None:
    (notebook.volume / "mine.txt").write_text("work")
    said = smp("down", option, "--json")
    assert said.code == 0, said
    assert json.loads(said.out) == {"processes": 0, "home": str(home.path)}
    assert not home.path.exists()


@pytest.mark.parametrize(("answer", "kept"), [("y\n", False), ("n\n", True), ("\n", True)])
def test_a_person_at_a_terminal_decides(
    answer: str,
    kept: bool,
    home: Home,
    notebook: NotebookHome,
    smp: Smp,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (notebook.volume / "mine.txt").write_text("work")
    monkeypatch.setattr(commands, "at_terminal", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: answer == "y\n")
    said = smp("down")
    assert "mine.txt" in said.err
    assert home.path.exists() == kept
    if kept:
        said.is_a_sentence()
        assert "nothing was removed" in said.err


def test_stop_keeps_what_down_would_remove(home: Home, notebook: NotebookHome, smp: Smp) -> None:
    (notebook.volume / "mine.txt").write_text("work")
    said = smp("stop", "--json")
    assert (said.code, json.loads(said.out)["processes"]) == (0, 0)
    assert (notebook.volume / "mine.txt").read_text() == "work"
    said = smp("status")
    said.is_a_sentence()
    assert f"Take up what is kept in {home.path} with: smp up" in said.err


def test_nothing_of_a_clone_is_run(home: Home, notebook: NotebookHome, tmp_path: Path) -> None:
    made, ran = clone(notebook, tmp_path), tmp_path / "ran"
    for line in (f"fsmonitor = touch {ran}", f"hooksPath = {tmp_path}"):
        with (made / ".git" / "config").open("a") as file:
            file.write(f"[core]\n\t{line}\n")
    lost(home)
    assert not ran.exists()


def test_a_question_needs_somebody_who_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert not commands.at_terminal()
