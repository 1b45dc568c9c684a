"""The pickles that AWS's images of XGBoost up to 1.2 wrote: read for their bytes, and never run.

Such a file holds one Booster: the model as the library writes it, and a few plain values. What
names anything else is refused, and of what it names nothing is imported or called.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import Any

from algorithms.toolkit.errors import CustomerError

CONVERSION = (
    "Load it where you trust it, with the release that wrote it, and store it with "
    "Booster.save_model('xgboost-model.json')"
)


@dataclass(frozen=True)
class Pickled:
    """What a pickled Booster holds.

    Args:
        model: the model, in a form of the library's own.
        rounds: how many of its rounds count, where training stopped early; None for all.
    """

    model: bytes
    rounds: int | None


class _Booster:
    """Takes what would become the attributes of a Booster."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _bytes(text: Any = b"", encoding: Any = "latin-1") -> bytes:
    """What bytearray and _codecs.encode make of their arguments in such a file."""
    if isinstance(text, bytes | bytearray):
        return bytes(text)
    if isinstance(text, str) and encoding in {"latin-1", "latin1"}:
        return text.encode("latin-1")
    raise pickle.UnpicklingError("bytes of an unknown kind")


def _rebuilt(kind: Any, base: Any, state: Any) -> _Booster:
    """What copyreg makes for the first protocols of a pickle."""
    if kind is not _Booster or base is not object or state is not None:
        raise pickle.UnpicklingError("an object that is no Booster")
    return _Booster()


# All that such a file may name; Python 2 wrote some of these names in its own spelling.
_KNOWN: dict[tuple[str, str], Any] = {
    ("xgboost.core", "Booster"): _Booster,
    ("builtins", "bytearray"): _bytes,
    ("__builtin__", "bytearray"): _bytes,
    ("builtins", "object"): object,
    ("__builtin__", "object"): object,
    ("copyreg", "_reconstructor"): _rebuilt,
    ("copy_reg", "_reconstructor"): _rebuilt,
    ("_codecs", "encode"): _bytes,
}


class _Reader(pickle.Unpickler):
    """An unpickler that knows the parts of a Booster by name and looks nothing up."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name in the file."""
        found = _KNOWN.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return found


def is_pickle(body: bytes) -> bool:
    """Whether a file begins as pickles do: protocols 2 to 5, or 0 and 1 with a class."""
    return (body[:1] == b"\x80" and body[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")) or (
        body.startswith((b"ccopy_reg\n", b"ccopyreg\n", b"cxgboost"))
    )


def contents(body: bytes, name: str) -> Pickled:
    """The model of a pickled Booster.

    Raises:
        CustomerError: The file holds something else; tells how to convert it.
    """
    try:
        found = _Reader(io.BytesIO(body), encoding="latin-1").load()
    except Exception as error:
        raise CustomerError(
            f"{name} is a pickle that is not a Booster of XGBoost alone, and is not run: {error}. "
            f"{CONVERSION}"
        ) from None
    state = found.state if isinstance(found, _Booster) else None
    model = state.get("handle") if isinstance(state, dict) else None
    if not isinstance(state, dict) or not isinstance(model, bytes | bytearray) or not model:
        raise CustomerError(f"{name} is a pickle that holds no model of XGBoost. {CONVERSION}")
    last = state.get("best_iteration")
    return Pickled(bytes(model), last + 1 if type(last) is int and last >= 0 else None)
