"""Which of ministack's stores are kept, and how their entries become rows."""

import ast
import functools
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from local.emulator.state_file import Delta, Row, RowId, StateFile, new_body_name
from local.emulator.state_rows import Elsewhere, Touched, Unreadable, found, read, write

Path = tuple[str | None, ...]
_PACKAGE = "ministack.services."
# Contents below this size stay in their row: a file of their own would cost more.
_SMALL = 16_384
# Under this key a record names the file of its content, which is not in memory.
CONTENT = "_smp_content"
# Under this key a stack's record holds what is being done with it.
OPERATION = "_smp_operation"


@dataclass(frozen=True)
class Kind:
    """How the entries of one store are written.

    `part` names the inner dictionary whose entries are rows of their own, since it grows large;
    `bodies` leads to long contents in an entry or, where there is one, in a part. `on_disk`:
    these are read from their file when asked for, and are not in memory. `derived` is made anew
    by ministack. `mark` tells cheaply that an entry which only grows is as it was. `live` says that
    something holds the entry and goes on changing it. `listing_changes` is false where whoever goes
    through all entries changes none: else each alarm that is evaluated would touch every metric.
    """

    part: str = ""
    bodies: tuple[Path, ...] = ()
    on_disk: bool = False
    derived: str = ""
    mark: Callable[[Any], object] | None = None
    live: Callable[[Any], bool] | None = None
    listing_changes: bool = True


def _in_progress(stack: Any) -> bool:
    return OPERATION in stack or str(stack.get("StackStatus", "")).endswith("_IN_PROGRESS")


def _executing(change_set: Any) -> bool:
    return bool(change_set.get("ExecutionStatus") == "EXECUTE_IN_PROGRESS")


def _running(execution: Any) -> bool:
    return bool(execution.get("status") == "RUNNING")


def _points(points: Any) -> object:
    return (len(points), repr(points[0]), repr(points[-1])) if points else ()


def _events(stream: Any) -> object:
    events = stream.get("events") or []
    rest = {**stream, "events": None}
    return len(events), repr(events[-1:]), repr(rest)


KINDS = {
    "s3._buckets": Kind(part="objects", bodies=(("body",),), on_disk=True),
    "s3._object_versions": Kind(bodies=((None, "data"),), on_disk=True),
    "s3._multipart_uploads": Kind(part="parts", bodies=(("body",),)),
    "lambda_svc._functions": Kind(bodies=(("code_zip",), ("versions", None, "code_zip"))),
    "ecr._layer_blobs": Kind(bodies=((None,),)),
    "dynamodb._tables": Kind(part="items", derived="_index_members"),
    "cloudwatch_logs._log_groups": Kind(part="streams", mark=_events),
    "cloudwatch._metrics": Kind(mark=_points, listing_changes=False),
    "cloudformation._stacks": Kind(live=_in_progress),
    "cloudformation._change_sets": Kind(live=_executing),
    "stepfunctions._executions": Kind(live=_running),
    "stepfunctions._map_runs": Kind(live=_running),
}
_PLAIN = Kind()
# In place of an entry's key: the entries themselves, and no parts of one.
ALL = object()
# What belongs to the process and not to the account.
NOT_KEPT = frozenset(
    {
        # Holds the events that threads of this process wait for.
        "stepfunctions._task_tokens",
        "stepfunctions._activity_tasks",
        # A client begins an upload to the registry anew, as against any registry.
        "ecr._uploads",
        # Records of every event and call that nothing asks for by an API but to look back.
        "eventbridge._events_log",
        "cloudtrail._events",
        "lambda_svc._esm_backoff_until",
    }
)
# Stores that are plain dictionaries of their module.
PLAIN_STORES = {
    "sts": ("_sessions",),
    "eventbridge": ("_rule_last_fired",),
    "scheduler": ("_schedule_last_fired",),
}


class Store:
    """One store of ministack: its entries, as they are now and as they were written last."""

    def __init__(
        self,
        name: str,
        module: Any,
        attribute: str,
        tell: Callable[[Touched], None],
        loop_thread: int,
    ) -> None:
        self.name = name
        self.kind = KINDS.get(name, _PLAIN)
        self._module = module
        self._attribute = attribute
        self._tell = tell
        self._loop_thread = loop_thread
        # Entries that something goes on changing.
        self.live: set[Any] = set()
        # By entry and part: the digest of what was written last, and the marks of what grows.
        self._written: dict[str, dict[str, bytes]] = {}
        self._marks: dict[tuple[str, str], object] = {}
        # Contents that are in memory and in a file: of one object, its file.
        self._copies: dict[tuple[str, str, int], tuple[bytes, str]] = {}
        self.entries = self.watch(self._container())

    def _container(self) -> dict[Any, Any]:
        held = getattr(self._module, self._attribute)
        content: dict[Any, Any] = held._data if hasattr(held, "_data") else held
        return content

    def watch(self, content: dict[Any, Any]) -> Touched:
        """Put a dictionary that tells of its changes in place of the store's own."""
        entries = Touched(
            content,
            self._tell,
            self._loop_thread,
            listing_changes=self.kind.listing_changes,
        )
        entries.owner = self, ALL
        held = getattr(self._module, self._attribute)
        if hasattr(held, "_data"):
            held._data = entries
        else:
            setattr(self._module, self._attribute, entries)
        return entries

    def watch_again(self) -> None:
        """Look at every entry, of whichever dictionary the store has now."""
        content = self._container()
        if content is not self.entries:
            self.entries = self.watch(content)
        self.entries.touch_all()
        if self.kind.part:
            for entry in [*dict.values(self.entries)]:
                parts = entry.get(self.kind.part)
                if isinstance(parts, Touched):
                    parts.touch_all()

    def held(self, row_id: RowId) -> bool:
        """Whether something in the background goes on changing the entry."""
        key = ast.literal_eval(row_id.key)
        return key in self.live or self.entries.watches(key)

    def again(self, row_id: RowId) -> None:
        """Look at an entry once more, since it could not be written."""
        self._marks.pop((row_id.key, row_id.part), None)
        key = ast.literal_eval(row_id.key)
        self.entries.touch(key)
        entry = self.entries.peek(key)
        if row_id.part and isinstance(entry, dict):
            parts = entry.get(self.kind.part)
            if isinstance(parts, Touched):
                parts.touch(ast.literal_eval(row_id.part))

    def collect(self, keys: set[Any], delta: Delta) -> None:
        """Add to the delta what has changed of these entries."""
        for key in keys:
            text = repr(key)
            value = self.entries.peek(key, self)
            if value is self:
                self.live.discard(key)
                for part in self._written.get(text, {}):
                    self._gone(text, part, delta)
                continue
            if self.kind.live is not None:
                (self.live.add if self.kind.live(value) else self.live.discard)(key)
            if self.kind.part and isinstance(value, dict):
                self._collect_parts(text, key, value, delta)
                value = {
                    name: inner
                    for name, inner in [*dict.items(value)]
                    if name not in (self.kind.part, self.kind.derived)
                }
                self._changed(text, "", value, delta, bodies=())
            else:
                self._changed(text, "", value, delta, bodies=self.kind.bodies)

    def _collect_parts(self, text: str, key: Any, value: dict[Any, Any], delta: Delta) -> None:
        parts = value.get(self.kind.part)
        if not isinstance(parts, dict):
            return
        if not isinstance(parts, Touched):
            parts = value[self.kind.part] = Touched(parts, self._tell, self._loop_thread)
            # Another dictionary than before: what it lacks is gone.
            for part in self._written.get(text, {}).keys() - {repr(one) for one in [*parts]} - {""}:
                self._gone(text, part, delta)
        parts.owner = self, key
        self.collect_part(key, parts, parts.take()[0], delta)

    def collect_part(self, key: Any, parts: Touched, touched: set[Any], delta: Delta) -> None:
        """Add to the delta what has changed of these parts of an entry."""
        text = repr(key)
        entry = self.entries.peek(key)
        if not isinstance(entry, dict) or entry.get(self.kind.part) is not parts:
            return
        for one in touched:
            part = repr(one)
            value = parts.peek(one, self)
            if value is self:
                if part in self._written.get(text, {}):
                    self._gone(text, part, delta)
            else:
                self._changed(text, part, value, delta, bodies=self.kind.bodies)

    def _gone(self, text: str, part: str, delta: Delta) -> None:
        delta.rows[RowId(self.name, text, part)] = None

    def _changed(
        self, text: str, part: str, value: Any, delta: Delta, bodies: tuple[Path, ...]
    ) -> None:
        if self.kind.mark is not None and (part or not self.kind.part):
            mark = self.kind.mark(value)
            if self._marks.get((text, part)) == mark:
                return
            self._marks[text, part] = mark
        row = self._row(text, part, value, delta, bodies)
        if self._written.get(text, {}).get(part) != row.digest:
            delta.rows[RowId(self.name, text, part)] = row

    def _row(self, text: str, part: str, value: Any, delta: Delta, bodies: tuple[Path, ...]) -> Row:
        if not bodies:
            return Row(write(value))
        names = []
        if self.kind.on_disk:
            for path in bodies:
                for holder, key in found(value, path):
                    content = holder[key]
                    if isinstance(content, bytes) and len(content) > _SMALL:
                        holder[CONTENT] = _file_of(content, delta)
                        holder[key] = None
                        delta.taken.append((holder, key, content))
                    if CONTENT in holder:
                        names.append(holder[CONTENT])
            return Row(write(value), tuple(names))
        for path in bodies:
            for holder, key in found(value, path):
                content = holder[key]
                if isinstance(content, bytes) and len(content) > _SMALL:
                    names.append(self._copy(text, part, len(names), content, delta))
        shortened = _shortened(value, bodies, iter(names)) if names else value
        return Row(write(shortened), tuple(names))

    def _copy(self, text: str, part: str, number: int, content: bytes, delta: Delta) -> str:
        known = self._copies.get((text, part, number))
        if known is None or known[0] is not content:
            known = content, _file_of(content, delta)
            self._copies[text, part, number] = known
        return known[1]

    def settled(self, row_id: RowId, row: Row | None) -> None:
        """Note that a row has been written."""
        parts = self._written.setdefault(row_id.key, {})
        if row is not None:
            parts[row_id.part] = row.digest
            return
        parts.pop(row_id.part, None)
        self._marks.pop((row_id.key, row_id.part), None)
        if not parts:
            del self._written[row_id.key]

    def put_back(self, row_id: RowId, row: Row | None, file: StateFile) -> None:
        """Make an entry, or a part of one, what the row says; None removes it."""
        key = ast.literal_eval(row_id.key)
        self._marks.pop((row_id.key, row_id.part), None)
        if not row_id.part:
            if row is None:
                dict.pop(self.entries, key, None)
                return
            value = self._value(row_id, row, file, () if self.kind.part else self.kind.bodies)
            entry = self.entries.peek(key)
            if self.kind.part and isinstance(value, dict):
                parts = entry.get(self.kind.part) if isinstance(entry, dict) else None
                value[self.kind.part] = parts if parts is not None else self._no_parts()
            dict.__setitem__(self.entries, key, value)
            return
        entry = self.entries.peek(key)
        if not isinstance(entry, dict):
            return
        entry.pop(self.kind.derived, None)
        parts = entry.setdefault(self.kind.part, self._no_parts())
        part = ast.literal_eval(row_id.part)
        if row is None:
            dict.pop(parts, part, None)
        else:
            dict.__setitem__(parts, part, self._value(row_id, row, file, self.kind.bodies))

    def _no_parts(self) -> dict[Any, Any]:
        if self.name == "dynamodb._tables":
            from collections import defaultdict

            return defaultdict(dict)
        return {}

    def _value(self, row_id: RowId, row: Row, file: StateFile, bodies: tuple[Path, ...]) -> Any:
        value = read(row.value)
        if self.kind.on_disk:
            return value
        count = 0
        for path in bodies:
            for holder, key in found(value, path):
                name = holder[key]
                if isinstance(name, Elsewhere):
                    holder[key] = content = file.body(name)
                    self._copies[row_id.key, row_id.part, count] = content, str(name)
                    count += 1
        return value


def _file_of(content: bytes, delta: Delta) -> str:
    for name, other in delta.bodies.items():
        # An object and its newest version share their content.
        if other is content:
            return name
    name = new_body_name()
    delta.bodies[name] = content
    return name


def _shortened(value: Any, paths: tuple[Path, ...], names: Iterator[str]) -> Any:
    """The value with names in place of long contents, which the value itself keeps."""
    copied: dict[int, Any] = {}

    def shorten(inner: Any, path: Path) -> Any:
        if not path:
            long = isinstance(inner, bytes) and len(inner) > _SMALL
            return Elsewhere(next(names)) if long else inner
        if not isinstance(inner, dict):
            return inner
        if id(inner) not in copied:
            copied[id(inner)] = {**inner}
        copy = copied[id(inner)]
        for key in [*copy] if path[0] is None else [path[0]]:
            if key in copy:
                copy[key] = shorten(copy[key], path[1:])
        return copy

    for path in paths:
        value = shorten(value, path)
    return value


def loaded() -> Iterator[tuple[str, Any, bool]]:
    """Each service of ministack's that is loaded: its name and module, and whether it is whole.

    One that another thread is importing may lack its stores yet.
    """
    # Other threads import meanwhile; a copy is one step, which they cannot come between.
    for path, module in sys.modules.copy().items():
        short = path.removeprefix(_PACKAGE)
        if short != path and module is not None:
            spec = getattr(module, "__spec__", None)
            yield short, module, not getattr(spec, "_initializing", False)


def stores_of(short: str, module: Any) -> Iterator[str]:
    """The attributes of a service's module that are stores to be kept."""
    from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

    for attribute, held in vars(module).copy().items():
        own = attribute in PLAIN_STORES.get(short, ()) or isinstance(
            held, AccountRegionScopedDict | AccountScopedDict
        )
        if own and f"{short}.{attribute}" not in NOT_KEPT:
            yield attribute


def module_of(name: str) -> Any:
    """Import the module of a store.

    Raises:
        Unreadable: There is none of that name.
    """
    short = name.rpartition(".")[0]
    # Of exactly these: a name from a row imports nothing else.
    if short not in _services():
        raise Unreadable(f"there is no service {short[:80]}")
    return importlib.import_module(_PACKAGE + short)


@functools.cache
def _services() -> frozenset[str]:
    import ministack.services

    return frozenset(one.name for one in pkgutil.iter_modules(ministack.services.__path__))
