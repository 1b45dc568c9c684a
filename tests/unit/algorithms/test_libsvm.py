import numpy as np
import pytest

from algorithms.toolkit.formats import libsvm
from algorithms.toolkit.formats.table import FormatError


def test_reads_labels_and_pairs_with_indices_from_zero() -> None:
    table = libsvm.read(b"1 0:1.5 3:2\n0 1:-4e1\n1\n", "x")
    np.testing.assert_array_equal(
        table.dense(), np.array([[1.5, 0, 0, 2], [0, -40, 0, 0], [0, 0, 0, 0]])
    )
    np.testing.assert_array_equal(table.labels, [1, 0, 1])
    assert table.sparse
    assert len(table.features.data) == 3


def test_reads_weights_and_groups() -> None:
    table = libsvm.read(b"1:0.5 qid:7 0:1\n0:2 qid:8 1:1 # a remark\n", "x")
    np.testing.assert_array_equal(table.labels, [1, 0])
    np.testing.assert_array_equal(table.weights, [0.5, 2])
    np.testing.assert_array_equal(table.groups, [7, 8])


@pytest.mark.parametrize("body", [b"0:1 2:3", b"9 0:1 2:3"])
def test_a_request_may_have_a_label_or_none(body: bytes) -> None:
    np.testing.assert_array_equal(libsvm.read(body, "x", labelled=False).dense(), [[1, 0, 3]])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"1 0:1 x:2", "line 2, pair 2: 'x' is not a whole number from 0 up"),
        (b"1 0:1 -1:2", "line 2, pair 2: '-1' is not a whole number from 0 up"),
        (b"1 0:1 2", "line 2, pair 2: '2' is not index:value"),
        (b"1 0:1 2:3:4", "line 2, pair 2: '3:4' is not a number"),
        (b"one 0:1", "line 2, label: 'one' is not a number"),
        (b"1 0:nan", "line 2, pair 1: nan is not a finite number of 32 bits"),
        (b"1:2 0:1", "line 2: some lines have a weight and some have none"),
    ],
)
def test_names_line_and_pair_of_what_is_wrong(line: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        libsvm.read(b"0 0:1\n" + line + b"\n", "train/x")
    assert str(caught.value) == "train/x, " + message
