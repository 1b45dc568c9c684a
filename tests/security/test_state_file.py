"""The file of the state."""

import collections
import datetime
import decimal
import enum
import importlib
import io
import pickle
import sqlite3
import threading
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from local.emulator import state_rows
from local.emulator.state_file import Delta, Row, RowId, StateFile, StateRefused
from local.emulator.state_keeper import Keeper
from local.emulator.state_rows import Elsewhere, Touched, Unreadable, Unwritable, read, write


class Text(str):
    __slots__ = ()


class Kind(enum.IntEnum):
    ONE = 1


class Other:
    pass


NO_VALUE = state_rows.no_value()
# A value that needs each name which a row may give.
NEEDED: dict[tuple[str, str], Any] = {
    ("builtins", "dict"): Touched({"a": 1}, lambda _: None, 0),
    ("builtins", "list"): collections.defaultdict(list, a=[1]),
    ("builtins", "set"): collections.defaultdict(set, a={1}),
    ("builtins", "int"): collections.defaultdict(int, a=1),
    ("collections", "defaultdict"): collections.defaultdict(dict, a={}),
    ("collections", "OrderedDict"): collections.OrderedDict(a=1),
    ("collections", "deque"): collections.deque([1, 2], maxlen=3),
    ("datetime", "datetime"): datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    ("datetime", "date"): datetime.date(2026, 1, 1),
    ("datetime", "time"): datetime.time(1, 2),
    ("datetime", "timedelta"): datetime.timedelta(1),
    ("datetime", "timezone"): datetime.timezone(datetime.timedelta(hours=1)),
    ("decimal", "Decimal"): decimal.Decimal("1.5"),
    ("uuid", "UUID"): uuid.UUID(int=1),
    ("local.emulator.state_rows", "Elsewhere"): Elsewhere("name"),
    ("local.emulator.state_rows", "new_lock"): threading.Lock(),
    ("local.emulator.state_rows", "new_event"): threading.Event(),
    ("local.emulator.state_rows", "private_key"): ec.generate_private_key(ec.SECP256R1()),
    ("local.emulator.state_rows", "no_value"): NO_VALUE,
    ("local.emulator.state_rows", "plain"): Text("x"),
}


def test_every_name_that_a_row_may_give_is_needed() -> None:
    assert NEEDED.keys() == state_rows._KNOWN.keys()


@pytest.mark.holds("A row of the state names nothing but what a list of exact names has.")
@pytest.mark.parametrize("name", NEEDED, ids=[name for _, name in NEEDED])
def test_a_kind_of_value_is_read_by_its_exact_name_alone(
    name: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    value = NEEDED[name]
    row = write(value)
    found = read(row)
    if name[1] not in ("new_lock", "new_event", "private_key"):
        assert found == value
    assert isinstance(found, type(value)) or name[1] in ("dict", "plain", "private_key")
    monkeypatch.delitem(state_rows._KNOWN, name)
    with pytest.raises(Unreadable, match=f"it names {name[0]}.{name[1]}"):
        read(row)


class Runs:
    """Pickled as a call of what it is given."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


def forged(module: str, name: str, *given: str) -> bytes:
    """A row that calls a function by its name, as protocol 4 and later write it."""
    texts = b"".join(b"\x8c" + bytes([len(one)]) + one.encode() for one in (module, name))
    arguments = b"".join(b"\x8c" + bytes([len(one)]) + one.encode() for one in given)
    return b"\x80\x04" + texts + b"\x93(" + arguments + b"tR."


MARK = "/nowhere/smp-test-ran"


@pytest.mark.holds("A row of the state that was tampered with is refused, and runs nothing.")
@pytest.mark.parametrize(
    "row",
    [
        forged("os", "system", f"touch {MARK}"),
        forged("posix", "system", f"touch {MARK}"),
        forged("ministack.app", "os.system", f"touch {MARK}"),
        forged("ministack.services.lambda_svc", "subprocess.run", f"touch {MARK}"),
        forged("local.emulator.state_rows", "pickle.loads", "x"),
        forged("local.emulator.state_rows", "threading.Lock"),
        forged("local.emulator.functions", "install"),
        forged("moto.core", "mock_aws"),
        forged("collections", "abc.Mapping"),
        forged("builtins", "eval", "1"),
        forged("builtins", "getattr", "a", "b"),
        forged("datetime", "sys.exit", "1"),
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"\x80\x02\x82\x01.",
        pickle.dumps(Runs(eval, ("1",))),
        b"",
        b"\x80\x05N",
        b"not a row",
        b"\x80\x05\x8d" + b"\xff" * 8 + b".",
    ],
    ids=range(20),
)
def test_a_row_that_would_run_something_is_refused(
    row: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("system", "posix_spawn", "fork"):
        monkeypatch.setattr(f"os.{name}", lambda *_: pytest.fail("it was run"))
    with pytest.raises(Unreadable):
        read(row)


def test_a_row_cannot_change_what_makes_its_values() -> None:
    # The state of an object (BUILD), set on what a name stands for.
    head = b"\x80\x04\x8c\x04uuid\x8c\x04UUID\x93"
    for state in (b"}\x8c\x01aK\x01sb.", b"N}\x8c\x08__init__K\x01s\x86b."):
        with pytest.raises(Unreadable):
            read(head + state)
    assert read(write(uuid.UUID(int=1))) == uuid.UUID(int=1)


@pytest.mark.parametrize(
    "value", [Other(), Other, print, lambda: 1, io.BytesIO(), {"a": [Other()]}]
)
def test_what_no_row_may_hold_is_not_written(value: Any) -> None:
    with pytest.raises((Unwritable, pickle.PicklingError)):
        write(value)


def test_values_of_other_classes_become_the_plain_ones_that_they_are() -> None:
    for value, plain in ((Text("x"), "x"), (Kind.ONE, 1), ({"a": Text("x")}, {"a": "x"})):
        found = read(write(value))
        assert found == plain
        assert type(found) is type(plain)


def tampered(folder: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(folder / "state.sqlite")) as database, database:
        database.execute(statement, values)


@pytest.mark.holds("A row names no file beside those of the state, and no module to import.")
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("bodies", '["../../outside"]'),
        ("bodies", '["/etc/passwd"]'),
        ("bodies", '[".."]'),
        ("bodies", "[1]"),
        ("bodies", '"name"'),
        ("bodies", "no JSON"),
        ("bodies", "[" * 100_000),
        ("value", "text"),
        ("value", forged("os", "system", "true")),
        ("store", "antigravity.x"),
        ("store", "../../x.y"),
        ("store", "nothing"),
        ("key", "__import__('os')"),
        ("key", "(" * 1000),
        ("key", b"bytes"),
    ],
    ids=range(15),
)
def test_a_state_with_a_foreign_row_is_refused_with_a_sentence(
    tmp_path: Path, column: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, outside = tmp_path / "state", tmp_path / "outside"
    outside.write_text("stays")
    file = StateFile(state)
    file.write(Delta({RowId("ssm._parameters", "'a'"): Row(write({"a": 1}))}))
    file.close()
    tampered(state, f"UPDATE rows SET {column} = ?", value)
    if column == "store":
        monkeypatch.setattr(importlib, "import_module", lambda _: pytest.fail("it was imported"))
    with pytest.raises(StateRefused, match=r"smp down and then smp up"):
        Keeper(state).restore()
    assert outside.read_text() == "stays"


@pytest.mark.parametrize("name", ["../outside", "..", "/etc/passwd", "", "a/b", "a\0"])
def test_a_content_is_read_from_the_folder_of_contents_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").write_text("secret")
    file = StateFile(tmp_path / "state")
    with pytest.raises(ValueError, match="a row names the file"):
        file.body(name)
    file.close()


def test_a_state_of_an_earlier_format_is_refused_with_a_sentence(tmp_path: Path) -> None:
    StateFile(tmp_path).close()
    tampered(tmp_path, "UPDATE stamp SET value = '1' WHERE name = 'format'")
    with pytest.raises(StateRefused, match="was written with format 1"):
        StateFile(tmp_path)
