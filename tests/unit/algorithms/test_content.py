import pytest

from algorithms.toolkit.content import ContentType, negotiate

OFFERED = ("application/json", "text/csv")


def test_parameters_and_case_do_not_change_the_type() -> None:
    kind = ContentType.parse('Text/CSV; label_size=0;charset="utf-8"')
    assert kind.name == "text/csv"
    assert kind.parameters == {"label_size": "0", "charset": "utf-8"}


@pytest.mark.parametrize(("alias", "name"), [("csv", "text/csv"), ("text/x-libsvm", "text/libsvm")])
def test_short_names_stand_for_the_full_ones(alias: str, name: str) -> None:
    assert ContentType.parse(alias).name == name


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("text/*", "text/csv"),
        ("application/json;q=0.2, text/csv", "text/csv"),
        ("image/png, */*;q=0.1", "application/json"),
        ("image/png", None),
        ("text/csv;q=0", None),
    ],
)
def test_gives_the_best_answer_that_a_client_takes(accept: str | None, answer: str | None) -> None:
    found = negotiate(accept, OFFERED)
    assert (found.name if found else None) == answer


def test_an_answer_keeps_the_parameters_that_the_client_gave() -> None:
    found = negotiate("text/csv; verbose=true", OFFERED)
    assert found == ContentType("text/csv", {"verbose": "true"})
