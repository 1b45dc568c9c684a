import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.catalog import algorithm, names, resolve_image
from algorithms.catalog.registry import registries


@pytest.mark.parametrize("name", names())
def test_every_region_of_the_registry_has_an_image_that_resolves_to_its_algorithm(
    name: str,
) -> None:
    entry = algorithm(name)
    assert len(entry.regions) == (16 if name == "lda" else 37)
    for region in entry.regions:
        assert resolve_image(entry.image_uri(region)) == name


@pytest.mark.parametrize(
    ("name", "region", "uri"),
    [
        (
            "xgboost",
            "us-east-1",
            "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5",
        ),
        (
            "xgboost",
            "eu-west-1",
            "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.0-5",
        ),
        (
            "xgboost",
            "cn-north-1",
            "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-xgboost:3.0-5",
        ),
        ("kmeans", "us-west-2", "174872318107.dkr.ecr.us-west-2.amazonaws.com/kmeans:1"),
        ("kmeans", "eu-west-1", "438346466558.dkr.ecr.eu-west-1.amazonaws.com/kmeans:1"),
        (
            "deepar",
            "us-east-1",
            "522234722520.dkr.ecr.us-east-1.amazonaws.com/forecasting-deepar:1",
        ),
        ("lda", "eu-west-1", "999678624901.dkr.ecr.eu-west-1.amazonaws.com/lda:1"),
        ("seq2seq", "us-west-2", "433757028032.dkr.ecr.us-west-2.amazonaws.com/seq2seq:1"),
        ("pca", "us-iso-east-1", "490574956308.dkr.ecr.us-iso-east-1.c2s.ic.gov/pca:1"),
        ("pca", "us-isob-east-1", "765400339828.dkr.ecr.us-isob-east-1.sc2s.sgov.gov/pca:1"),
        ("pca", "us-gov-west-1", "226302683700.dkr.ecr.us-gov-west-1.amazonaws.com/pca:1"),
    ],
)
def test_well_known_images_have_their_uri(name: str, region: str, uri: str) -> None:
    assert algorithm(name).image_uri(region) == uri


def test_a_region_without_an_image_is_answered_with_those_that_have_one() -> None:
    with pytest.raises(ValueError, match=r"no image lda:1 in region 'eu-north-1'.*eu-west-1"):
        algorithm("lda").image_uri("eu-north-1")


def test_every_account_has_twelve_digits() -> None:
    for accounts in registries().accounts.values():
        for account in accounts.values():
            assert account.isdecimal()
            assert len(account) == 12


@pytest.mark.parametrize("name", names())
def test_a_repository_holds_the_name_of_its_algorithm(name: str) -> None:
    assert name in algorithm(name).image.repository


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        (
            "000000000000.dkr.ecr.us-east-1.amazonaws.com/sagemaker-platform-local/xgboost:1",
            "xgboost",
        ),
        (
            "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-platform-dev/kmeans"
            f"@sha256:{'a' * 64}",
            "kmeans",
        ),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", "xgboost"),
        ("811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:1", "xgboost"),
        ("685385470294.dkr.ecr.eu-west-1.amazonaws.com/xgboost:latest", "xgboost"),
        ("390948362332.dkr.ecr.cn-north-1.amazonaws.com.cn/xgboost:1", "xgboost"),
        ("382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans", "kmeans"),
    ],
)
def test_other_tags_and_this_platforms_repositories_resolve(uri: str, name: str) -> None:
    assert resolve_image(uri) == name


@pytest.mark.parametrize(
    "uri",
    [
        "111122223333.dkr.ecr.us-east-1.amazonaws.com/kmeans:1",
        "382416733822.dkr.ecr.us-west-2.amazonaws.com/kmeans:1",
        "382416733822.dkr.ecr.us-east-1.amazonaws.com.cn/kmeans:1",
        "382416733822.dkr.ecr.us-east-1.amazonaws.com/my-kmeans:1",
        "683313688378.dkr.ecr.us-east-1.amazonaws.com/xgboost:1",
        "811284229777.dkr.ecr.us-west-2.amazonaws.com/xgboost:1",
        "811284229777.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1",
        "111122223333.dkr.ecr.us-east-1.amazonaws.com/sagemaker-platform-dev/unheard-of:1",
        "docker.io/library/python:3.13",
        "kmeans",
        "",
    ],
)
def test_any_other_image_resolves_to_nothing(uri: str) -> None:
    assert resolve_image(uri) is None


@given(st.text(max_size=200))
def test_no_text_breaks_the_resolution_of_an_image(uri: str) -> None:
    assert resolve_image(uri) in (None, *names())
