import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from algorithms.toolkit.formats import delimited
from algorithms.toolkit.formats.table import FormatError

matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(matrices)
def test_reads_back_every_number_that_was_written(numbers: np.ndarray) -> None:
    text = "\n".join(",".join(map(repr, row)) for row in numbers.astype(float).tolist())
    np.testing.assert_array_equal(delimited.read(text.encode(), "x.csv"), numbers)


@pytest.mark.parametrize(
    "text", ["1,2\r\n3,4\r\n", "\ufeff1,2\n3,4", '"1","2"\n3,4', "1.,+2\n3,.4e1"]
)
def test_takes_the_ways_in_which_programs_write_numbers(text: str) -> None:
    np.testing.assert_array_equal(delimited.read(text.encode(), "x.csv"), [[1, 2], [3, 4]])


def test_a_large_text_gives_the_same_numbers_as_a_small_one() -> None:
    numbers = np.random.default_rng(0).normal(size=(20_000, 10))
    lines = [",".join(map(repr, row)) for row in numbers.tolist()]
    body = "\n".join(lines).encode()
    assert len(body) > delimited.BULK_BYTES
    rows = [delimited.read(line.encode(), "x.csv")[0] for line in lines]
    np.testing.assert_array_equal(delimited.read(body, "x.csv"), rows)


@pytest.mark.parametrize("bulk", [False, True])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("5,six,7", "line {}, column 2: 'six' is not a number"),
        ("5,true,7", "line {}, column 2: 'true' is not a number"),
        ("5,1_0,7", "line {}, column 2: '1_0' is not a number"),
        ("5,,7", "line {}, column 2: empty; missing values are not allowed"),
        ("5,nan,7", "line {}, column 2: NaN; missing values are not allowed"),
        ("5,6,inf", "line {}, column 3: inf is not a finite number of 32 bits"),
        ("5,6,1e39", "line {}, column 3: 1e39 is not a finite number of 32 bits"),
        ("5,6", "line {}: 2 columns, where the lines before have 3"),
    ],
)
def test_names_line_and_column_of_what_is_wrong(
    line: str, message: str, bulk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    repeats = 1000
    body = "1.25,2.5,3.75\n" * repeats + line + "\n1,2,3\n"
    monkeypatch.setattr(delimited, "BULK_BYTES", len(body) if bulk else len(body) + 1)
    with pytest.raises(FormatError) as caught:
        delimited.read(body.encode(), "train/x.csv")
    assert str(caught.value) == "train/x.csv, " + message.format(repeats + 1)


def test_says_that_the_first_line_looks_like_a_header() -> None:
    with pytest.raises(FormatError, match=r"line 1, column 1: 'a' is not a number.*header"):
        delimited.read(b"a,b\n1,2\n", "x.csv")


@pytest.mark.parametrize("body", [b"1,,3", b"1,nan,3", b"1, ,3"])
def test_an_empty_field_is_a_missing_value_where_those_are_allowed(body: bytes) -> None:
    read = delimited.read(body, "x.csv", missing=True)
    np.testing.assert_array_equal(read, [[1, np.nan, 3]])


def test_refuses_infinity_also_where_values_may_be_missing() -> None:
    with pytest.raises(FormatError, match="column 2"):
        delimited.read(b"1,inf", "x.csv", missing=True)


@pytest.mark.parametrize("body", [b"", b"\n\n", b"  "])
def test_refuses_an_empty_text(body: bytes) -> None:
    with pytest.raises(FormatError, match=r"x\.csv is empty"):
        delimited.read(body, "x.csv")


def test_refuses_bytes_that_are_no_text() -> None:
    with pytest.raises(FormatError, match="line 1: not UTF-8 text"):
        delimited.read(b"1,\xff\xfe", "x.csv")
