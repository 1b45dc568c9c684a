"""A platform that these tests may kill: each worker's own, and not the shared one."""

from collections.abc import Iterator

import pytest

from tests.platform import Deployed, LocalPlatform, another


@pytest.fixture(scope="module")
def doomed(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """A platform of this folder's own; it ends with its tests, as its server is their child."""
    with another(deployed, tmp_path_factory.mktemp("doomed")) as platform:
        yield platform
