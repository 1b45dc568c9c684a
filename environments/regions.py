"""Which regions of AWS offer SageMaker, from AWS's own list of endpoints.

A synthesis asks AWS nothing, so the list is a table beside this file. Run as a module it writes the
table anew, from the list that the installed botocore ships:

    python -m environments.regions
"""

import difflib
from functools import cache
from pathlib import Path

import yaml

TABLE = Path(__file__).parent / "data" / "regions.yaml"

LOCAL = "us-east-1"
"""The region that the local platform stands for."""


@cache
def regions() -> tuple[str, ...]:
    """Every region that offers SageMaker."""
    partitions: dict[str, list[str]] = yaml.safe_load(TABLE.read_bytes())
    return tuple(region for listed in partitions.values() for region in listed)


def nearest(wanted: str) -> list[str]:
    """The regions that somebody who wrote `wanted` may have meant."""
    wanted = wanted.lower()
    area = wanted.rpartition("-")[0]
    there = [region for region in regions() if region.rpartition("-")[0] == area]
    return there or difflib.get_close_matches(wanted, regions(), n=4, cutoff=0.5)


def listed() -> dict[str, list[str]]:
    """The content of the table, from botocore's list of endpoints."""
    import botocore.session  # a synthesis has no botocore

    session = botocore.session.get_session()
    found = {
        partition: session.get_available_regions("sagemaker", partition)
        for partition in session.get_available_partitions()
    }
    return {partition: sorted(names) for partition, names in found.items() if names}


if __name__ == "__main__":
    lines = [
        "# Regions in which AWS offers SageMaker, by partition.",
        "# Made from AWS's own list of endpoints, which botocore ships:",
        "#   python -m environments.regions",
        yaml.safe_dump(listed(), sort_keys=False),
    ]
    TABLE.write_text("\n".join(lines), encoding="utf-8")
