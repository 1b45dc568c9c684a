"""Rows of state: dictionaries that tell what may have changed, and values as bytes and back."""

import copy
import datetime
import decimal
import io
import pickle
import threading
import time
import uuid
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

# How long to look at what another thread than the serving one was given: it may change it later.
WATCHED_SECONDS = 10.0
_PROTOCOL = 5


class Unreadable(Exception):
    """A row does not hold what this version writes."""


class Unwritable(Exception):
    """A value holds what no row may hold."""


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


def new_lock() -> Any:
    """In place of a lock, one that nobody holds."""
    return threading.Lock()


def new_event() -> threading.Event:
    """In place of an event, one that has not happened."""
    return threading.Event()


def private_key(pem: bytes) -> Any:
    """A private key of KMS, from what was kept of it."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(pem, password=None)


def no_value() -> object:
    """What CloudFormation has in place of a property that AWS::NoValue removed."""
    from ministack.services.cloudformation.engine import _NO_VALUE

    value: object = _NO_VALUE
    return value


def plain(value: Any) -> Any:
    """The value of a class of ministack's own, as the plain one that it is."""
    return value


class _Made:
    """Makes a value of one kind that rows may hold; it cannot be changed by what a row says."""

    __slots__ = ("_make", "kind")
    _make: Callable[..., Any]
    kind: Any

    def __init__(self, make: Callable[..., Any], kind: Any = None) -> None:
        object.__setattr__(self, "_make", make)
        object.__setattr__(self, "kind", kind or make)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)

    def __call__(self, *given: Any) -> Any:
        return self._make(*given)


def _default(factory: Any = None, *content: Any) -> defaultdict[Any, Any]:
    return defaultdict(factory.kind if isinstance(factory, _Made) else factory, *content)


# All that rows may hold beside numbers, texts, bytes, lists, tuples, dictionaries and sets: the
# name that a row gives, and what makes the value. Nothing is imported by what a row says.
_KNOWN: dict[tuple[str, str], _Made] = {
    ("builtins", "dict"): _Made(dict),
    ("builtins", "list"): _Made(list),
    ("builtins", "set"): _Made(set),
    ("builtins", "int"): _Made(int),
    ("collections", "defaultdict"): _Made(_default, defaultdict),
    ("collections", "OrderedDict"): _Made(OrderedDict),
    ("collections", "deque"): _Made(deque),
    ("datetime", "datetime"): _Made(datetime.datetime),
    ("datetime", "date"): _Made(datetime.date),
    ("datetime", "time"): _Made(datetime.time),
    ("datetime", "timedelta"): _Made(datetime.timedelta),
    ("datetime", "timezone"): _Made(datetime.timezone),
    ("decimal", "Decimal"): _Made(decimal.Decimal),
    ("uuid", "UUID"): _Made(uuid.UUID),
    (__name__, "Elsewhere"): _Made(Elsewhere),
    **{(__name__, one.__name__): _Made(one) for one in (new_lock, new_event)},
    **{(__name__, one.__name__): _Made(one) for one in (private_key, no_value, plain)},
}
_KINDS = frozenset(id(made.kind) for made in _KNOWN.values())
# A value of a class of ministack's own that is one of these becomes one.
_BASES = (str, bytes, bool, int, float, dict, list, tuple, set, frozenset)


class _Writer(pickle.Pickler):
    """Writes what rows hold: data, and keys and locks in place of their objects.

    What `_Reader` would not read is not written, either.
    """

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, _LOCK):
            return new_lock, ()
        if isinstance(value, threading.Event):
            return new_event, ()
        if hasattr(value, "private_bytes"):
            return private_key, (_pem(value),)
        if type(value) is object:
            return no_value, ()
        if type(value) is Elsewhere:
            return Elsewhere, (str(value),)
        if type(value) is uuid.UUID:
            return uuid.UUID, (value.hex,)
        known = id(value) in _KINDS or id(type(value)) in _KINDS
        if not known and not isinstance(value, Touched):
            for base in _BASES:
                if isinstance(value, base):
                    return plain, (_base_value(value, base),)
            kind = value if isinstance(value, type) else type(value)
            raise Unwritable(f"{kind.__module__}.{kind.__qualname__} is no kind of a row's")
        return NotImplemented


class _Reader(pickle.Unpickler):
    """Reads what `_Writer` writes, and nothing that could run something else."""

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module, name))
        if known is None:
            raise Unreadable(f"it names {module}.{name}"[:200])
        return known


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


def _base_value(value: Any, base: Any) -> Any:
    return base.__str__(value) if base is str else base(value)


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
