"""What AWS has closed, and what is said of it on a day."""

from datetime import date, timedelta

import pytest
from pydantic import ValidationError

from environments.retirement import NOTICE, Fact, Facts, facts, verdict

END = date(2030, 6, 30)
PLATFORM = Fact.model_validate(
    {
        "name": "old",
        "kind": "notebook-platform",
        "until": END,
        "successor": "new",
        "source": "https://docs.aws.amazon.com/",
    }
)


@pytest.mark.parametrize(
    ("today", "refused"),
    [
        (END - NOTICE, None),
        (END - NOTICE + timedelta(days=1), False),
        (END, False),
        (END + timedelta(days=1), True),
    ],
    ids=["half-a-year-before", "a-day-later", "the-last-day", "past"],
)
def test_what_is_past_is_refused_and_what_ends_soon_is_warned_about(
    today: date, refused: bool | None
) -> None:
    found = verdict("notebook-platform", "old", today, [PLATFORM])
    assert (found and found.refused) == refused
    if found:
        verb = "ended on" if refused else "ends on"
        assert found.sentence == (
            f"old {verb} 2030-06-30; use new: see https://docs.aws.amazon.com/"
        )


def test_what_aws_has_not_announced_is_never_refused() -> None:
    guessed = PLATFORM.model_copy(update={"inferred": "its operating system ended"})
    found = verdict("notebook-platform", "old", date(2040, 1, 1), [guessed])
    assert found and not found.refused and "(its operating system ended)" in found.sentence


def test_nothing_is_said_of_another_name_or_kind() -> None:
    later = date(2040, 1, 1)
    assert verdict("notebook-platform", "new", later, [PLATFORM]) is None
    assert verdict("image", "old", later, [PLATFORM]) is None


@pytest.mark.parametrize("name", ["notebook-al1-v1", "notebook-al2-v1", "notebook-al2-v2"])
def test_the_notebook_platforms_that_aws_has_closed_are_refused_with_their_successor(
    name: str,
) -> None:
    found = verdict("notebook-platform", name, date(2026, 11, 30))
    assert found and found.refused and "use notebook-al2023-v1" in found.sentence


def test_the_facts_name_each_thing_once_and_the_day_on_which_they_were_read() -> None:
    assert facts().read_on >= date(2026, 11, 30)
    twice = {"read_on": END, "facts": [PLATFORM.model_dump(), PLATFORM.model_dump()]}
    with pytest.raises(ValidationError, match="old stands twice"):
        Facts.model_validate(twice)


def test_a_successor_is_not_closed_itself() -> None:
    closed = {fact.name for fact in facts().facts}
    platforms = [fact for fact in facts().facts if fact.kind == "notebook-platform"]
    assert not {fact.successor for fact in platforms} & closed
