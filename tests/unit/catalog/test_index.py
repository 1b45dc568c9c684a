import subprocess
import sys
from pathlib import Path

from algorithms.catalog.__main__ import index

PAGE = Path(__file__).parents[3] / "docs" / "algorithms.md"


def test_the_published_index_is_current() -> None:
    assert PAGE.read_text() == index(), (
        "run: python -m algorithms.catalog docs > docs/algorithms.md"
    )


def test_the_command_writes_the_index_and_explains_itself() -> None:
    command = [sys.executable, "-m", "algorithms.catalog"]
    done = subprocess.run([*command, "docs"], capture_output=True, text=True, check=True)
    assert done.stdout == PAGE.read_text()
    wrong = subprocess.run(command, capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert "usage" in wrong.stderr
