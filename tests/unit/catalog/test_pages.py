import subprocess
import sys
from pathlib import Path

import pytest

from algorithms.catalog import algorithm, names
from algorithms.catalog.__main__ import USAGE, pages

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("path", sorted(pages()))
def test_every_published_page_is_current(path: str) -> None:
    assert (DOCS / path).read_text() == pages()[path], "run: python -m algorithms.catalog docs docs"


def test_no_page_of_an_algorithm_that_is_gone_stays() -> None:
    assert {path.stem for path in (DOCS / "algorithms").glob("*.md")} == set(names())


@pytest.mark.parametrize("name", names())
def test_a_page_tells_every_hyperparameter_channel_metric_and_example(name: str) -> None:
    entry, body = algorithm(name), pages()[f"algorithms/{name}.md"]
    told = [one.name for one in entry.hyperparameters]
    told += [one.name for one in entry.channels] + [one.name for one in entry.metrics]
    for word in told:
        assert f"| `{word}` |" in body
    for example in entry.inference.examples if entry.inference else ():
        assert example.request.splitlines()[0] in body


def test_the_command_writes_the_pages_and_explains_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "algorithms.catalog"]
    subprocess.run([*command, "docs", str(tmp_path)], check=True)
    written = {p.relative_to(tmp_path).as_posix(): p.read_text() for p in tmp_path.rglob("*.md")}
    assert written == pages()
    wrong = subprocess.run(command, capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert USAGE in wrong.stderr
