"""Keeps ministack's state on disk: no answer leaves before what it tells is written."""

import asyncio
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

from local.emulator.state_file import Delta, NotWritten, Row, RowId, StateFile, StateRefused
from local.emulator.state_rows import Touched, Unreadable, read, write
from local.emulator.state_stores import ALL, Store, loaded, module_of, stores_of

# How long a change in the background may wait for its turn; one that is asked for does not.
_PAUSE = 0.1
# Every change is noted when it is made. Should one not be, it is found by looking at everything.
_LOOK_AT_ALL_SECONDS = 5.0
_EXTRA = "smp"
_logger = logging.getLogger("smp.state")


class Keeper:
    """The state of one emulator: taken up at the start, and written as it changes."""

    def __init__(self, folder: Path) -> None:
        """Open what a server before this one left.

        Raises:
            StateRefused: It is of another version, or damaged.
        """
        self._file = StateFile(folder)
        self._loop_thread = threading.get_ident()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stores: dict[str, Store] = {}
        self._modules: set[str] = set()
        self._module_count = 0
        self._dirty: dict[int, Touched] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._writing = False
        self._pending: dict[str, bytes] = {}
        # State that is not in a store of ministack's: how to get and to set it.
        self._extras: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {}
        self._extras_changed: set[str] = set()
        self._unwritable: set[str] = set()
        self._next_look = 0.0
        # Rows that changed unnoticed, for the tests.
        self.missed: deque[str] = deque(maxlen=100)
        self.failure = ""

    def also(
        self, name: str, save: Callable[[], Any], load: Callable[[Any], None]
    ) -> Callable[[], None]:
        """Keep one more value; call what is returned when it may have changed.

        `load` is given None for a value that was never written.
        """
        self._extras[name] = save, load
        return lambda: self._extras_changed.add(name)

    def content(self, name: str) -> bytes:
        """The content of a file that a record names."""
        pending = self._pending.get(name)
        return self._file.body(name) if pending is None else pending

    def restore(self) -> bool:
        """Put back what was written; False when there is nothing.

        Raises:
            StateRefused: A row is damaged or of a foreign kind.
        """
        try:
            rows = [*self._file.rows()]
            for name, group in groupby(rows, key=lambda found: found[0].store):
                self._restore_store(name, [*group])
        # Whatever a row makes of itself, or leads to, that is not as it was written.
        except Exception as error:
            raise StateRefused(
                f"The state in {self._file.folder} is damaged ({error}). Put back a copy, or give "
                "it up: Begin anew with smp down and then smp up."
            ) from error
        self._discover()
        return bool(rows)

    def _restore_store(self, name: str, rows: list[tuple[RowId, Row]]) -> None:
        if name == _EXTRA:
            for row_id, row in rows:
                if row_id.key in self._extras:
                    self._extras[row_id.key][1](read(row.value))
            return
        module_of(name)
        self._discover()
        store = self._stores.get(name)
        if store is None:
            raise Unreadable(f"there is no {name}")
        dict.clear(store.entries)
        # The rest of an entry comes before its parts.
        for row_id, row in rows:
            store.put_back(row_id, row, self._file)
            store.settled(row_id, row)

    def _discover(self) -> None:
        if len(sys.modules) == self._module_count:
            return
        self._module_count = len(sys.modules)
        for short, module, whole in loaded():
            if short in self._modules:
                continue
            if not whole:
                self._module_count = 0
                continue
            self._modules.add(short)
            for attribute in stores_of(short, module):
                name = f"{short}.{attribute}"
                self._stores[name] = Store(name, module, attribute, self._tell, self._loop_thread)

    def _tell(self, entries: Touched) -> None:
        self._dirty[id(entries)] = entries

    async def settle(self) -> None:
        """Return when all that has changed until now is written.

        Raises:
            NotWritten: It could not be, and has been taken back.
        """
        self._loop = asyncio.get_running_loop()
        if not self._writing:
            delta = self._collect()
            if not delta:
                return
            self._writing = True
            first = self._loop.create_future()
            task = self._loop.create_task(self._write_all(delta, [first]))
            task.add_done_callback(_log_failure)
            await first
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def settle_from_thread(self) -> None:
        """Do as `settle`, on a thread that is not the serving one."""
        elsewhere = threading.get_ident() != self._loop_thread
        if elsewhere and self._loop is not None and self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self.settle(), self._loop).result()

    async def _write_all(self, delta: Delta, waiters: "list[asyncio.Future[None]]") -> None:
        """Write for all who wait together, until nobody waits."""
        try:
            while True:
                failure = await self._write(delta) if delta else None
                for waiter in waiters:
                    if waiter.done():
                        continue
                    if failure is None:
                        waiter.set_result(None)
                    else:
                        waiter.set_exception(failure)
                waiters, self._waiters = self._waiters, []
                if not waiters:
                    return
                delta = self._collect()
        except BaseException as error:
            for waiter in [*waiters, *self._waiters]:
                if not waiter.done():
                    waiter.set_exception(NotWritten(str(error)))
            self._waiters = []
            raise
        finally:
            self._writing = False

    async def _write(self, delta: Delta) -> NotWritten | None:
        self._pending = delta.bodies
        try:
            await asyncio.to_thread(self._file.write, delta)
        except NotWritten as error:
            self._take_back(delta)
            if not self.failure:
                _logger.warning("The state cannot be written: %s", error)
            self.failure = str(error)
            return error
        finally:
            self._pending = {}
        self.failure = ""
        for row_id, row in delta.rows.items():
            if row_id.store != _EXTRA:
                self._stores[row_id.store].settled(row_id, row)
        return None

    def _take_back(self, delta: Delta) -> None:
        """Undo what could not be written, so that nobody sees what a crash would lose.

        What something in the background goes on changing is no refused call: it is tried again.
        """
        for holder, key, content in delta.taken:
            holder[key] = content
        # An entry comes before its parts.
        for row_id in sorted(delta.rows, key=lambda one: one.part):
            if row_id.store == _EXTRA:
                row = self._file.row(row_id)
                self._extras[row_id.key][1](None if row is None else read(row.value))
                continue
            store = self._stores[row_id.store]
            if store.held(row_id):
                store.again(row_id)
            else:
                store.put_back(row_id, self._file.row(row_id), self._file)

    def _collect(self) -> Delta:
        """Find all that has changed since it was written; nothing is served meanwhile."""
        self._discover()
        delta = Delta()
        # One by one out of the same dictionary, which other threads go on adding to.
        dirty = [self._dirty.popitem()[1] for _ in range(len(self._dirty))]
        for entries in dirty:
            store, key = entries.owner
            if store is None:
                continue
            touched, again = entries.take()
            if again:
                self._dirty[id(entries)] = entries
            self._collect_from(store, key, entries, touched, delta)
        for store in self._stores.values():
            if store.live:
                self._collect_from(store, ALL, store.entries, {*store.live}, delta)
        for name in [*self._extras_changed]:
            self._extras_changed.discard(name)
            delta.rows[RowId(_EXTRA, name)] = Row(write(self._extras[name][0]()))
        return delta

    def _collect_from(
        self, store: Store, key: Any, entries: Touched, touched: set[Any], delta: Delta
    ) -> None:
        try:
            if key is ALL:
                store.collect(touched, delta)
            else:
                store.collect_part(key, entries, touched, delta)
        except Exception:
            if store.name not in self._unwritable:
                _logger.exception("State of %s cannot be kept", store.name)
            self._unwritable.add(store.name)
            # Another thread may have been changing it at this moment.
            for one in touched:
                entries.touch(one)

    async def keep(self) -> None:
        """Write what changes in the background, for as long as the server runs."""
        while True:
            await asyncio.sleep(_PAUSE)
            try:
                if time.monotonic() > self._next_look:
                    await self._look_at_all()
                if (
                    self._dirty
                    or self._extras_changed
                    or any(store.live for store in self._stores.values())
                ):
                    await self.settle()
            except NotWritten:
                # Logged; tried again with the next call, or the next round.
                await asyncio.sleep(1)
            except Exception:
                _logger.exception("What changed in the background is not kept yet")
                await asyncio.sleep(1)

    async def _look_at_all(self) -> None:
        """Write every entry whose change nobody noted, too."""
        if self._writing:
            return
        began = time.monotonic()
        noted = self._collect()
        for store in self._stores.values():
            store.watch_again()
        found = self._collect()
        for row_id in found.rows.keys() - noted.rows.keys():
            # What another thread has touched is noted, and may have changed in between.
            noticed = row_id.store != _EXTRA and self._stores[row_id.store].held(row_id)
            if not noticed and not self._same(row_id, found.rows[row_id]):
                self.missed.append(f"{row_id.store} {row_id.key} {row_id.part}")
        taken = time.monotonic() - began
        self._next_look = time.monotonic() + max(_LOOK_AT_ALL_SECONDS, 200 * taken)
        both = Delta(
            {**noted.rows, **found.rows},
            {**noted.bodies, **found.bodies},
            [*noted.taken, *found.taken],
        )
        if both:
            self._writing = True
            await self._write_all(both, [])

    def _same(self, row_id: RowId, row: Row | None) -> bool:
        """Whether a row says what is written: of one value there may be several rows."""
        before = self._file.row(row_id)
        if before is None or row is None:
            return before is row
        return bool(read(before.value) == read(row.value)) and before.bodies == row.bodies

    def close(self) -> None:
        """Close the file; what was not written is lost."""
        self._file.close()


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()):
        _logger.error("The state cannot be kept", exc_info=error)
