import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from environments.prices import TABLE, Prices
from scripts import fill_price

KEY = "regions.eu-west-1.training_hour.ml.c5.2xlarge"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return Path(shutil.copy(TABLE, tmp_path / "prices.yaml"))


def product(usage: str, *prices: str) -> tuple[dict[str, Any], dict[str, Any]]:
    dimensions = {
        str(number): {"beginRange": "0", "pricePerUnit": {"USD": usd}}
        for number, usd in enumerate(prices)
    }
    return {"attributes": {"usagetype": usage}}, {"X": {"priceDimensions": dimensions}}


@pytest.fixture
def price_list(tmp_path: Path) -> Path:
    """A regional file of AWS's price list, in AWS's form."""
    rows = {
        "A": product("EU-Train:ml.c5.2xlarge", "0.4600000000"),
        "B": product("EU-Host:ml.c5.2xlarge", "0.4610000000"),
        "C": product("EU-Train:ml.c5.xlarge", "0.0000000000"),
        "D": product("EU-Train:ml.c5.4xlarge", "0.9", "0.8"),
        "E": product("EU-Train:ml.c5.9xlarge", "1.1"),
        "F": product("EU-Train:ml.c5.9xlarge", "1.2"),
        "G": product("EU-Host:VolumeUsage.gp2", "0.154"),
        "H": product("EU-TrainSpt:ml.c5.18xlarge", "0.1"),
        "I": product("EU-Notebk:ml.c5.2xlarge", "0.47"),
    }
    document = {
        "publicationDate": "2026-11-20T10:00:00Z",
        "products": {sku: row[0] for sku, row in rows.items()},
        "terms": {"OnDemand": {sku: row[1] for sku, row in rows.items()}},
    }
    path = tmp_path / "index.json"
    path.write_text(json.dumps(document))
    return path


def comments(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.lstrip().startswith("#")]


@pytest.mark.parametrize(
    ("key", "usd"),
    [
        (KEY, "0.46"),
        ("regions.eu-west-1.endpoint_hour.ml.c5.2xlarge", "0.461"),
        ("regions.eu-west-1.notebook_hour.ml.c5.2xlarge", "0.47"),
        ("regions.eu-west-1.ml_volume_gb_month", "0.154"),
        ("regions.eu-north-1.training_hour.ml.c5.2xlarge", "0.46"),
    ],
    ids=lambda text: text,
)
def test_a_key_is_filled_from_the_price_list_with_its_day(
    key: str, usd: str, table: Path, price_list: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(Prices.load(table).quotes())
    fill_price.main([key, "--file", str(price_list), "--table", str(table)])
    after = dict(Prices.load(table).quotes())
    assert after[key].usd == Decimal(usd)
    assert (after[key].source, str(after[key].as_of)) == ("price-list", "2026-11-20")
    # Nothing else has changed.
    assert {k: v for k, v in after.items() if k != key} == {
        k: v for k, v in before.items() if k != key
    }
    assert comments(table) == comments(TABLE)
    assert Prices.load(table).free_at_rest == Prices.load().free_at_rest
    assert capsys.readouterr().out.startswith(f"{key}: {{ usd: {usd}, source: price-list")


def test_a_price_that_somebody_read_is_filled_with_its_source(table: Path) -> None:
    key = "regions.eu-west-1.nat_gateway_hour"
    fill_price.main(
        [
            key,
            "--usd",
            "0.048",
            "--source",
            "pricing-pages",
            "--as-of",
            "2026-11-30",
            "--inferred",
            'a "guess"',
            "--table",
            str(table),
        ]
    )
    quote = dict(Prices.load(table).quotes())[key]
    assert (quote.usd, quote.source, str(quote.as_of)) == (
        Decimal("0.048"),
        "pricing-pages",
        "2026-11-30",
    )
    assert quote.inferred == 'a "guess"'


def test_a_type_that_costs_nothing_is_named_with_the_reason(table: Path) -> None:
    key = "free_at_rest.AWS::SQS::Queue"
    fill_price.main([key, "--because", "free; messages are billed", "--table", str(table)])
    assert Prices.load(table).free_at_rest["AWS::SQS::Queue"] == "free; messages are billed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["regions.eu-west-1.training_hour.ml.c5.xlarge"], "no price for Train:ml.c5.xlarge"),
        (["regions.eu-west-1.training_hour.ml.c5.4xlarge"], "tiers"),
        (["regions.eu-west-1.training_hour.ml.c5.9xlarge"], "2 prices"),
        (["regions.eu-west-1.training_hour.ml.c5.18xlarge"], "no price"),
        (["regions.eu-west-1.nat_gateway_hour"], "give --usd and --source"),
        (["regions.eu-west-1.training_hour"], "give --usd and --source"),
        (["everywhere.kms_key_month"], "is no key of a region"),
        ([KEY, "--usd", "0", "--source", "price-list"], "training_hour.ml.c5.2xlarge.usd"),
        ([KEY, "--usd", "cheap", "--source", "price-list"], "cheap is no price"),
        ([KEY, "--usd", "1", "--source", "hearsay"], "source hearsay is none of"),
        (
            ["regions.eu-west-1.endpoint_hour.ml.m5.xxl", "--usd", "1", "--source", "price-list"],
            "xxl",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_unknown_stays_so_and_the_table_as_it_was(
    arguments: list[str], said: str, table: Path, price_list: Path
) -> None:
    with pytest.raises(SystemExit) as refused:
        fill_price.main([*arguments, "--file", str(price_list), "--table", str(table)])
    assert said in str(refused.value)
    assert table.read_bytes() == TABLE.read_bytes()


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_what_is_no_price_list_is_refused(text: str, table: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(SystemExit) as refused:
        fill_price.main([KEY, "--file", str(path), "--table", str(table)])
    assert str(path) in str(refused.value)


def test_the_table_keeps_its_form(table: Path, price_list: Path) -> None:
    for key in (
        KEY,
        "regions.eu-west-1.ml_volume_gb_month",
        "regions.us-west-2.ml_volume_gb_month",
    ):
        fill_price.main([key, "--file", str(price_list), "--table", str(table)])
    lines = table.read_text().splitlines()
    assert "      ml.c5.2xlarge: { usd: 0.46, source: price-list, as_of: 2026-11-20 }" in lines
    # In place, and once.
    assert (
        yaml.safe_load(table.read_text())["regions"]["eu-west-1"]["ml_volume_gb_month"][
            "as_of"
        ].isoformat()
        == "2026-11-20"
    )
    assert len([line for line in lines if line.startswith("free_at_rest:")]) == 1
