"""A platform that these tests may kill: each worker's own, and not the shared one."""

from collections.abc import Iterator

import pytest

from tests.local.support import until
from tests.platform import Deployed, LocalPlatform, another


@pytest.fixture(scope="module")
def doomed(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """A platform of this folder's own; it ends with its tests, as its server is their child."""
    with another(deployed, tmp_path_factory.mktemp("doomed")) as platform:
        stop_the_workbench(platform)
        yield platform


def stop_the_workbench(platform: LocalPlatform) -> None:
    """Else it would start anew after each kill; the kills have a notebook of their own."""
    sagemaker = platform.client("sagemaker")
    name = platform.parameter("notebooks/workbench/name")

    def status() -> str:
        found = sagemaker.describe_notebook_instance(NotebookInstanceName=name)
        return str(found["NotebookInstanceStatus"])

    until(lambda: status() == "InService", f"{name} in service", 120)
    sagemaker.stop_notebook_instance(NotebookInstanceName=name)
    until(lambda: status() == "Stopped", f"the end of {name}")
