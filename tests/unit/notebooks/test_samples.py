from pathlib import Path

import pytest

from notebook_instance import samples


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "inner").mkdir(parents=True)
    (folder / "first.ipynb").write_text("one")
    (folder / "inner" / "second.ipynb").write_text("two")
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "SageMaker" / "sagemaker-platform"


def test_samples_are_put_in_place_once(source: Path, target: Path) -> None:
    assert samples.place(source, target) == ["first.ipynb", "inner/second.ipynb"]
    assert (target / "inner" / "second.ipynb").read_text() == "two"
    assert samples.place(source, target) == []


def test_a_newer_sample_replaces_one_that_nobody_touched(source: Path, target: Path) -> None:
    samples.place(source, target)
    (source / "first.ipynb").write_text("one, better")
    assert samples.place(source, target) == ["first.ipynb"]
    assert (target / "first.ipynb").read_text() == "one, better"


def test_what_somebody_changed_stays_as_it_is(source: Path, target: Path) -> None:
    samples.place(source, target)
    (target / "first.ipynb").write_text("mine")
    (source / "first.ipynb").write_text("one, better")
    assert samples.place(source, target) == []
    assert (target / "first.ipynb").read_text() == "mine"


def test_what_somebody_deleted_does_not_come_back(source: Path, target: Path) -> None:
    samples.place(source, target)
    (target / "first.ipynb").unlink()
    (source / "first.ipynb").write_text("one, better")
    assert samples.place(source, target) == []
    assert not (target / "first.ipynb").exists()


def test_a_file_of_somebody_elses_is_not_taken_for_a_sample(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    (target / "first.ipynb").write_text("mine")
    assert samples.place(source, target) == ["inner/second.ipynb"]
    assert (target / "first.ipynb").read_text() == "mine"


def test_aws_own_samples_are_shown_where_they_are(tmp_path: Path) -> None:
    volume = tmp_path / "SageMaker"
    volume.mkdir()
    assert not samples.link_examples(tmp_path, volume)
    (tmp_path / "sample-notebooks").mkdir()
    assert samples.link_examples(tmp_path, volume)
    assert (volume / "SageMaker Examples").resolve() == tmp_path / "sample-notebooks"
    assert not samples.link_examples(tmp_path, volume)


def test_a_link_to_samples_that_moved_is_made_anew(tmp_path: Path) -> None:
    volume = tmp_path / "SageMaker"
    volume.mkdir()
    (volume / "SageMaker Examples").symlink_to(tmp_path / "nowhere")
    (tmp_path / "sample-notebooks").mkdir()
    assert samples.link_examples(tmp_path, volume)
    assert (volume / "SageMaker Examples").is_dir()
