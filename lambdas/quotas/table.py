"""Names and codes of SageMaker's service quotas, the same in every account and region.

A quota's name is what SageMaker quotes when it refuses a request; its code is what Service Quotas
asks for. Run as a module it rewrites the table:

    aws service-quotas list-aws-default-service-quotas --service-code sagemaker \
        --query 'Quotas[].[QuotaName,QuotaCode]' | python -m quotas.table
"""

import csv
import json
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

SERVICE = "sagemaker"
PATH = Path(__file__).with_name("quotas.csv")

Use = Literal["training", "spot", "endpoint", "notebook"]

_OF_TYPE: Mapping[Use, str] = {
    "training": "training job usage",
    "spot": "spot training job usage",
    "endpoint": "endpoint usage",
    "notebook": "notebook instance usage",
}
TOTAL: Mapping[Use, str] = {
    "training": "Number of instances across all training jobs",
    "spot": "Number of instances across all spot training jobs",
    "endpoint": "Number of instances across active endpoints",
    "notebook": "Total number of notebook instances",
}
"""The quota that all instance types of a use share."""

LARGEST: Mapping[Use, str] = {
    "training": "Maximum number of instances per training job",
    "spot": "Maximum number of instances per spot training job",
    "endpoint": "Maximum number of instances per endpoint",
}
"""How many instances one job or endpoint may have."""


@cache
def codes() -> Mapping[str, str]:
    """The code of each quota, by its name."""
    with PATH.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row["code"] for row in csv.DictReader(file)}


@cache
def names() -> Mapping[str, str]:
    """The name of each quota, by its code."""
    return {code: name for name, code in codes().items()}


def of_type(use: Use, instance_type: str) -> str:
    """Name of the quota of one instance type, whether or not SageMaker has it for that use."""
    return f"{instance_type} for {_OF_TYPE[use]}"


def use_of(name: str) -> tuple[Use, str] | None:
    """Use and instance type of a quota's name; None for one that is of no instance type."""
    for use, words in _OF_TYPE.items():
        found = re.fullmatch(rf"(ml\.\S+) for {words}", name)
        if found:
            return use, found[1]
    return None


def counted_by(name: str) -> Use:
    """The use that a quota of instances counts, of one type or of all together."""
    found = use_of(name)
    return found[0] if found else next(use for use, total in TOTAL.items() if total == name)


def text(quotas: Iterable[tuple[str, str]]) -> str:
    """The table as its file holds it."""
    rows = sorted(quotas)
    lines = ["name,code", *(f"{_quoted(name)},{code}" for name, code in rows)]
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    return f'"{name}"' if "," in name else name


if __name__ == "__main__":
    PATH.write_text(text((name, code) for name, code in json.load(sys.stdin)), encoding="utf-8")
