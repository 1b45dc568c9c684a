"""How `smp up` synthesizes; tests/synth/test_synthesis.py judges what comes of it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from local.platform import assembly
from local.platform.commands import Commands
from local.platform.home import cdk


class Recorded(Commands):
    """Runs nothing, and keeps what it was to run."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[list[str], dict[str, str]]] = []

    def run(
        self, step: str, command: Sequence[str], environment: Mapping[str, str], **_: object
    ) -> list[str]:
        self.asked.append(([*command], {**environment}))
        if "-o" in command:
            Path(command[-1]).mkdir()
        return []


@pytest.fixture
def synthesis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], dict[str, str]]:
    """The command and the variables that a platform synthesizes with."""
    monkeypatch.setattr(assembly, "ASSEMBLIES", tmp_path)
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    commands = Recorded()
    assembly.make(commands, lambda _: None)
    return commands.asked[-1]


def test_a_platform_synthesizes_strictly_and_looks_nothing_up(
    synthesis: tuple[list[str], dict[str, str]],
) -> None:
    command, _ = synthesis
    assert command[: len(cdk())] == cdk()
    options = command[len(cdk()) :]
    assert options[0] == "synth"
    assert {"--strict", "--no-lookups", "environment=local"} <= set(options)


def test_a_platform_synthesizes_without_the_callers_keys_and_profiles(
    synthesis: tuple[list[str], dict[str, str]],
) -> None:
    _, variables = synthesis
    assert {name: value for name, value in variables.items() if name.startswith("AWS_")} == {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
