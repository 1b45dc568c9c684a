import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "build_functions.py"


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_functions", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "OUTPUT", tmp_path / "functions")
    return module


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_local_folder_is_made_once_and_always_the_same(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build.build("local") and not build.build("local")
    folder = build.OUTPUT / "local"
    first = content(folder)
    monkeypatch.setattr(build, "fingerprint", lambda target: "another")
    assert build.build("local") and content(folder) == first
    assert {"jobs/handlers/train.py", "algorithms/catalog/xgboost.yaml"} <= first.keys()
    assert [path.name for path in build.OUTPUT.iterdir() if path.name.startswith(".")] == []


def test_a_changed_source_is_noticed(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = build.fingerprint("aws")
    extra = SCRIPT.parent / "build_functions.py"
    monkeypatch.setattr(build, "sources", lambda: [extra])
    assert build.fingerprint("aws") != before


def test_the_functions_import_from_the_folder_and_the_runtime_alone(build: ModuleType) -> None:
    build.build("local")
    program = (
        f"import sys; sys.path.insert(0, {str(build.OUTPUT / 'local')!r})\n"
        "import pydantic, yaml, jobs.request, jobs.settings, algorithms.catalog, quotas.table\n"
        "print(algorithms.catalog.algorithm('xgboost').name, len(quotas.table.codes()))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "xgboost 1618"


def test_nothing_that_python_wrote_gets_into_what_aws_runs(build: ModuleType) -> None:
    assert not any("__pycache__" in path.parts for path in build.sources())
