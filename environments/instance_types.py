"""Which instance types exist for which use, from the names of SageMaker's service quotas.

SageMaker has one quota an instance type and use (`ml.m5.xlarge for training job usage`), so the
list of quotas is the list of what can be asked for. Run as a module it rewrites the table:

    aws service-quotas list-aws-default-service-quotas --service-code sagemaker \
        --query 'Quotas[].QuotaName' | python -m environments.instance_types
"""

import difflib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import yaml

Use = Literal["training", "endpoint", "notebook"]

TABLE = Path(__file__).parent / "data" / "instance_types.yaml"

_QUOTA = {
    "training": "training job usage",
    "endpoint": "endpoint usage",
    "notebook": "notebook instance usage",
}
# Notebooks run notebook-al2023-v1, which some types with a quota do not support: see "AL2023
# notebook instances" in SageMaker's guide.
_NOT_ON_AL2023 = frozenset({"g3", "inf1", "p2", "p3", "p3dn"})
_SIZES = ("nano", "micro", "small", "medium", "large", "xlarge")


@cache
def instance_types(use: Use) -> tuple[str, ...]:
    """Every instance type that SageMaker offers for `use`, by family and size."""
    families: Mapping[str, str] = yaml.safe_load(TABLE.read_bytes())[use]
    return tuple(
        f"ml.{family}.{size}"
        for family, sizes in families.items()
        for size in sizes.split()
        if use != "notebook" or family not in _NOT_ON_AL2023
    )


def nearest(use: Use, wanted: str) -> list[str]:
    """The instance types for `use` that somebody who wrote `wanted` may have meant."""
    known = instance_types(use)
    family = [name for name in known if name.rpartition(".")[0] == wanted.rpartition(".")[0]]
    return family or difflib.get_close_matches(wanted, known, n=4, cutoff=0.5)


def uses(instance_type: str) -> list[Use]:
    """What `instance_type` can be used for."""
    return [use for use in get_args(Use) if instance_type in instance_types(use)]


def table(quota_names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The content of the table: sizes by family by use, sorted."""
    names = set(quota_names)
    return {
        use: _by_family(name.split()[0] for name in names if _is(name, quota))
        for use, quota in _QUOTA.items()
    }


def _is(name: str, quota: str) -> bool:
    # Elastic inference accelerators (eia) are counted as endpoints but are no instances.
    return bool(re.fullmatch(rf"ml\.(?!eia)\S+ for {quota}", name))


def _by_family(types: Iterable[str]) -> dict[str, str]:
    sizes: dict[str, list[str]] = {}
    for name in types:
        _, family, size = name.split(".")
        sizes.setdefault(family, []).append(size)
    return {family: " ".join(sorted(sizes[family], key=_size)) for family in sorted(sizes)}


def _size(size: str) -> tuple[int, int]:
    prefix, _, word = size.rpartition("x")
    if word == "large" and prefix.isdigit():
        return (len(_SIZES), int(prefix))
    return (_SIZES.index(size), 0) if size in _SIZES else (len(_SIZES) + 1, 0)


if __name__ == "__main__":
    lines = [
        "# Instance types that SageMaker offers for each use: family, then its sizes.",
        "# Made from the names of its service quotas:",
        "#   aws service-quotas list-aws-default-service-quotas --service-code sagemaker \\",
        "#     --query 'Quotas[].QuotaName' | python -m environments.instance_types",
        yaml.safe_dump(table(json.load(sys.stdin)), sort_keys=False, width=1000),
    ]
    TABLE.write_text("\n".join(lines), encoding="utf-8")
