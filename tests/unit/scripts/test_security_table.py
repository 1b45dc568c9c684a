import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "security_table.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("security_table", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_names_the_tests_of_today(script: ModuleType) -> None:
    page = script.PAGE.read_text(encoding="utf-8")
    assert page == script.page(), "Run: .venv/bin/python scripts/security_table.py"


def test_one_claim_may_have_several_tests(script: ModuleType, tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_doors.py").write_text(
        '"""The doors."""\n'
        "import pytest\n"
        '@pytest.mark.holds("Closed.")\ndef test_one(): ...\n'
        '@pytest.mark.holds("Closed.")\n@pytest.mark.slow\ndef test_two(): ...\n'
        "def test_unmarked(): ...\n"
    )
    table = script.table(tests)
    assert table.startswith("### The doors\n\n`tests/test_doors.py`")
    assert table.endswith("| Closed. | `test_one`, `test_two` |")
