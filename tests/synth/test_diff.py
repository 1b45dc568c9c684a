import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PARAMETER: dict[str, Any] = {
    "Type": "AWS::SSM::Parameter",
    "Properties": {"Type": "String", "Name": "/name", "Value": "before"},
}


def _assembly(folder: Path, **stacks: dict[str, Any]) -> Path:
    folder.mkdir()
    artifacts = {}
    for name, resources in stacks.items():
        (folder / f"{name}.template.json").write_text(json.dumps({"Resources": resources}))
        artifacts[name] = {
            "type": "aws:cloudformation:stack",
            "environment": "aws://111122223333/eu-west-1",
            "properties": {"templateFile": f"{name}.template.json"},
            "displayName": name,
        }
    (folder / "manifest.json").write_text(
        json.dumps({"version": "55.0.0", "artifacts": artifacts}), encoding="utf-8"
    )
    return folder


def _diff(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "scripts" / "diff.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_reviewer_sees_what_is_added_removed_and_changed(tmp_path: Path) -> None:
    changed = json.loads(json.dumps(PARAMETER).replace("before", "after"))
    base = _assembly(tmp_path / "base", kept=_one(PARAMETER), gone=_one(PARAMETER))
    head = _assembly(tmp_path / "head", kept=_one(changed), new=_one(PARAMETER))
    result = _diff(base, head, "--title", "prod")
    assert result.stdout.startswith("## prod\n")
    assert "### gone: removed" in result.stdout
    assert "### new: added" in result.stdout
    section = result.stdout.partition("### kept: changed")[2]
    assert "[-] before" in section
    assert "[+] after" in section
    assert sorted(path.name for path in head.iterdir()) == [
        "kept.template.json",
        "manifest.json",
        "new.template.json",
    ]


def test_an_environment_that_is_new_is_all_added(tmp_path: Path) -> None:
    head = _assembly(tmp_path / "head", new=_one(PARAMETER))
    assert "### new: added" in _diff(tmp_path / "nothing", head).stdout


def test_no_change_is_said_in_a_word(tmp_path: Path) -> None:
    head = _assembly(tmp_path / "head", kept=_one(PARAMETER))
    assert _diff(head, head).stdout == "No stack changes.\n\n"


def test_what_is_no_assembly_is_refused(tmp_path: Path) -> None:
    result = _diff(tmp_path, tmp_path)
    assert result.returncode == 1
    assert "is no cloud assembly" in result.stderr


def _one(resource: dict[str, Any]) -> dict[str, Any]:
    return {"Parameter": resource}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDK_DISABLE_CLI_TELEMETRY", "true")
    monkeypatch.setenv("PATH", f"{ROOT / '.venv' / 'bin'}:/usr/bin:/bin")
