from typing import Any

import pytest

from notebook_instance.activity import Idleness, Observation

QUIET: dict[str, Any] = {
    "busy_kernels": 0,
    "busy_terminals": 0,
    "busy_processes": 0,
    "cpu_percent": 3.0,
    "happened_since": False,
}


def _observation(**changes: Any) -> Observation:
    return Observation(**{**QUIET, **changes})


def test_quiet_minutes_add_up() -> None:
    idleness = Idleness(60)
    assert [idleness.take(_observation(), 60) for _ in range(3)] == [60, 120, 180]


@pytest.mark.parametrize(
    "change",
    [{"busy_kernels": 1}, {"busy_terminals": 1}, {"busy_processes": 1}, {"happened_since": True}],
)
def test_whatever_happens_begins_the_time_anew(change: dict[str, Any]) -> None:
    idleness = Idleness(60)
    idleness.take(_observation(), 600)
    assert idleness.take(_observation(**change), 60) == 0
    assert idleness.take(_observation(), 60) == 60


def test_what_could_not_be_seen_is_no_idleness() -> None:
    idleness = Idleness(60)
    idleness.take(_observation(), 60)
    assert idleness.take(None, 60) == 0


def test_time_that_nobody_watched_does_not_count() -> None:
    idleness = Idleness(60)
    # The machine slept for three hours, then somebody set the clock back.
    assert idleness.take(_observation(), 3 * 3600) == 120
    assert idleness.take(_observation(), -3600) == 120
