import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_matrix

from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.record import record_class
from algorithms.toolkit.formats.table import FormatError, Table

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
matrices = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=floats
)


@given(matrices, st.booleans(), st.data())
def test_dense_records_come_back_as_they_went(
    numbers: np.ndarray, labelled: bool, data: st.DataObject
) -> None:
    labels = data.draw(hnp.arrays(np.float32, len(numbers), elements=floats)) if labelled else None
    table = recordio.read(recordio.write(Table(numbers, labels)), "x")
    np.testing.assert_array_equal(table.features, numbers)
    if labels is None:
        assert table.labels is None
    else:
        np.testing.assert_array_equal(table.labels, labels)


@given(matrices)
def test_sparse_records_come_back_as_they_went(numbers: np.ndarray) -> None:
    sparse = csr_matrix(np.where(numbers > 0, numbers, 0))
    # A record with every value stored, or of width 1 and none, is still sparse by its shape.
    table = recordio.read(recordio.write(Table(sparse, np.zeros(len(numbers), "f4"))), "x")
    np.testing.assert_array_equal(table.dense(), sparse.toarray())
    assert table.labels is not None
    assert len(table.labels) == len(numbers)


@given(matrices, st.integers(min_value=1))
def test_a_cut_at_any_byte_is_noticed_or_ends_a_record(numbers: np.ndarray, cut: int) -> None:
    body = recordio.write(Table(numbers))
    cut = cut % len(body)
    try:
        table = recordio.read(body[:cut], "x")
    except FormatError as error:
        assert "truncated" in str(error) or "is empty" in str(error)
    else:
        np.testing.assert_array_equal(table.features, numbers[: table.rows])
        assert cut - len(recordio.write(Table(numbers[: table.rows]))) in range(-3, 1)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_words(body: bytes) -> None:
    header = struct.pack("<II", recordio.MAGIC, len(body))
    for text in (body, header + body + bytes(-len(body) % 4)):
        try:
            recordio.read(text, "x")
        except FormatError as error:
            assert str(error).startswith("x")


def test_a_truncated_file_is_named_with_record_and_byte() -> None:
    one = recordio.write(Table(np.ones((1, 5), "f4"), np.ones(1, "f4")))
    body = one * 3
    with pytest.raises(FormatError) as caught:
        recordio.read(body[:-9], "train/a.pbr")
    assert str(caught.value).startswith(f"train/a.pbr, record 3, byte {2 * len(one)}: truncated")


def test_other_bytes_are_not_taken_for_records() -> None:
    with pytest.raises(FormatError, match="record 1, byte 0: not RecordIO: found 0x"):
        recordio.read(b"1,2,3,4\n5,6,7,8\n", "x")
    with pytest.raises(FormatError, match="record 1: not a protobuf Record"):
        recordio.read(recordio.frame(b"\xff" * 8), "x")


def record(kind: str, values: list[float], **more: list[int]) -> bytes:
    message = record_class()()
    tensor = getattr(message.features["values"], kind)
    tensor.values.extend(values)
    for name, numbers in more.items():
        getattr(tensor, name).extend(numbers)
    return recordio.frame(message.SerializeToString())


@pytest.mark.parametrize("kind", ["float32_tensor", "float64_tensor", "int32_tensor"])
def test_reads_tensors_of_every_type(kind: str) -> None:
    body = record(kind, [1, 2, 3]) + record(kind, [4, 5, 6])
    np.testing.assert_array_equal(recordio.read(body, "x").features, [[1, 2, 3], [4, 5, 6]])


def test_a_sparse_record_without_values_is_a_row_of_nothing() -> None:
    body = record("float32_tensor", [7], keys=[2], shape=[4]) + record(
        "float32_tensor", [], shape=[4]
    )
    table = recordio.read(body, "x")
    assert table.sparse
    np.testing.assert_array_equal(table.dense(), [[0, 0, 7, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (record("float32_tensor", [1, 2]), "record 2: 2 features, where the records before have 3"),
        (
            record("float32_tensor", [1], keys=[0], shape=[3]),
            "record 2: sparse, unlike the records before",
        ),
        (record("float32_tensor", [1], keys=[3], shape=[3]), "key 3 is outside of the shape"),
        (record("float32_tensor", [1, 2], keys=[1, 1], shape=[3]), "key 1 is there twice"),
        (record("float32_tensor", [1, 2], keys=[1], shape=[3]), "1 keys for 2 values"),
        (recordio.frame(record_class()().SerializeToString()), "has no feature 'values'"),
    ],
)
def test_names_the_record_that_is_wrong(second: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        recordio.read(record("float32_tensor", [1, 2, 3]) + second, "x")


def test_the_message_is_the_one_that_other_programs_write() -> None:
    # Written by hand from the published message: field 1, a map entry of "values" and a
    # Value with field 2, a tensor with field 1, two packed floats; field 2 the same for the label.
    tensor = b"\x0a\x08" + struct.pack("<2f", 1.5, -2)
    value = b"\x12" + bytes([len(tensor)]) + tensor
    entry = b"\x0a\x06values\x12" + bytes([len(value)]) + value
    label = b"\x0a\x06values\x12\x08\x12\x06\x0a\x04" + struct.pack("<f", 9)
    message = b"\x0a" + bytes([len(entry)]) + entry + b"\x12" + bytes([len(label)]) + label
    table = recordio.read(recordio.frame(message), "x")
    np.testing.assert_array_equal(table.features, [[1.5, -2]])
    np.testing.assert_array_equal(table.labels, [9])
