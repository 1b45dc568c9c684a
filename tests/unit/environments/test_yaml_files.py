"""What is said of an environment file that is no YAML with keys."""

from pathlib import Path

import pytest

from environments.model import Environment, InvalidEnvironment
from environments.yaml_files import Unreadable, read

GOOD = "name: dev\naccount: '111122223333'\n"
BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def said(path: Path, body: bytes) -> str:
    path.write_bytes(body)
    with pytest.raises(Unreadable) as refused:
        read(path)
    return str(refused.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (GOOD.encode("utf-16"), "is UTF-16, not UTF-8: save it as UTF-8"),
        (GOOD.encode("utf-16-be"), "zero bytes, as UTF-16 does"),
        (b"\xfe\xff" + GOOD.encode("utf-16-be"), "is UTF-16, not UTF-8"),
        (GOOD.encode("utf-32"), "is UTF-32, not UTF-8"),
        ("name: dev\nowner: Müller\n".encode("latin-1"), "line 2 has the byte 0xfc"),
        (b"", "file: found None, nothing"),
        (b"# only a comment\n", "file: found None, nothing"),
        (b"- name: dev\n", "a list; allowed: keys with values"),
        (b"name\n", "text; allowed: keys with values"),
        (b"name: [\n", "not YAML: "),
        (b"name: dev\nname: prod\n", "the key 'name' is given twice"),
        (b"a:\n  b: 1\n  b: 2\n", "the key 'b' is given twice"),
        (b"? [a]\n: 1\n", "not YAML: "),
        (b"!!python/object:os.system {}\n", "not YAML: "),
        (b"day: 2026-13-45\n", "not YAML that can be read: "),
        (BOMB.encode(), "its aliases stand for more than"),
        (b"a: &a [*a]\n", "its aliases stand for more than"),
        (b"[" * 5000, "not YAML"),
        (b"a: " + b"x" * (1 << 20), "longer than 1 MiB"),
    ],
    ids=[
        *("utf-16", "utf-16-without-mark", "utf-16-be", "utf-32", "latin-1", "empty", "comment"),
        *("list", "word", "cut", "twice", "twice-below", "key-list", "object", "date", "bomb"),
        *("cycle", "deep", "long"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(
    tmp_path: Path, body: bytes, words: str
) -> None:
    assert words in said(tmp_path / "dev.yaml", body)


def test_a_mark_of_utf_8_is_no_part_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert read(path) == {"name": "dev", "account": "111122223333"}


def test_an_alias_and_a_merge_mean_what_they_mean_in_yaml(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\n")
    assert read(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}}


def test_a_folder_of_the_name_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "dev.yaml").mkdir()
    with pytest.raises(InvalidEnvironment, match=r"dev\.yaml: cannot be read: Is a directory"):
        Environment.load("dev", tmp_path)


def test_the_file_is_named_in_front(tmp_path: Path) -> None:
    (tmp_path / "dev.yaml").write_bytes(GOOD.encode("utf-16"))
    with pytest.raises(InvalidEnvironment) as refused:
        Environment.load("dev", tmp_path)
    assert str(refused.value) == f"{tmp_path}/dev.yaml: is UTF-16, not UTF-8: save it as UTF-8"
