"""How far a training has come: when it may end early, and what a restarted job goes on from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from algorithms.toolkit import deep
from algorithms.toolkit.errors import CustomerError

KIND = "sagemaker-platform/checkpoint"
VERSION = 1
_COUNTS = ("epochs", "waited", "updates")
_LAST, _BEST = "checkpoint.safetensors", "best-"


@dataclass
class Progress:
    """The best score so far, a higher one being better, and how long it has not been beaten.

    Args:
        min_epochs: epochs before the training may end early.
        patience: epochs without progress that end it; None for never.
        tolerance: the relative rise of the score that counts as progress.
    """

    min_epochs: int = 0
    patience: int | None = None
    tolerance: float = 0.0
    best: float = -1.0
    reference: float = -1.0
    """The score that the next has to beat by the tolerance."""
    epochs: int = 0
    waited: int = 0
    updates: int = 0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Progress:
        """What the hyperparameters whose names begin with `early_stopping` ask for."""
        if not settings["early_stopping"]:
            return cls()
        return cls(
            int(settings["early_stopping_min_epochs"]),
            int(settings["early_stopping_patience"]),
            float(settings["early_stopping_tolerance"]),
        )

    def add(self, score: float) -> bool:
        """Take the score of the next epoch; tells whether it is the best so far."""
        self.epochs += 1
        if self.reference < 0 or score > self.reference * (1 + self.tolerance):
            self.reference, self.waited = score, 0
        else:
            self.waited += 1
        better = score > self.best
        self.best = max(self.best, score)
        return better

    @property
    def over(self) -> bool:
        """Whether the training ends early."""
        return (
            self.patience is not None
            and self.epochs >= self.min_epochs
            and self.waited >= self.patience
        )

    def state(self) -> dict[str, float | int]:
        """What a checkpoint keeps of it."""
        return {name: getattr(self, name) for name in ("best", "reference", *_COUNTS)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.best, self.reference = float(state["best"]), float(state["reference"])
        self.epochs, self.waited, self.updates = (int(state[name]) for name in _COUNTS)


class Checkpoints:
    """The last epoch of a training and its best model, in the folder that outlives the process.

    Without a folder nothing is kept and nothing found.

    Args:
        folder: that of the job.
        about: the settings that a checkpoint must have been made with, for this job to go on.
    """

    def __init__(self, folder: Path | None, about: Mapping[str, Any]) -> None:
        self._folder = folder
        self._about = dict(about)

    def save(self, module: Any, optimizer: Any, progress: Progress, model: Path) -> None:
        """Keep the state after an epoch, with the best model so far, if there is one."""
        if self._folder is None:
            return
        if model.is_file():
            _replace(self._folder / (_BEST + model.name), lambda path: shutil.copyfile(model, path))
        tensors, state = _flat(optimizer.state_dict())
        tensors |= {f"module.{name}": each for name, each in module.state_dict().items()}
        settings = {"about": self._about, "optimizer": state, "progress": progress.state()}
        _replace(
            self._folder / _LAST, lambda path: deep.save(path, KIND, VERSION, tensors, settings)
        )

    def keep(self, path: Path) -> None:
        """Keep a file besides, which `kept` of a restarted job brings back."""
        if self._folder is not None:
            _replace(self._folder / path.name, lambda copy: shutil.copyfile(path, copy))

    def kept(self, pattern: str, folder: Path) -> None:
        """Bring the files back that were kept under names of this pattern."""
        for path in self._folder.glob(pattern) if self._folder is not None else ():
            shutil.copyfile(path, folder / path.name)

    def restore(self, module: Any, optimizer: Any, progress: Progress, model: Path) -> bool:
        """Go on from what was kept, if anything was."""
        if self._folder is None or not (self._folder / _LAST).is_file():
            return False
        tensors, settings = deep.load(self._folder / _LAST, KIND, VERSION, "checkpoint")
        # As JSON reads it back: a tuple has become a list.
        about = json.loads(json.dumps(self._about))
        for name, value in about.items():
            found = settings["about"].get(name)
            if found != value:
                raise CustomerError(
                    f"The checkpoint was made with {name} = {found}, and the job has {value}; "
                    "let the job have an empty S3Uri in CheckpointConfig"
                )
        module.load_state_dict(
            {
                name.removeprefix("module."): each
                for name, each in tensors.items()
                if name.startswith("module.")
            }
        )
        optimizer.load_state_dict(_nested(tensors, settings["optimizer"]))
        progress.restore(settings["progress"])
        best = self._folder / (_BEST + model.name)
        if best.is_file():
            shutil.copyfile(best, model)
        return True


def _replace(path: Path, write: Any) -> None:
    """Write a file that another process finds whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    partial.replace(path)


def _flat(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state of an optimizer as tensors by name, and the rest as JSON can hold it."""
    import torch

    tensors, rest = {}, {}
    for number, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{number}.{name}"] = value
            else:
                rest[f"{number}.{name}"] = value
    return tensors, {"groups": state["param_groups"], "rest": rest}


def _nested(tensors: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[int, dict[str, Any]] = {}
    named = {
        name.removeprefix("optimizer."): each
        for name, each in tensors.items()
        if name.startswith("optimizer.")
    }
    for name, value in {**named, **state["rest"]}.items():
        number, _, key = name.partition(".")
        found.setdefault(int(number), {})[key] = value
    return {"state": found, "param_groups": state["groups"]}
