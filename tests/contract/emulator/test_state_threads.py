"""Threads of executions and jobs change the state while the serving thread writes it."""

import importlib
import sys
import threading
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ministack import services

from local.emulator import state_keeper
from local.emulator.state_file import Row, RowId
from local.emulator.state_keeper import Keeper
from local.emulator.state_rows import Touched
from local.emulator.state_stores import Store

THINGS = "test.things"
INVENTED = """
import probe
probe.look()
from ministack.core.responses import AccountScopedDict
_things = AccountScopedDict()
_things["a"] = 1
"""


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path / "emulator")


def store(keeper: Keeper) -> Store:
    made = Store(THINGS, SimpleNamespace(things={}), "things", keeper._tell, keeper._loop_thread)
    keeper._stores[THINGS] = made
    return made


def collected(keeper: Keeper) -> dict[RowId, Row | None]:
    return {found: row for found, row in keeper._collect().rows.items() if found.store == THINGS}


def test_what_is_told_of_while_changes_are_collected_is_collected_next(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    things = store(keeper).entries

    def interrupted(entries: Touched) -> int:
        # The serving thread may take over anywhere in `Keeper._tell`.
        assert collected(keeper) == {}
        return id(entries)

    monkeypatch.setattr(state_keeper, "id", interrupted, raising=False)
    things["a"] = 1
    assert [*collected(keeper)] == [RowId(THINGS, "'a'")]


def test_what_was_changed_by_another_thread_while_it_was_written_is_written_again(
    keeper: Keeper,
) -> None:
    class Changing:
        changes = 1

        def __reduce__(self) -> tuple[Any, ...]:
            if self.changes:
                self.changes -= 1
                raise RuntimeError("dictionary changed size during iteration")
            return int, (1,)

    store(keeper).entries["a"] = Changing()
    assert [[*collected(keeper)] for _ in range(2)] == [[], [RowId(THINGS, "'a'")]]


def test_a_service_that_another_thread_is_importing_is_kept_once_it_is_whole(
    keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "ministack.services.invented"
    (tmp_path / "invented.py").write_text(INVENTED)
    monkeypatch.setattr(services, "__path__", [*services.__path__, str(tmp_path)])
    monkeypatch.setitem(sys.modules, "probe", SimpleNamespace(look=keeper._collect))
    # Set, so that it is gone after the test.
    monkeypatch.setitem(sys.modules, name, None)
    del sys.modules[name]
    importlib.import_module(name)
    assert "invented._things" in {row_id.store for row_id in keeper._collect().rows}


def test_what_another_thread_holds_is_looked_at_again_and_again() -> None:
    watched = Touched(defaultdict(dict), lambda _: None, threading.get_ident())
    thread = threading.Thread(target=lambda: watched["a"])
    thread.start()
    thread.join()
    assert [watched.take(), watched.take()] == [({"a"}, True)] * 2


def test_what_another_thread_holds_anew_stays_watched() -> None:
    class Renewed(dict[str, float]):
        def pop(self, key: str, *default: Any) -> Any:
            self[key] = float("inf")
            return super().pop(key, *default)

    watched = Touched({}, lambda _: None, threading.get_ident())
    watched._watched = Renewed(a=0.0)
    assert watched.take() == ({"a"}, True)
    assert watched.watches("a")


@pytest.mark.parametrize("read", [Touched.values, Touched.items])
def test_entries_may_be_added_while_others_are_read(read: Any) -> None:
    watched = Touched({"a": 1}, lambda _: None, threading.get_ident())
    for _ in read(watched):
        watched["b"] = 2
    assert len(watched) == 2
