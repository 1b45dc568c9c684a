from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from environments.prices import TABLE, InvalidPrices, Price, Prices, hourly, prices


@pytest.fixture
def content() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return found


def test_a_price_is_the_exact_number_of_the_file() -> None:
    found = prices().instance("endpoint", "ml.m5.large", "us-east-1")
    assert found == Price(usd=Decimal("0.115"))


def test_a_price_of_another_region_is_a_guide_and_no_price() -> None:
    assert prices().instance("endpoint", "ml.m5.large", "ap-south-1") == Price(
        usd=None, guide=Decimal("0.115")
    )
    assert prices().regional("nat_gateway_hour", "eu-west-1") == Price(
        usd=None, guide=Decimal("0.045")
    )


def test_what_no_region_has_is_unknown_without_a_guide() -> None:
    assert prices().instance("endpoint", "ml.p5.48xlarge", "us-east-1") == Price(usd=None)
    assert prices().instance("notebook", "ml.m5.large", "us-east-1") == Price(usd=None)


@pytest.mark.parametrize(
    ("region", "usd"), [("us-east-1", 1), ("me-south-1", 1), ("cn-north-1", None)]
)
def test_what_costs_the_same_everywhere_does_so_in_commercial_regions_only(
    region: str, usd: int | None
) -> None:
    assert prices().shared("kms_key_month", region).usd == usd


def test_the_words_for_an_instance_name_hour_month_region_and_date() -> None:
    said = hourly("ml.m5.xlarge", 2)
    assert said.startswith("2 x ml.m5.xlarge: $0.460 an hour, $336 a month (us-east-1, on demand")
    assert f"{prices().read_on:%B %Y}" in said


def test_the_words_for_an_unknown_instance_invent_nothing() -> None:
    said = hourly("ml.p5.48xlarge", 1)
    assert "price unknown" in said
    assert "$" not in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"read_on": "yesterday"}, "read_on"),
        ({"read_on": None}, "read_on"),
        ({"sources": []}, "sources"),
        ({"sources": ["the web"]}, "sources.0"),
        ({"hours_per_month": 24}, "hours_per_month"),
        ({"guide_region": "eu-north-1"}, "guide_region eu-north-1 has no prices"),
        ({"regions": {"Ireland": {}}}, "regions.Ireland"),
        ({"regions": {"us-east-1": {"nat_gateway_hour": -1}}}, "nat_gateway_hour"),
        ({"regions": {"us-east-1": {"nat_gateway_hour": True}}}, "nat_gateway_hour"),
        ({"regions": {"us-east-1": {"nat_gateway_hour": "cheap"}}}, "nat_gateway_hour"),
        ({"regions": {"us-east-1": {"nat_gateway_hour": float("nan")}}}, "nat_gateway_hour"),
        ({"regions": {"us-east-1": {"natgateway_hour": 1}}}, "natgateway_hour"),
        ({"regions": {"us-east-1": {"endpoint_hour": {"ml.m5.xxl": 1}}}}, "ml.m5.xxl is no endpoi"),
        ({"free_at_rest": {"AWS::S3::Bucket": ""}}, "free_at_rest.AWS::S3::Bucket"),
        ({"discount": 10}, "discount"),
    ],
)
def test_a_bad_table_is_refused_by_the_name_of_what_is_wrong(
    tmp_path: Path, content: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(yaml.safe_dump(content | change), encoding="utf-8")
    with pytest.raises(InvalidPrices) as refused:
        Prices.load(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("text", [b"", b"[1, 2]", b"a: [", b"\xff\xfe"])
def test_what_is_no_table_at_all_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "prices.yaml"
    path.write_bytes(text)
    with pytest.raises(InvalidPrices):
        Prices.load(path)


def test_a_table_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPrices, match=r"nothing\.yaml"):
        Prices.load(tmp_path / "nothing.yaml")
