"""Files that smp is given, or finds in its folder."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from local.cli import reading, source, training
from local.platform import server
from local.platform.errors import PlatformError
from local.platform.home import Home
from local.platform.traces import condensed
from tests.platform import free_port
from tests.unit.cli.calls import Smp

PLAIN = Path(__file__).with_name("plain_server.py")


@pytest.mark.parametrize(
    "words", [["up"], ["down"], ["status"], ["env"], ["logs", "x"]], ids=" ".join
)
def test_a_folder_that_cannot_be_is_told_by_every_command(
    words: list[str], smp: Smp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").touch()
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for place in (file, full, loop, "x" * 300):
        monkeypatch.setenv("SMP_HOME", str(place))
        smp(*words).is_a_sentence()
    assert [*full.iterdir()] == [full / "thesis.txt"]


RECORD = {
    "pid": 1,
    "started": 1,
    "port": 4566,
    "deployed": "",
    "boot": "",
    "secret": "",
    "home": "",
}
KEY = {"access_key": "a", "secret_key": "b"}
WRONG: list[Any] = [None, [], True]
NO_OBJECTS = ["", "{", "[]", "1", "null", '"x"', "NaN", "[" * 100_000, "\ufffe", "{}"]


@pytest.mark.parametrize(
    "text",
    [
        *NO_OBJECTS,
        *(json.dumps({**RECORD, name: value}) for name in RECORD for value in WRONG),
        json.dumps({**RECORD, "pid": 0}),
        json.dumps({**RECORD, "pid": "1"}),
        json.dumps({**RECORD, "port": 65536}),
        json.dumps({**RECORD, "port": 0}),
        json.dumps({**RECORD, "more": 1}),
        json.dumps({"pid": "x", "created": "y", "port": "z"}),
        json.dumps({"pid": 1, "created": 1.5, "port": -1, "deployed": ""}),
    ],
    ids=lambda text: text[:60],
)
def test_a_record_of_any_other_shape_is_named(text: str, smp: Smp, home: Home) -> None:
    home.create()
    home.record.write_text(text, encoding="utf-16" if "\ufffe" in text else "utf-8")
    for words in ("status", "env", "up"):
        said = smp(words)
        said.is_a_sentence()
        assert str(home.record) in said.err
        assert "smp down" in said.err


@pytest.mark.parametrize("text", ["", "[1]", json.dumps({**RECORD, "port": "z"})])
def test_a_platform_whose_record_is_broken_can_be_given_up(text: str, smp: Smp, home: Home) -> None:
    home.create()
    home.record.write_text(text)
    assert smp("down").code == 0
    assert not home.path.exists()


@pytest.mark.parametrize("number", [2**31, 2**64, 10**30])
def test_a_record_of_a_process_that_cannot_be_names_none(number: int, smp: Smp, home: Home) -> None:
    home.create()
    home.record.write_text(json.dumps({**RECORD, "pid": number, "home": str(home.path)}))
    said = smp("status")
    said.is_a_sentence()
    assert "No platform runs here" in said.err
    assert smp("down").code == 0


@pytest.mark.parametrize(
    "text",
    [
        *NO_OBJECTS,
        *(json.dumps({**KEY, name: value}) for name in KEY for value in (*WRONG, 1, "")),
        json.dumps({**KEY, "more": 1}),
        json.dumps({"a": 1}),
    ],
    ids=lambda text: text[:60],
)
def test_a_key_of_any_other_shape_is_named(text: str, smp: Smp, home: Home) -> None:
    home.create()
    home.credentials.write_text(text, encoding="utf-16" if "\ufffe" in text else "utf-8")
    for words in ("status", "env"):
        said = smp(words)
        said.is_a_sentence()
        assert str(home.credentials) in said.err


@pytest.mark.holds("A server that answers nonsense or hangs up is a sentence.")
@pytest.mark.parametrize("kind", ["ready", "hangs-up"])
def test_a_server_that_answers_nonsense_or_hangs_up_is_told(
    kind: str, smp: Smp, home: Home, tmp_path: Path
) -> None:
    started = server.start(home, free_port(), [sys.executable, str(PLAIN), "--kind", kind])
    server.wait_ready(started, home)
    home.write_secret(home.credentials, json.dumps(KEY))
    request = tmp_path / "request.json"
    request.write_text("{}")
    for words in (["status"], ["logs", "x"], ["quota"]):
        smp(*words).is_a_sentence()
    smp("train", str(request)).is_a_sentence()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Expecting value"),
        (b"\x7fELF\xff", "byte 4 is not UTF-8"),
        (b'{"a": NaN}', "NaN is no value of JSON"),
        (b"[-Infinity]", "-Infinity is no value of JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' * 100_000, "nested too deeply"),
        (b"1" * 5000, "limit"),
        (b"[]", "holds a list"),
        (b"{" + b" " * (1 << 20), "more than 1 MiB"),
    ],
    ids=["empty", "binary", "nan", "infinity", "deep", "deep object", "digits", "list", "large"],
)
def test_a_request_that_is_none_is_told_with_the_reason(
    body: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "request.json"
    path.write_bytes(body)
    nothing: Any = None
    with pytest.raises(PlatformError) as caught:
        training.read(nothing, path)
    assert reason in caught.value.why
    assert str(path) in caught.value.why


def test_a_request_that_never_ends_is_not_read_for_ever() -> None:
    with pytest.raises(PlatformError, match="/dev/zero holds more than 1 MiB"):
        reading.contents(Path("/dev/zero"), 1 << 20, "read the request", "")


def test_a_request_as_other_systems_write_it_is_read() -> None:
    assert reading.document(b'\xef\xbb\xbf{"a": 1}\r\n') == {"a": 1}


def test_a_pipe_among_the_code_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PlatformError, match="pipe is neither a file nor a folder"):
        source.pack(tmp_path)


def test_a_trace_of_the_server_is_shown_by_its_last_line(home: Home) -> None:
    home.create()
    trace = """begins
Traceback (most recent call last):
  File "/x/y.py", line 1, in f
    write()
    ~~~~~^^
OSError: [Errno 28] No space left on device: '/x/y'
ends
"""
    home.log.write_text(trace)
    assert server.last_lines(home).splitlines() == [
        "begins",
        "OSError: [Errno 28] No space left on device: '/x/y'",
        "ends",
    ]
    assert condensed(["no trace", "  of anything"]) == ["no trace", "  of anything"]
