import pytest

from logs.logic import changes

GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.mark.parametrize(
    ("current", "wanted", "before", "expected"),
    [
        (None, 30, None, {GROUP: 30}),
        (30, 90, None, {GROUP: 90}),
        (90, 30, None, {}),
        (30, 30, None, {}),
        (90, 30, 90, {GROUP: 30}),
        (365, 30, 90, {}),
        (90, 90, 90, {}),
    ],
    ids=[
        "kept for ever: the wish is set",
        "a longer wish is set",
        "another environment's longer wish holds",
        "what is set is left alone",
        "its own former wish may be shortened",
        "its former wish was not the one that held",
        "nothing changed",
    ],
)
def test_the_longest_wish_of_an_account_holds(
    current: int | None, wanted: int, before: int | None, expected: dict[str, int]
) -> None:
    assert changes([GROUP], wanted, before, {GROUP: current}) == expected


def test_a_group_that_was_just_made_gets_its_retention() -> None:
    assert changes([GROUP], 30, None, {}) == {GROUP: 30}
