"""What archives hold: several models, those of AWS's older images, and what is refused.

The files in `artifacts` were written by XGBoost 0.90, 1.0.2, 1.2.0 (stopped early) and 1.3.3, in
the form in which AWS's images of these releases left them, from 60 rows of two features each.
"""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from algorithms import xgboost as module
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import Table
from algorithms.xgboost.artifact import is_former
from algorithms.xgboost.pickles import contents

ARTIFACTS = Path(__file__).parent / "artifacts"
# What each release answered to the first rows of what it had learnt from.
PREDICTIONS: dict[str, list[float]] = json.loads((ARTIFACTS / "predictions.json").read_text())
ROWS = np.array([[i % 7 / 7, i % 5 / 5] for i in range(8)], dtype=np.float32)


def train(folder: Path, name: str, objective: str, seed: int, **more: Any) -> xgboost.Booster:
    random = np.random.default_rng(seed)
    features = random.normal(size=(60, 3)).astype(np.float32)
    labels = random.integers(0, more.get("num_class", 2), 60)
    settings = {"objective": objective, "nthread": 1, "max_depth": 2, **more}
    booster = xgboost.train(settings, xgboost.DMatrix(features, labels), num_boost_round=4)
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(booster.save_raw("ubj"))
    return booster


FEATURES = np.random.default_rng(9).normal(size=(40, 3)).astype(np.float32)


@pytest.mark.parametrize("objective", ["multi:softmax", "binary:hinge"])
def test_models_that_answer_with_classes_vote_and_the_lower_class_wins_a_tie(
    objective: str, tmp_path: Path
) -> None:
    more = {"num_class": 4} if objective.startswith("multi") else {}
    boosters = [train(tmp_path, f"m{i}", objective, i, **more) for i in range(4)]
    votes = np.stack([each.predict(xgboost.DMatrix(FEATURES)) for each in boosters])
    expected = [
        min(set(said), key=lambda one: (-said.count(one), one)) for said in votes.T.tolist()
    ]
    found = module.load(tmp_path).scores(Table(FEATURES))
    assert found.tolist() == expected
    assert (votes != votes[0]).any()


@pytest.mark.parametrize(
    "objective", ["binary:logistic", "binary:logitraw", "reg:squarederror", "multi:softprob"]
)
def test_models_that_answer_with_numbers_are_averaged(objective: str, tmp_path: Path) -> None:
    more = {"num_class": 3} if objective.startswith("multi") else {}
    boosters = [train(tmp_path, f"m{i}.ubj", objective, i, **more) for i in range(3)]
    expected = np.mean([each.predict(xgboost.DMatrix(FEATURES)) for each in boosters], axis=0)
    np.testing.assert_array_equal(module.load(tmp_path).scores(Table(FEATURES)), expected)


@pytest.mark.parametrize("value", ["false", "False", "True", "0"])
def test_only_the_word_true_lets_models_answer_together(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boosters = [train(tmp_path, f"xgboost-model-{i}", "binary:logistic", i) for i in (2, 10)]
    monkeypatch.setenv("SAGEMAKER_INFERENCE_ENSEMBLE", value)
    found = module.load(tmp_path).scores(Table(FEATURES))
    np.testing.assert_array_equal(found, boosters[0].predict(xgboost.DMatrix(FEATURES)))


def test_hidden_files_and_folders_of_an_archive_are_no_models(tmp_path: Path) -> None:
    booster = train(tmp_path, "model.bin", "binary:logistic", 0)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text("")
    found = module.load(tmp_path).scores(Table(FEATURES))
    np.testing.assert_array_equal(found, booster.predict(xgboost.DMatrix(FEATURES)))


def test_models_that_do_not_go_together_are_refused_by_name(tmp_path: Path) -> None:
    train(tmp_path, "a", "binary:logistic", 0)
    train(tmp_path, "b", "reg:squarederror", 0)
    with pytest.raises(CustomerError, match=r"b has 3 features, objective reg:squarederror"):
        module.load(tmp_path)


@pytest.mark.parametrize("name", sorted(PREDICTIONS))
def test_a_model_of_an_older_image_answers_what_its_release_did(name: str, tmp_path: Path) -> None:
    (tmp_path / "xgboost-model").write_bytes((ARTIFACTS / name).read_bytes())
    found = module.load(tmp_path).scores(Table(ROWS))
    np.testing.assert_array_equal(found, np.array(PREDICTIONS[name], dtype=np.float32))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_booster_of_any_protocol_is_read(protocol: int, tmp_path: Path) -> None:
    booster = train(tmp_path, "model", "binary:logistic", 0)
    (tmp_path / "model").write_bytes(pickle.dumps(booster, protocol=protocol))
    found = module.load(tmp_path).scores(Table(FEATURES))
    np.testing.assert_array_equal(found, booster.predict(xgboost.DMatrix(FEATURES)))


def test_a_booster_that_python_2_pickled_is_read(tmp_path: Path) -> None:
    raw = contents((ARTIFACTS / "xgboost-0.90.pkl").read_bytes(), "x").model
    text = raw.decode("latin-1").encode("raw_unicode_escape")
    text = text.replace(b"\n", b"\\u000a").replace(b"\r", b"\\u000d")
    (tmp_path / "model").write_bytes(
        b"ccopy_reg\n_reconstructor\n(cxgboost.core\nBooster\nc__builtin__\nobject\nNtR"
        b"(dS'handle'\nc__builtin__\nbytearray\n(V" + text + b"\nS'latin-1'\ntRsb."
    )
    found = module.load(tmp_path).scores(Table(ROWS))
    np.testing.assert_array_equal(
        found, np.array(PREDICTIONS["xgboost-0.90.pkl"], dtype=np.float32)
    )


def reduced(function: Callable[..., object], *arguments: object) -> bytes:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return function, arguments

    return pickle.dumps(Trap())


def booster_with(**state: object) -> bytes:
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(ROWS, ROWS[:, 0]), 1)
    booster.__dict__.update(state)
    return pickle.dumps(booster)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda folder: reduced(Path.touch, folder / "sprung"), "it names pathlib"),
        (lambda folder: reduced(eval, f"open({str(folder / 'sprung')!r}, 'w')"), "builtins.eval"),
        (lambda folder: reduced(getattr, str, "upper"), "builtins.getattr"),
        (lambda _: reduced(bytearray, 10**12), "bytes of an unknown kind"),
        (lambda _: pickle.dumps({"a": 1}), "holds no model of XGBoost"),
        (lambda _: pickle.dumps(b"x" * 100)[:50], "is not a Booster of XGBoost alone"),
        (lambda _: pickle.dumps(xgboost.XGBRegressor()), "it names xgboost.sklearn"),
        (lambda _: booster_with(feature=np.float64(1.0)), "it names numpy"),
    ],
)
def test_a_pickle_of_anything_else_is_refused_and_not_run(
    make: Callable[[Path], bytes], names: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "xgboost-model").write_bytes(make(tmp_path))
    with pytest.raises(CustomerError) as refused:
        module.load(folder)
    assert names in str(refused.value)
    assert "store it with Booster.save_model('xgboost-model.json')" in str(refused.value)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:100],
        lambda body: body[:136] + b"\xff" * 8 + body[144:],
        lambda body: body[:144] + b"\x00" * 8 + body[152:],
        lambda body: b"binf" + body,
    ],
)
def test_a_body_that_only_resembles_the_former_format_never_reaches_the_library(
    change: Callable[[bytes], bytes],
) -> None:
    body = (ARTIFACTS / "xgboost-1.3.bin").read_bytes().removeprefix(b"binf")
    assert is_former(body)
    changed = change(body)
    assert is_former(changed) == changed.startswith(b"binf")


def test_a_file_that_is_no_model_is_told_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"1,2,3\n")
    with pytest.raises(CustomerError, match=r"metrics\.csv is not a model.*seems to be text/csv"):
        module.load(tmp_path)
