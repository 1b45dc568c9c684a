"""What an account is allowed before anybody asks for more: AWS's values, and this platform's.

What a new account on AWS gets depends on its age and is published only in part. Of what is not,
the value is taken from AWS's documentation up to 2020, which gave most types 20 instances. Locally
an account begins as one whose requests were approved, or two endpoints would exhaust it: RAISED of
everything that runs on a processor. Accelerated types stay at 0, as on AWS, until somebody asks.
"""

import re

from quotas import table

# Seen in the quotas of accounts made in 2024 and later.
_TOTALS = {
    table.TOTAL["training"]: 4,
    table.TOTAL["spot"]: 4,
    table.TOTAL["endpoint"]: 4,
    table.TOTAL["notebook"]: 8,
}
_SPOT = 4
_ACCELERATED = re.compile(r"ml\.(dl|g|inf|p|trn)\d")
# AWS's documentation up to 2020, for instance types as for the size of one job.
_DOCUMENTED = 20

RAISED = 256
"""Instances of each type, and of all types together, that the local account begins with."""


def enforced(name: str) -> bool:
    """Whether the local platform counts what this quota limits."""
    return name in _TOTALS or name in table.LARGEST.values() or table.use_of(name) is not None


def on_aws(name: str) -> int:
    """What AWS allows a new account of an enforced quota."""
    if name in _TOTALS:
        return _TOTALS[name]
    found = table.use_of(name)
    if found and _ACCELERATED.match(found[1]):
        return 0
    return _SPOT if found and found[0] == "spot" else _DOCUMENTED


def at_first(name: str) -> int:
    """What the local account is allowed of an enforced quota until somebody changes it."""
    found = on_aws(name)
    return max(found, RAISED) if found and name not in table.LARGEST.values() else found
