"""The index of faiss, made of arrays and taken apart into them.

faiss's own files are not read: its reader trusts what they say. An index of plain arrays is put
together again with the same neighbours.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from algorithms.toolkit.formats.table import FloatArray

FLAT, IVF_FLAT, IVF_PQ = "faiss.Flat", "faiss.IVFFlat", "faiss.IVFPQ"
_BITS = 8


def _metric(name: str) -> int:
    return int(faiss.METRIC_L2 if name == "L2" else faiss.METRIC_INNER_PRODUCT)


def normalised(rows: FloatArray) -> FloatArray:
    """Rows of length 1; one of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def trained(rows: FloatArray, kind: str, metric: str, lists: int, parts: int) -> dict[str, Any]:
    """The arrays of an index of these rows."""
    if kind == FLAT:
        return {"vectors": rows}
    index: Any
    coarse = _coarse(rows.shape[1], metric)
    if kind == IVF_FLAT:
        index = faiss.IndexIVFFlat(coarse, rows.shape[1], lists, _metric(metric))
        index.cp.spherical = metric != "L2"
        _quiet(index)
        index.train(rows)
        return {"vectors": rows, "centroids": coarse.reconstruct_n(0, lists)}
    bits = min(_BITS, len(rows).bit_length() - 1)
    index = faiss.IndexIVFPQ(coarse, rows.shape[1], lists, parts, bits)
    _quiet(index)
    index.pq.cp.min_points_per_centroid = 1
    index.train(rows)
    _, places = coarse.search(rows, 1)
    places = places.ravel()
    residuals = rows - coarse.reconstruct_n(0, lists)[places]
    return {
        "centroids": coarse.reconstruct_n(0, lists),
        "parts": faiss.vector_to_array(index.pq.centroids).reshape(parts, 1 << bits, -1),
        "lists": places.astype(np.int32),
        "codes": index.pq.compute_codes(np.ascontiguousarray(residuals)),
    }


def built(kind: str, metric: str, probes: int, arrays: dict[str, Any]) -> Any:
    """The index that `trained` took apart."""
    index: Any
    if kind == FLAT:
        vectors = arrays["vectors"]
        index = faiss.IndexFlat(vectors.shape[1], _metric(metric))
        index.add(vectors)
        return index
    centroids = arrays["centroids"]
    lists, width = centroids.shape
    coarse = _coarse(width, metric)
    coarse.add(centroids)
    if kind == IVF_FLAT:
        index = faiss.IndexIVFFlat(coarse, width, lists, _metric(metric))
        index.is_trained = True
        index.add(arrays["vectors"])
    else:
        books = arrays["parts"]
        index = faiss.IndexIVFPQ(coarse, width, lists, len(books), books.shape[1].bit_length() - 1)
        faiss.copy_array_to_vector(np.ascontiguousarray(books).ravel(), index.pq.centroids)
        index.is_trained = True
        _fill(index, arrays["lists"], arrays["codes"])
    index.nprobe = min(probes, lists)
    return index


def search(index: Any, rows: FloatArray, k: int) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """The distances of the nearest rows, ascending, and which they are."""
    distances, found = index.search(rows, k)
    lacking = (found < 0).any(axis=1)
    if lacking.any():
        # The cells that were looked into hold fewer than k: look into all.
        everywhere: Any = faiss.SearchParametersIVF()
        everywhere.nprobe = index.nlist
        distances[lacking], found[lacking] = index.search(rows[lacking], k, params=everywhere)
    return distances, found


def _coarse(width: int, metric: str) -> Any:
    return faiss.IndexFlat(width, _metric(metric))


def _quiet(index: Any) -> None:
    """Keep faiss from warning of few rows a cell, which the log would show as an error."""
    index.cp.min_points_per_centroid = 1


def _fill(index: Any, lists: Any, codes: Any) -> None:
    for place in np.unique(lists):
        ids = np.flatnonzero(lists == place).astype(np.int64)
        entries = np.ascontiguousarray(codes[ids])
        index.invlists.add_entries(
            int(place), len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(entries)
        )
    index.ntotal = len(lists)
    index.precompute_table()
