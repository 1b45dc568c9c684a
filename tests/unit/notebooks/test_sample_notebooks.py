"""Sample notebooks are committed as somebody finds them who opens them for the first time."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "notebooks" / "samples"
SAMPLES = sorted(FOLDER.rglob("*.ipynb"))
LONGEST_CELL = 40


def test_there_are_samples() -> None:
    assert SAMPLES


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_valid_and_committed_without_what_a_run_leaves(path: Path) -> None:
    import nbformat  # takes seconds, of every worker if it stood above

    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.nbformat == 4
    assert notebook.metadata["kernelspec"] == {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    assert notebook.metadata["language_info"] == {"name": "python"}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert [cell.execution_count for cell in code] == [None] * len(code)
    assert [cell.metadata for cell in notebook.cells] == [{}] * len(notebook.cells)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_asks_the_platform_for_prices_and_names_none_itself(path: Path) -> None:
    import nbformat

    code = [
        cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"
    ]
    assert not re.search(r"ml\.\w+\.\w+[\"']?\s*[:=]\s*\d", "\n".join(code))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_explains_itself_in_short_cells_and_ends_by_cleaning_up(path: Path) -> None:
    import nbformat

    cells = nbformat.read(path, as_version=4).cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert max(len(source.splitlines()) for source in code) <= LONGEST_CELL
    headings = [cell.source.splitlines()[0] for cell in cells if cell.cell_type == "markdown"]
    assert headings[-1] == "## Clean up"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_cell_that_waits_shows_for_how_long(path: Path) -> None:
    import nbformat

    cells = nbformat.read(path, as_version=4).cells
    waiting = [cell.source for cell in cells if "time.sleep(" in cell.source]
    assert all("time.monotonic() - began" in source for source in waiting), path
    assert not any("get_waiter(" in cell.source for cell in cells)
