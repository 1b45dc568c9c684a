"""How good scores are, summed up batch by batch and host by host."""

from __future__ import annotations

import numpy as np

from algorithms.factorization_machines.machine import Matrix

# What is summed: records, squared errors, cross entropies, and records by predicted and true class.
_SUMS = ("rows", "squares", "entropy", "right", "hit", "guessed", "met")


class Sums:
    """Sums over the records that were scored so far."""

    def __init__(self, *, binary: bool) -> None:
        self._binary = binary
        self.values = np.zeros(len(_SUMS))

    def add(self, scores: Matrix, labels: Matrix) -> None:
        """Take some records: what the machine says of them, before it becomes a probability."""
        wide, truth = scores.astype(np.float64), labels.astype(np.float64)
        found = dict.fromkeys(_SUMS, 0.0)
        found["rows"] = len(wide)
        if self._binary:
            guess = wide >= 0
            found["entropy"] = (np.logaddexp(0, wide) - truth * wide).sum()
            found["right"] = (guess == truth).sum()
            found["hit"] = (guess * truth).sum()
            found["guessed"], found["met"] = guess.sum(), truth.sum()
        else:
            found["squares"] = ((wide - truth) ** 2).sum()
        self.values += [found[name] for name in _SUMS]

    def metrics(self) -> dict[str, tuple[str, float]]:
        """Each metric of the contract: whether it is a loss or a score, and its value."""
        found = dict(zip(_SUMS, self.values.tolist(), strict=True))
        rows = found["rows"]
        if not self._binary:
            return {"rmse": ("loss", float(np.sqrt(found["squares"] / rows)))}
        both = found["guessed"] + found["met"]
        return {
            "binary_classification_accuracy": ("score", found["right"] / rows),
            "binary_classification_cross_entropy": ("loss", found["entropy"] / rows),
            "binary_f_beta": ("score", 2 * found["hit"] / both if both else 0.0),
        }
