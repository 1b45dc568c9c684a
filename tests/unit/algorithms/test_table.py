import gc
import weakref

import numpy as np
import pytest
from scipy.sparse import csr_matrix, vstack

from algorithms.toolkit.formats.table import FormatError, Table, join


def dense(first: int, rows: int, file: str) -> Table:
    numbers = np.arange(first, first + 3 * rows, dtype=np.float32).reshape(rows, 3)
    return Table(numbers, numbers[:, 0].copy(), files=((file, rows),))


def test_tables_are_joined_in_their_order_with_their_places() -> None:
    joined = join([dense(0, 2, "a"), dense(6, 1, "b"), dense(9, 4, "b")])
    assert joined.features.tolist() == np.arange(21).reshape(7, 3).tolist()
    assert joined.labels is not None
    assert joined.labels.tolist() == [0, 3, 6, 9, 12, 15, 18]
    assert joined.files == (("a", 2), ("b", 5))
    assert joined.place(4) == "b, record 3"


def test_sparse_tables_are_as_wide_as_the_widest() -> None:
    random = np.random.default_rng(0)
    parts = [
        csr_matrix(random.integers(0, 3, (rows, width)).astype(np.float32))
        for rows, width in ((3, 5), (1, 2), (4, 7))
    ]
    joined = join([Table(part, files=(("a", part.shape[0]),)) for part in parts])
    for part in parts:
        part.resize(part.shape[0], 7)
    assert not isinstance(joined.features, np.ndarray)
    assert (joined.features != vstack(parts)).nnz == 0
    assert joined.features.shape == (8, 7)
    assert joined.features.dtype == np.float32


@pytest.mark.parametrize("sparse", [False, True])
def test_what_was_joined_is_held_once(sparse: bool) -> None:
    numbers = [np.ones((rows, 2), dtype=np.float32) for rows in (2, 3)]
    tables = [Table(csr_matrix(each) if sparse else each) for each in numbers]
    watched = [weakref.ref(table.features) for table in tables]
    del numbers
    joined = join(tables)
    gc.collect()
    assert tables == []
    assert [reference() for reference in watched] == [None, None]
    assert joined.rows == 5


def test_records_of_another_width_or_kind_are_refused_by_name() -> None:
    other = Table(np.ones((1, 2), dtype=np.float32), files=(("b", 1),))
    narrow = Table(np.ones((1, 3), dtype=np.float32), files=(("a", 1),))
    with pytest.raises(FormatError, match="b, record 1 has 2 features, a, record 1 has 3"):
        join([narrow, other])
    with pytest.raises(FormatError, match="b, record 1 is sparse, a, record 1 is not"):
        join([narrow, Table(csr_matrix(np.ones((1, 3))), files=(("b", 1),))])
