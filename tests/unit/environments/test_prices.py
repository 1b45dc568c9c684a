from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from environments.instance_types import Use
from environments.model import Environment, names
from environments.prices import TABLE, InvalidPrices, Price, Prices, fill, hourly, prices

QUOTE = {"usd": 1, "source": "pricing-pages", "as_of": "2026-11-24"}


@pytest.fixture
def content() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return found


def test_a_price_is_the_exact_number_of_the_file() -> None:
    found = prices().instance("endpoint", "ml.m5.large", "us-east-1")
    assert found == Price(usd=Decimal("0.115"))


def test_a_price_of_another_region_is_a_guide_and_no_price() -> None:
    assert prices().instance("endpoint", "ml.m5.large", "ap-south-1") == Price(
        usd=None,
        guide=Decimal("0.115"),
        key="regions.ap-south-1.endpoint_hour.ml.m5.large",
    )
    assert prices().regional("nat_gateway_hour", "eu-west-1") == Price(
        usd=None, guide=Decimal("0.045"), key="regions.eu-west-1.nat_gateway_hour"
    )


def test_what_no_region_has_is_unknown_without_a_guide() -> None:
    assert prices().instance("endpoint", "ml.p5.48xlarge", "us-east-1") == Price(
        usd=None, key="regions.us-east-1.endpoint_hour.ml.p5.48xlarge"
    )
    assert prices().instance("notebook", "ml.m5.large", "us-east-1") == Price(
        usd=None, key="regions.us-east-1.notebook_hour.ml.m5.large"
    )


def test_a_price_that_nobody_read_says_from_what_it_was_inferred() -> None:
    assert "Studio" in prices().instance("endpoint", "ml.m5.large", "eu-west-1").inferred
    assert prices().instance("endpoint", "ml.m5.xlarge", "eu-west-1").inferred == ""


def test_training_and_inference_may_cost_differently() -> None:
    found = [
        prices().instance(use, "ml.g4dn.xlarge", "eu-west-1").usd
        for use in ("training", "endpoint")
    ]
    assert found == [Decimal("0.822"), Decimal("0.821")]


def test_every_price_has_a_source_and_a_day_and_none_is_nothing() -> None:
    found = dict(prices().quotes())
    assert len(found) > 40
    for key, quote in found.items():
        assert quote.usd > 0, key
        assert quote.source in prices().sources, key
        assert quote.as_of <= prices().read_on, key


def _named(environment: str) -> list[tuple[Use, str]]:
    config = Environment.load(environment)
    training = [*config.training.instance_types, *config.training.other_instance_types]
    return [
        *(("training", one) for one in training),
        *(("endpoint", one.instance_type) for one in config.endpoints.values()),
        *(("notebook", one.instance_type) for one in config.notebooks.values()),
    ]


@pytest.mark.parametrize("environment", names())
def test_a_shipped_environment_names_only_what_is_priced(environment: str) -> None:
    region = Environment.load(environment).region
    unknown = [
        price.key
        for use, kind in _named(environment)
        if (price := prices().instance(use, kind, region)).usd is None
    ]
    assert unknown == []


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
    assert fill("regions.us-east-1.endpoint_hour.ml.p5.48xlarge") in said
    assert "$" not in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"read_on": "yesterday"}, "read_on"),
        ({"read_on": None}, "read_on"),
        ({"sources": {}}, "sources"),
        ({"sources": {"web": {"what": "x", "url": "the web"}}}, "sources.web.url"),
        (
            {"sources": {"other": {"what": "x", "url": "https://a.example"}}},
            "everywhere.kms_key_month: source pricing-pages is none of other",
        ),
        ({"hours_per_month": 24}, "hours_per_month"),
        ({"guide_region": "eu-north-1"}, "guide_region eu-north-1 has no prices"),
        ({"regions": {"Ireland": {}}}, "regions.Ireland"),
        *(
            ({"regions": {"us-east-1": {"nat_gateway_hour": QUOTE | change}}}, said)
            for change, said in (
                ({"usd": -1}, "nat_gateway_hour.usd"),
                ({"usd": 0}, "nat_gateway_hour.usd"),
                ({"usd": True}, "nat_gateway_hour.usd"),
                ({"usd": "cheap"}, "nat_gateway_hour.usd"),
                ({"usd": float("nan")}, "nat_gateway_hour.usd"),
                ({"as_of": "once"}, "nat_gateway_hour.as_of"),
                ({"source": ""}, "source"),
                ({"inferred": ""}, "nat_gateway_hour.inferred"),
                ({"discount": 1}, "nat_gateway_hour.discount"),
            )
        ),
        ({"regions": {"us-east-1": {"nat_gateway_hour": 1}}}, "nat_gateway_hour"),
        ({"regions": {"us-east-1": {"natgateway_hour": QUOTE}}}, "natgateway_hour"),
        (
            {"regions": {"us-east-1": {"endpoint_hour": {"ml.m5.xxl": QUOTE}}}},
            "ml.m5.xxl is no endpoi",
        ),
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
