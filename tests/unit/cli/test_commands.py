"""What all commands have in common."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from local.cli import output
from local.cli.main import app
from tests.platform import SMP
from tests.unit.cli.calls import Smp

PAGE = Path(__file__).parents[3] / "docs" / "smp.md"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that shows or does something, by its words."""

    def look(command: Any, words: list[str]) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", {})
        for name, one in inner.items():
            yield from look(one, [*words, name])
        if not inner or (words and command.invoke_without_command):
            yield " ".join(words), command

    yield from look(typer.main.get_command(app), [])


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_every_command_has_an_answer_for_programs_that_the_page_describes(words: str) -> None:
    command = dict(commands())[words]
    assert "--json" in {option for one in command.params for option in one.opts}
    assert f"| `{words}" in PAGE.read_text()


def test_the_version_is_the_packages(smp: Smp) -> None:
    said = smp("--version")
    assert (said.code, said.out) == (0, "smp 0.1.0\n")


@pytest.mark.parametrize(
    ("words", "count", "wanted"),
    [("smp st", "1", {"status", "stop"}), ("smp quota ", "2", {"set", "requests"})],
    ids=["commands", "inner commands"],
)
def test_a_shell_completes_commands(words: str, count: str, wanted: set[str]) -> None:
    asked = {"_SMP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": count}
    said = subprocess.check_output([SMP], env={**os.environ, **asked}, text=True)
    assert wanted <= set(said.split())


@pytest.mark.parametrize(
    "words",
    [
        ["--no-such-option"],
        ["status", "--no-such-option"],
        ["no-such-command"],
        ["train"],
        ["invoke", "digits"],
        ["up", "--port", "0"],
        ["up", "--port", "many"],
        ["quota", "set", "x", "-1"],
        ["env", "--format", "tcsh"],
        ["logs", "a", "b"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_told_with_the_way_to_the_help(words: list[str], smp: Smp) -> None:
    said = smp(*words)
    assert said.code == 2
    assert "Usage:" in said.err
    assert "Traceback" not in said.err


LONG = "sagemaker-platform-local-" + "x" * 120


def test_a_row_that_is_piped_is_whole_and_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["name", "reason"], [[LONG, "it\nfailed  twice"], ["b", ""]], "Things")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Things"
    assert lines[1].split() == ["name", "reason"]
    assert lines[2] == f"{LONG}  it failed twice"
    assert lines[3].split() == ["b", "-"]
    assert len(lines) == 4


def test_what_looks_like_markup_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["name"], [["[bold]x[/]"]])
    assert "[bold]x[/]" in capsys.readouterr().out


def test_a_document_for_programs_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json([{"name": LONG, "price": None}])
    assert json.loads(capsys.readouterr().out) == [{"name": LONG, "price": None}]
