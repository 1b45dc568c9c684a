import pytest

from environments.regions import LOCAL, listed, nearest, regions
from local.emulator.environment import REGION


def test_the_table_is_the_one_that_botocore_ships() -> None:
    assert regions() == tuple(name for names in listed().values() for name in names)


def test_the_local_platform_is_one_of_them() -> None:
    assert LOCAL == REGION and LOCAL in regions()


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [("eu-west-9", "eu-west-1"), ("us-east1", "us-east-1"), ("EU-WEST-1", "eu-west-1")],
)
def test_the_regions_that_somebody_may_have_meant_are_offered(wanted: str, meant: str) -> None:
    assert wanted not in regions()
    assert meant in nearest(wanted)
