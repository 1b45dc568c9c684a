"""Several estimators of the SDK at the same time, as it waits for most of its own."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sagemaker import Session, utils

# The SDK checks its whole configuration at each of hundreds of look-ups, a tenth of a second each.
# `Session` still does when it reads the file, and script_mode.py runs the SDK without this.
utils.validate_sagemaker_config = lambda _: None


def told(role: str, ways: Mapping[str, Callable[[Session, str], dict[str, Any]]]) -> str:
    """What each way of using the SDK came to, by name, as a line of JSON."""
    # One after another: boto3 makes no clients in several threads at once.
    sessions = [Session() for _ in ways]
    with ThreadPoolExecutor(len(ways)) as pool:
        begun = {
            name: pool.submit(way, session, role)
            for (name, way), session in zip(ways.items(), sessions, strict=True)
        }
    # What the SDK prints while it waits has no end of line.
    return f"\n{json.dumps({name: one.result() for name, one in begun.items()})}"
