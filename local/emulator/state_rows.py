"""Rows of state: dictionaries that tell what may have changed, and values as bytes and back."""

import copy
import io
import pickle
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

# How long to look at what another thread than the serving one was given: it may change it later.
WATCHED_SECONDS = 10.0
_PROTOCOL = 5
_MODULES = ("collections", "datetime", "decimal", "uuid")
_PACKAGES = ("ministack.", "moto.", "local.emulator.")
_BUILTINS = frozenset({"set", "frozenset", "bytearray", "complex", "range", "slice", "dict"})


class Unreadable(Exception):
    """A row does not hold what this version writes."""


class Elsewhere(str):
    """In place of a content: the name of the file that holds it."""

    __slots__ = ()


class Touched(defaultdict[Any, Any]):
    """A dictionary that remembers which of its values were handed out or replaced.

    Values change in place, so whoever has been given one may have changed it. `listing_changes`
    is false where whoever goes through all values leaves them as they are.
    """

    def __init__(
        self,
        content: dict[Any, Any],
        tell: Callable[["Touched"], None],
        loop_thread: int,
        *,
        listing_changes: bool = True,
    ) -> None:
        super().__init__(getattr(content, "default_factory", None), content)
        self._listing_changes = listing_changes
        # Filled by the serving thread alone; what others touch is watched.
        self._touched: set[Any] = set()
        self._watched: dict[Any, float] = {}
        self._tell = tell
        self._loop_thread = loop_thread
        # Whose entries these are.
        self.owner: tuple[Any, Any] = None, None
        self.touch_all()

    def touch(self, key: Any) -> None:
        """Note that the value of `key` may change."""
        if threading.get_ident() == self._loop_thread:
            if key in self._touched:
                return
            self._touched.add(key)
        else:
            self._watched[key] = time.monotonic() + WATCHED_SECONDS
        self._tell(self)

    def touch_all(self) -> None:
        """Note that every value may change."""
        for key in [*self]:
            self.touch(key)

    def take(self) -> tuple[set[Any], bool]:
        """Give the keys to look at, and whether some must be looked at again later."""
        touched, self._touched = self._touched, set()
        now = time.monotonic()
        # A copy is one step; a list of items is not: a collection of garbage among them lets other
        # threads in.
        for key, until in self._watched.copy().items():
            touched.add(key)
            if until < now:
                renewed = self._watched.pop(key, until)
                if renewed != until:
                    self._watched[key] = renewed
        return touched, bool(self._watched)

    def watches(self, key: Any) -> bool:
        """Whether another thread may go on changing the value."""
        return key in self._watched

    def peek(self, key: Any, default: Any = None) -> Any:
        """Give a value without noting it."""
        return super().get(key, default)

    def __getitem__(self, key: Any) -> Any:
        self.touch(key)
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.touch(key)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self.touch(key)

    def get(self, key: Any, default: Any = None) -> Any:
        """As of a dictionary."""
        if key in self:
            self.touch(key)
        return super().get(key, default)

    def pop(self, key: Any, *default: Any) -> Any:
        """As of a dictionary."""
        found = super().pop(key, *default)
        self.touch(key)
        return found

    def popitem(self) -> tuple[Any, Any]:
        """As of a dictionary."""
        key, value = super().popitem()
        self.touch(key)
        return key, value

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """As of a dictionary."""
        found = super().setdefault(key, default)
        self.touch(key)
        return found

    def update(self, *others: Any, **named: Any) -> None:
        """As of a dictionary."""
        for key, value in dict(*others, **named).items():
            self[key] = value

    def clear(self) -> None:
        """As of a dictionary."""
        self.touch_all()
        super().clear()

    def values(self) -> Any:
        """As of a dictionary, at this moment: other threads may add to it while they are read."""
        if self._listing_changes:
            self.touch_all()
        return [*super().values()]

    def items(self) -> Any:
        """As `values`."""
        if self._listing_changes:
            self.touch_all()
        return [*self._snapshot().items()]

    def plain(self) -> dict[Any, Any]:
        """Give a dictionary with the same values that notes nothing."""
        found = self._snapshot()
        return found if self.default_factory is None else defaultdict(self.default_factory, found)

    def copy(self) -> Any:
        """As of a dictionary."""
        self.touch_all()
        return self.plain()

    __copy__ = copy

    def _snapshot(self) -> dict[Any, Any]:
        # Of a defaultdict's own copy another `Touched` would come.
        return dict.copy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.plain(), memo)

    def __reduce__(self) -> Any:
        plain = self.plain()
        return plain.__reduce__() if isinstance(plain, defaultdict) else (dict, (plain,))


class _Writer(pickle.Pickler):
    """Writes what rows hold: data, and keys and locks in place of their objects."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, _LOCK):
            return threading.Lock, ()
        if isinstance(value, threading.Event):
            return threading.Event, ()
        if hasattr(value, "private_bytes"):
            return private_key, (_pem(value),)
        if type(value) is object:
            return no_value, ()
        return NotImplemented


class _Reader(pickle.Unpickler):
    """Reads what `_Writer` writes, and nothing that could run something else."""

    def find_class(self, module: str, name: str) -> Any:
        known = (
            module in _MODULES
            or module.startswith(_PACKAGES)
            or (module == "builtins" and name in _BUILTINS)
            or (module == "threading" and name == "Event")
            or (module == "_thread" and name == "allocate_lock")
        )
        if not known:
            raise Unreadable(f"it names {module}.{name}")
        return super().find_class(module, name)


_LOCK = type(threading.Lock())


def write(value: Any) -> bytes:
    """The value as bytes, as it is at this moment: no other thread runs meanwhile."""
    buffer = io.BytesIO()
    _Writer(buffer, _PROTOCOL).dump(value)
    return buffer.getvalue()


def read(row: bytes) -> Any:
    """The value that the bytes hold.

    Raises:
        Unreadable: They hold none, or one of a foreign kind.
    """
    try:
        return _Reader(io.BytesIO(row)).load()
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def private_key(pem: bytes) -> Any:
    """A private key of KMS, from what was kept of it."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(pem, password=None)


def no_value() -> object:
    """What CloudFormation has in place of a property that AWS::NoValue removed."""
    from ministack.services.cloudformation.engine import _NO_VALUE

    value: object = _NO_VALUE
    return value


def _pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem


def found(value: Any, path: tuple[str | None, ...]) -> Iterator[tuple[Any, Any]]:
    """Each place in `value` where `path` leads: what holds it and under which key.

    None in the path stands for every key.
    """
    if isinstance(value, dict):
        keys = [*dict.keys(value)] if path[0] is None else [path[0]]
    elif isinstance(value, list) and path[0] is None:
        keys = [*range(len(value))]
    else:
        return
    for key in keys:
        try:
            inner = value[key]
        except (KeyError, IndexError):
            continue
        if len(path) == 1:
            yield value, key
        else:
            yield from found(inner, path[1:])
