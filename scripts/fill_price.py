"""Fill a key of environments/data/prices.yaml, from AWS's price list or with a price that you read.

    fill_price.py regions.eu-west-1.training_hour.ml.c5.2xlarge
    fill_price.py regions.eu-west-1.nat_gateway_hour --usd 0.048 --source pricing-pages
    fill_price.py free_at_rest.AWS::SQS::Queue --because "messages are billed"

Without --usd, the region's file of AWS's price list is asked, which needs no credentials; --file
names one that was downloaded. It has what SageMaker bills: hours of instances and volumes. A price
of 0, one in tiers, and one that is not in the list are refused: what is unknown stays so.
"""

import argparse
import datetime
import json
import re
import sys
import urllib.request
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from environments.prices import TABLE, InvalidPrices, Prices

PRICE_LIST = (
    "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonSageMaker/current/{}/index.json"
)
# How the price list names a use: "EU-Host:ml.m5.large" is an hour of an endpoint's instance.
_COMPONENTS = {"training_hour": "Train", "endpoint_hour": "Host", "notebook_hour": "Notebk"}
_FREE = "free_at_rest."
_VOLUME = "Host:VolumeUsage.gp2"
_KEY = re.compile(
    r"regions\.(?P<region>[a-z0-9-]+)\.(?P<field>[a-z_]+)(?:\.(?P<type>ml\.[a-z0-9-]+\.[a-z0-9-]+))?"
)


class NotFilled(Exception):
    """The key cannot be filled; the message says why."""


def usage(field: str, instance_type: str | None) -> str:
    """What the price list calls the thing of a key, without the region's prefix.

    Raises:
        NotFilled: SageMaker's price list does not have it.
    """
    if field in _COMPONENTS and instance_type:
        return f"{_COMPONENTS[field]}:{instance_type}"
    if field == "ml_volume_gb_month" and not instance_type:
        return _VOLUME
    raise NotFilled(
        f"{field} is not in SageMaker's price list: look it up, and give --usd and --source."
    )


def price(document: Mapping[str, Any], wanted: str) -> tuple[Decimal, str]:
    """The one price on demand of a usage in a file of the price list, and the file's date.

    Raises:
        NotFilled: There is none, several, or one that depends on how much is used.
    """
    skus = [
        sku
        for sku, product in document["products"].items()
        if re.fullmatch(rf"(?:[A-Z]{{2,4}}\d?-)?{re.escape(wanted)}", _usage_type(product))
    ]
    found = {
        Decimal(dimension["pricePerUnit"]["USD"])
        for sku in skus
        for term in document["terms"]["OnDemand"].get(sku, {}).values()
        for dimension in _whole(term, wanted)
    } - {Decimal(0)}
    if len(found) != 1:
        what = f"{len(found)} prices" if found else "no price"
        raise NotFilled(f"The price list has {what} for {wanted}: AWS may not offer it there.")
    return found.pop(), str(document["publicationDate"])[:10]


def _usage_type(product: Mapping[str, Any]) -> str:
    attributes = product.get("attributes", {})
    return str(attributes.get("usagetype") or attributes.get("usageType") or "")


def _whole(term: Mapping[str, Any], wanted: str) -> list[Mapping[str, Any]]:
    dimensions = [*term["priceDimensions"].values()]
    if len(dimensions) > 1:
        raise NotFilled(f"The price of {wanted} depends on how much is used: it has tiers.")
    return dimensions


def put(text: str, key: str, value: str) -> str:
    """The text of the table with a value for a key, in place of an older one."""
    if key.startswith(_FREE):
        path = [_FREE.rstrip("."), key.removeprefix(_FREE)]
    else:
        match = _matched(key)
        path = ["regions", match["region"], match["field"], *filter(None, [match["type"]])]
    lines = text.splitlines()
    begin, end = 0, len(lines)
    for depth, name in enumerate(path):
        head = f"{'  ' * depth}{name}:"
        at = next((n for n in range(begin, end) if _heads(lines[n], head)), None)
        if at is None:
            lines.insert(end, head)
            at, end = end, end + 1
        begin, end = at + 1, _end(lines, at, end)
    lines[begin - 1] = f"{head} {value}"
    return "\n".join(lines) + "\n"


def _heads(line: str, head: str) -> bool:
    return line == head or line.startswith(f"{head} ")


def _end(lines: list[str], at: int, end: int) -> int:
    """Where the part ends that line `at` begins: before what stands no further to the right."""
    last = at
    for number in range(at + 1, end):
        text = lines[number]
        if text.strip() and not text.lstrip().startswith("#"):
            if _indent(text) <= _indent(lines[at]):
                break
            last = number
    return last + 1


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def _matched(key: str) -> "re.Match[str]":
    match = _KEY.fullmatch(key)
    if match is None:
        raise NotFilled(f"{key} is no key of a region, such as regions.eu-west-1.nat_gateway_hour.")
    return match


def _read(region: str, file: Path | None) -> Mapping[str, Any]:
    try:
        if file:
            document = json.loads(file.read_bytes())
        else:
            with urllib.request.urlopen(PRICE_LIST.format(region), timeout=60) as answer:
                document = json.load(answer)
    except (OSError, ValueError) as error:
        raise NotFilled(f"{file or PRICE_LIST.format(region)} cannot be read: {error}") from None
    if not isinstance(document, dict) or not {"products", "terms"} <= document.keys():
        raise NotFilled(f"{file or PRICE_LIST.format(region)} is no file of the price list.")
    return document


def main(arguments: list[str] | None = None) -> None:
    """Fill the key that is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("key", help="such as regions.eu-west-1.endpoint_hour.ml.c5.xlarge")
    parser.add_argument("--usd", help="the price, where you have read it")
    parser.add_argument("--source", help="of --usd: a name under `sources` of the table")
    parser.add_argument("--as-of", help="of --usd: its day, today unless said")
    parser.add_argument("--inferred", help="of --usd: from what, if it is not in the source itself")
    parser.add_argument("--because", help="why a type of resource costs nothing for being there")
    parser.add_argument("--file", type=Path, help="a downloaded file of the price list")
    parser.add_argument("--table", type=Path, default=TABLE, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if bool(given.usd) != bool(given.source):
        parser.error("--usd and --source go together")
    free = given.key.startswith(_FREE)
    if free != bool(given.because):
        parser.error(f"--because goes with a key of {_FREE}, and such a key with --because")
    try:
        value = json.dumps(given.because) if free else _quote(given)
        before = given.table.read_text(encoding="utf-8")
        given.table.write_text(put(before, given.key, value), encoding="utf-8")
        try:
            Prices.load(given.table)
        except InvalidPrices:
            given.table.write_text(before, encoding="utf-8")
            raise
    except (NotFilled, InvalidPrices) as error:
        sys.exit(str(error))
    print(f"{given.key}: {value}")


def _quote(given: argparse.Namespace) -> str:
    """The price for the key that was named, with its source and its day, as the table has it."""
    match = _matched(given.key)
    if given.usd:
        try:
            usd = Decimal(given.usd)
        except InvalidOperation:
            raise NotFilled(f"--usd {given.usd} is no price.") from None
        date = given.as_of or datetime.date.today().isoformat()
    else:
        wanted = usage(match["field"], match["type"])
        usd, date = price(_read(match["region"], given.file), wanted)
    source = given.source or "price-list"
    inferred = f", inferred: {json.dumps(given.inferred)}" if given.inferred else ""
    return f"{{ usd: {usd.normalize():f}, source: {source}, as_of: {date}{inferred} }}"


if __name__ == "__main__":
    main()
