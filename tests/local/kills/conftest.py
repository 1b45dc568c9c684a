"""A platform that these tests may kill: each worker's own, and not the shared one."""

from collections.abc import Iterator

import pytest

from tests.platform import LocalPlatform, free_port, run_smp


@pytest.fixture(scope="module")
def doomed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """A platform of this folder's own; it ends with its tests, as its server is their child."""
    folder = tmp_path_factory.mktemp("doomed")
    result = run_smp(folder / "home", ["up", "--port", str(free_port())])
    assert result.returncode == 0, result.stderr
    yield LocalPlatform(folder / "home", folder / "together")
    run_smp(folder / "home", ["down", "--yes"], 60)
