import numpy as np
import pytest

from algorithms.toolkit.formats import instances
from algorithms.toolkit.formats.table import FormatError

SHORT = b'{"features": [1.5, 16, 0, 23]}'
LONG = b'{"data": {"features": {"values": [1.5, 16, 0, 23]}}}'
SPARSE = b'{"data": {"features": {"keys": [0, 1, 3], "shape": [4], "values": [1.5, 16, 23]}}}'
ROW = [1.5, 16, 0, 23]


@pytest.mark.parametrize("form", [SHORT, LONG, SPARSE])
def test_reads_every_form_of_an_instance(form: bytes) -> None:
    body = b'{"instances": [' + form + b"," + SHORT + b"]}"
    np.testing.assert_array_equal(instances.read_json(body, "x").features, [ROW, ROW])


def test_reads_one_instance_a_line() -> None:
    table = instances.read_jsonlines(SHORT + b"\n" + LONG + b"\n\n" + SPARSE, "x")
    np.testing.assert_array_equal(table.features, [ROW] * 3)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[1, 2]", 'must be {"instances"'),
        (b"{", "not JSON"),
        (b'{"instances": []}', "holds no instance"),
        (b'{"instances": [{"values": [1]}]}', "instance 1: must be"),
        (b'{"instances": [{"features": ["1"]}]}', "value 1: '1' is not a number"),
        (b'{"instances": [{"features": [true]}]}', "value 1: True is not a number"),
        (b'{"instances": [{"features": [null]}]}', "value 1: None is not a number"),
        (
            b'{"instances": [{"features": [1, 2]}, {"features": [1]}]}',
            "instance 2: 1 values, where those before have 2",
        ),
        (
            b'{"instances": [{"data": {"features": {"keys": [9], "shape": [4], "values": [1]}}}]}',
            "key 9 is outside of the shape",
        ),
        (
            b'{"instances": [{"data": {"features": {"keys": [0], "values": [1]}}}]}',
            "needs a shape of one dimension",
        ),
        (
            b'{"instances": [{"data": {"features": '
            b'{"keys": [0], "shape": [99999999999], "values": [1]}}}]}',
            "wider than any model",
        ),
    ],
)
def test_says_what_is_wrong_and_where(body: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        instances.read_json(body, "payload")
    assert message in str(caught.value)
