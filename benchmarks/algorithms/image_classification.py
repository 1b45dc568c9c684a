"""Image Classification on digits: every form of input, transfer, and its time over bare PyTorch.

A fifth of the digits are kept for the test, and a tenth of the rest tells which epoch was best. The
reference of accuracy is scikit-learn's support vector machine on the same pixels. Times are
processor time of one thread, so that what else the machine does weighs little.
"""

import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.svm import SVC

from algorithms.image_classification import load
from algorithms.image_classification.model import Model, network
from algorithms.toolkit import training
from algorithms.toolkit.formats.recordio import frame
from algorithms.toolkit.images import imagerecord, pixels
from algorithms.toolkit.images.optimization import set_rate
from algorithms.toolkit.images.training import stacked
from algorithms.toolkit.invocations import invoke
from benchmarks.algorithms._processes import lay_out, piped
from benchmarks.measuring import Figure
from datasets import digit_images
from datasets.digit_images import Digit

NAME = "image-classification"
FORMS = ("RecordIO", "files and .lst", "augmented manifest")
SETTINGS = {
    "num_layers": 20,
    "image_shape": "1,28,28",
    "num_classes": 10,
    "optimizer": "nag",
    "mini_batch_size": 32,
    "learning_rate": 0.05,
}
SHAPE = (1, 28, 28)
# One pixel more than the network takes: `resize` must exceed it.
RESIZE = 29
EPOCHS: Mapping[str, tuple[int, str]] = {"digits": (6, "4"), "MNIST-5000": (5, "3,4")}
RUNS = 3
SHARE = 10
# Alone, a tenth of the digits makes few steps an epoch, and so gets more epochs.
FEW: Mapping[str, Any] = {
    "epochs": 12,
    "lr_scheduler_step": "8",
    "mini_batch_size": 16,
    "learning_rate": 0.02,
}

Parts = tuple[Sequence[Digit], Sequence[Digit], Sequence[Digit]]


def measure() -> Iterator[Figure]:
    """Accuracy by set and form, transfer to a tenth of the data, and time over bare PyTorch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            sets = {
                "digits": parts(digit_images.small()),
                "MNIST-5000": parts(digit_images.mnist()),
            }
            for title, found in sets.items():
                yield from _accuracy(folder, title, found)
            yield from _transfer(folder, sets["digits"])
            yield from _time(folder, sets["digits"][0])
    finally:
        torch.set_num_threads(threads)


def parts(digits: Sequence[Digit]) -> Parts:
    """Digits to learn from, to choose the epoch by, and to be tested on."""
    test = len(digits) // 5
    chosen = (len(digits) - test) // 10
    return digits[: -test - chosen], digits[-test - chosen : -test], digits[-test:]


def _accuracy(folder: Path, title: str, found: Parts) -> Iterator[Figure]:
    epochs, falls = EPOCHS[title]
    for form in FORMS:
        base = folder / f"{title}-{form}"
        changes = {"epochs": epochs, "lr_scheduler_step": falls}
        trained(base, form, found[0], found[1], changes)
        right = correct(load(base / "model"), found[2])
        yield Figure(f"{title}, {form}: accuracy", "%", [right], "goal >= 97")
    learnt, _, tested = found
    machine = SVC(C=10).fit(flat(learnt), [digit.label for digit in learnt])
    right = 100 * float(machine.score(flat(tested), [digit.label for digit in tested]))
    yield Figure(f"{title}: accuracy of scikit-learn's SVC", "%", [right])


def _transfer(folder: Path, found: Parts) -> Iterator[Figure]:
    """A tenth of the digits, with and without what was learnt from MNIST-5000."""
    earlier = folder / f"MNIST-5000-{FORMS[0]}" / "model"
    values: dict[str, list[float]] = {"from MNIST-5000": [], "from scratch": []}
    for run in range(RUNS):
        few = found[0][run::SHARE]
        for title, rights in values.items():
            base = folder / f"{title}-{run}"
            begun = earlier if title == "from MNIST-5000" else None
            trained(base, FORMS[0], few, found[1], FEW, earlier=begun)
            rights.append(correct(load(base / "model"), found[2]))
    for title, rights in values.items():
        yield Figure(f"{len(few)} digits, {title}: accuracy", "%", rights)


def _time(folder: Path, learnt: Sequence[Digit]) -> Iterator[Figure]:
    """Images a second of an epoch, beside PyTorch alone with all images decoded before."""
    own, alone = [], []
    for run in range(RUNS):
        began = time.process_time()
        trained(folder / f"time-{run}", FORMS[0], learnt, learnt[:32], {"epochs": 1})
        own.append(len(learnt) / (time.process_time() - began))
        alone.append(len(learnt) / _bare(learnt))
    ratios = [other / one for one, other in zip(own, alone, strict=True)]
    yield Figure("training", "/s", own, "images a second of a whole job of one epoch")
    yield Figure("training by PyTorch alone", "/s", alone, "images a second, decoded before")
    yield Figure("time over PyTorch alone", "", ratios)


def _bare(learnt: Sequence[Digit]) -> float:
    images = np.stack([decoded(digit) for digit in learnt])
    labels = torch.tensor([digit.label for digit in learnt])
    module = network({"num_layers": 20, "image_shape": SHAPE, "num_classes": 10, "multi_label": 0})
    module.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        module.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
    began = time.process_time()
    order = np.random.default_rng(0).permutation(len(learnt))
    for start in range(0, len(order), 32):
        rows = order[start : start + 32]
        optimizer.zero_grad()
        scores = module(stacked(list(images[rows]), torch.device("cpu")))
        torch.nn.functional.cross_entropy(scores, labels[rows]).backward()
        set_rate(optimizer, 0.1)
        optimizer.step()
    return time.process_time() - began


def trained(
    base: Path,
    form: str,
    learnt: Sequence[Digit],
    chosen: Sequence[Digit],
    changes: Mapping[str, Any],
    *,
    earlier: Path | None = None,
) -> None:
    """Train on digits in one of the forms; the artifact lies in base/model.

    Args:
        base: a folder of the job's own.
        form: one of FORMS.
        learnt: the digits of `train`.
        chosen: those of `validation`.
        changes: hyperparameters besides SETTINGS.
        earlier: the artifact that the training begins with.
    """
    settings = {**SETTINGS, **changes, "num_training_samples": len(learnt)}
    given = {"train": learnt, "validation": chosen}
    channels: dict[str, tuple[str, Mapping[str, bytes]]] = {}
    for name, digits in given.items():
        if form == "files and .lst":
            settings["resize"] = RESIZE
            channels[name] = (pixels.ANY, digit_images.files(digits))
            channels[f"{name}_lst"] = (pixels.ANY, {"all.lst": digit_images.lst(digits)})
        else:
            body = (
                {} if form == "augmented manifest" else {"all.rec": digit_images.recordio(digits)}
            )
            channels[name] = (imagerecord.CONTENT_TYPE, body)
    if earlier is not None:
        artifact = {path.name: path.read_bytes() for path in earlier.iterdir()}
        channels["model"] = ("application/x-sagemaker-model", artifact)
    shutil.rmtree(base, ignore_errors=True)
    lay_out(base, channels, settings)
    os.environ["SAGEMAKER_BASE_DIR"] = str(base)
    log = io.StringIO()
    streams = (
        {name: [_attributes(digits)] for name, digits in given.items()}
        if form == "augmented manifest"
        else {}
    )
    with piped(base, streams, RecordWrapperType="RecordIO"), redirect_stdout(log):
        code = training.run(NAME)
    if code:
        raise RuntimeError(log.getvalue())


def _attributes(digits: Sequence[Digit]) -> bytes:
    """What comes of an augmented manifest: image and label, each a record."""
    return b"".join(frame(digit.png) + frame(str(digit.label).encode()) for digit in digits)


def correct(model: Model, digits: Sequence[Digit]) -> float:
    """How many in a hundred of the digits are told right, asked one by one."""
    right = 0
    for digit in digits:
        _, _, answer = invoke(model, digit.png, "image/png", None, batch=False)
        right += int(np.argmax(json.loads(answer))) == digit.label
    return 100 * right / len(digits)


def decoded(digit: Digit) -> npt.NDArray[np.uint8]:
    """The pixels of a digit by row, column and channel."""
    return pixels.array(pixels.loaded(digit.png, "digit", "L"))[:, :, None]


def flat(digits: Sequence[Digit]) -> npt.NDArray[np.float64]:
    """The pixels of digits, from 0 to 1, one digit a row."""
    return np.stack([decoded(digit).ravel() for digit in digits]) / 255
