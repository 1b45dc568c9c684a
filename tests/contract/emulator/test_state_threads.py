"""Threads of executions and jobs change the state while the serving thread writes it."""

import asyncio
import gc
import importlib
import itertools
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ministack import services
from ministack.core.responses import AccountRegionScopedDict
from ministack.services import cloudwatch

from local.emulator import state_keeper, state_stores
from local.emulator.state_file import Row, RowId
from local.emulator.state_keeper import Keeper
from local.emulator.state_rows import Touched
from local.emulator.state_stores import Store

THINGS = "test.things"
# More than the pairs that CPython keeps in store: making others may collect garbage.
MANY = 3000
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
    class Changing(list[int]):
        changes = 1

        def __iter__(self) -> Iterator[int]:
            if self.changes:
                self.changes -= 1
                raise RuntimeError("list changed size during iteration")
            return super().__iter__()

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


def test_a_change_set_that_is_being_executed_is_no_missed_row_when_it_ends(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = store(keeper)
    held.kind = state_stores.KINDS["cloudformation._change_sets"]
    change_set = {"ExecutionStatus": "EXECUTE_IN_PROGRESS"}
    held.entries["a"] = change_set
    asyncio.run(keeper.settle())
    # By who deploys it, who has had it since before.
    change_set["ExecutionStatus"] = "EXECUTE_COMPLETE"
    asyncio.run(keeper._look_at_all())
    assert [*keeper.missed] == []


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


@contextmanager
def growing(entries: MutableMapping[str, Any]) -> Iterator[None]:
    """At each collection of garbage, where another thread may come in, something is added."""
    before, numbers = gc.get_threshold(), itertools.count()

    def add(_phase: str, _about: dict[str, int]) -> None:
        entries[f"added.{next(numbers)}"] = None

    gc.callbacks.append(add)
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(add)
        for name in [name for name in entries if name.startswith("added.")]:
            del entries[name]


@pytest.mark.parametrize(
    "read", [Touched.items, Touched.values, Touched.copy, Touched.plain, Touched.take]
)
def test_other_threads_may_add_at_any_moment_of_a_reading(read: Callable[[Touched], Any]) -> None:
    serving = threading.get_ident()
    watched = Touched({str(number): number for number in range(MANY)}, lambda _: None, serving)
    # As another thread would, it fills what is watched, too.
    watched._loop_thread = 0
    watched.touch_all()
    with growing(watched):
        assert len([*read(watched)]) >= 2


def test_other_threads_may_import_at_any_moment_of_a_look_for_services() -> None:
    importlib.import_module("ministack.services.s3")
    with growing(sys.modules):
        assert "s3" in {short for short, _, _ in state_stores.loaded()}


def test_a_module_may_grow_at_any_moment_of_a_look_for_its_stores() -> None:
    module = ModuleType("grown")
    vars(module).update({f"name_{number}": number for number in range(MANY)})
    with growing(vars(module)):
        assert [*state_stores.stores_of("grown", module)] == []


def test_an_alarm_that_is_evaluated_touches_no_other_metric(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudwatch, "_metrics", AccountRegionScopedDict())
    monkeypatch.setattr(cloudwatch, "_alarms", AccountRegionScopedDict())
    metrics = Store(
        "cloudwatch._metrics", cloudwatch, "_metrics", keeper._tell, keeper._loop_thread
    ).entries

    def put(name: str) -> None:
        data = {"Namespace": "A", "MetricData": [{"MetricName": name, "Value": 1.0}]}
        cloudwatch._put_metric_data({}, data, True, is_json=False)

    cloudwatch._alarms["one"] = {
        **{"AlarmName": "one", "Namespace": "A", "MetricName": "one", "Threshold": 9.0},
        **{"ComparisonOperator": "GreaterThanThreshold", "StateValue": "OK"},
    }
    put("one")
    put("two")
    metrics.take()
    put("two")
    (touched,) = metrics.take()[0]
    assert "two" in touched[2]
