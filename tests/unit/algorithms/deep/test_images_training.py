"""What the algorithms that learn from images share in training."""

from pathlib import Path
from typing import Any

import pytest
import torch

from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.images import optimization
from algorithms.toolkit.images.progress import Checkpoints, Progress

SETTINGS = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01, "optimizer": "sgd"}
OPTIMIZERS = ["adadelta", "adagrad", "adam", "nag", "rmsprop", "sgd"]


def started(**changes: Any) -> tuple[Any, Any]:
    """A network, always the same, and its optimizer."""
    more = {key: changes.pop(key) for key in ("decay", "rmsprop_momentum") if key in changes}
    torch.manual_seed(3)
    module = torch.nn.Linear(3, 2)
    return module, optimization.optimizer(module.parameters(), {**SETTINGS, **changes}, **more)


def updated(module: Any, optimizer: Any, times: int = 3) -> list[float]:
    for _ in range(times):
        optimizer.zero_grad()
        (module(torch.ones(2, 3)) ** 2).sum().backward()
        optimizer.step()
    weights: list[float] = module.weight.flatten().tolist()
    return weights


def test_each_optimizer_moves_weights_in_a_way_of_its_own() -> None:
    ways = {tuple(updated(*started(optimizer=name))) for name in OPTIMIZERS}
    assert len(ways) == len(OPTIMIZERS)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("sgd", {"momentum": 0.1}),
        ("sgd", {"weight_decay": 0.5}),
        ("nag", {"momentum": 0.1}),
        ("nag", {"weight_decay": 0.5}),
        ("adam", {"beta_1": 0.1}),
        ("adam", {"beta_2": 0.1}),
        ("adam", {"eps": 0.5}),
        ("rmsprop", {"weight_decay": 0.5}),
        ("rmsprop", {"eps": 0.5}),
        ("rmsprop", {"decay": 0.1}),
        ("rmsprop", {"rmsprop_momentum": 0.5}),
    ],
)
def test_what_an_optimizer_takes_changes_its_way(name: str, changes: dict[str, float]) -> None:
    assert updated(*started(optimizer=name)) != updated(*started(optimizer=name, **changes))


def test_learning_rates_fall_as_their_schedule_says() -> None:
    rate = optimization.steps([1, 3], 0.5, updates_per_epoch=10)
    assert [rate(update) for update in (0, 9, 10, 29, 30)] == [1, 1, 0.5, 0.5, 0.25]
    assert optimization.steps(None, 0.5, 10)(100) == 1
    poly, cosine = optimization.poly(10), optimization.cosine(10)
    assert [poly(0), poly(10), poly(20)] == [1, 0, 0]
    assert poly(5) == pytest.approx(0.5**0.9)
    assert [cosine(0), cosine(5), cosine(10)] == pytest.approx([1, 0.5, 0])
    _, optimizer = started()
    optimization.set_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] == 0.25


def early(**changes: Any) -> Progress:
    return Progress.of(
        {
            "early_stopping": True,
            "early_stopping_min_epochs": 1,
            "early_stopping_patience": 2,
            "early_stopping_tolerance": 0.0,
            **changes,
        }
    )


def epochs_until_over(progress: Progress, scores: list[float]) -> int | None:
    for number, score in enumerate(scores, 1):
        progress.add(score)
        if progress.over:
            return number
    return None


def test_a_training_ends_early_when_its_patience_is_over_and_not_before() -> None:
    scores = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert epochs_until_over(early(), scores) == 3
    assert epochs_until_over(early(early_stopping_patience=4), scores) == 5
    assert epochs_until_over(early(early_stopping_min_epochs=5), scores) == 5
    assert epochs_until_over(early(early_stopping=False), scores) is None
    assert epochs_until_over(early(), [0.5, 0.4, 0.6, 0.5, 0.5]) == 5


def test_a_rise_within_the_tolerance_is_no_progress_and_yet_the_best_model() -> None:
    progress = early(early_stopping_tolerance=0.1)
    assert [progress.add(score) for score in (0.5, 0.52, 0.54)] == [True, True, True]
    assert progress.over
    assert progress.best == 0.54


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_goes_on_from_a_checkpoint_as_if_it_had_not_ended(
    tmp_path: Path, name: str
) -> None:
    kept, found = tmp_path / "kept", tmp_path / "found"
    kept.mkdir()
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"the best")
    module, optimizer = started(optimizer=name)
    straight = updated(module, optimizer, 4)
    module, optimizer = started(optimizer=name)
    updated(module, optimizer, 2)
    progress = early()
    progress.add(0.5)
    progress.add(0.25)
    Checkpoints(kept, {"num_classes": 3}).save(module, optimizer, progress, model)
    # The folder comes back from S3, in another process.
    kept.rename(found)
    model.unlink()
    module, optimizer = started(optimizer=name)
    again = early()
    assert Checkpoints(found, {"num_classes": 3}).restore(module, optimizer, again, model)
    assert again == progress
    assert model.read_bytes() == b"the best"
    assert updated(module, optimizer, 2) == pytest.approx(straight, abs=1e-7)


def test_a_checkpoint_of_other_settings_is_refused_and_none_is_a_fresh_start(
    tmp_path: Path,
) -> None:
    module, optimizer = started()
    model = tmp_path / "model.safetensors"
    checkpoints = Checkpoints(tmp_path, {"num_classes": 3, "image_shape": (3, 8, 8)})
    assert not checkpoints.restore(module, optimizer, early(), model)
    checkpoints.save(module, optimizer, early(), model)
    assert checkpoints.restore(module, optimizer, early(), model)
    with pytest.raises(CustomerError, match=r"made with num_classes = 3, and the job has 4"):
        Checkpoints(tmp_path, {"num_classes": 4}).restore(module, optimizer, early(), model)
    nowhere = Checkpoints(None, {})
    nowhere.save(module, optimizer, early(), model)
    assert not nowhere.restore(module, optimizer, early(), model)
