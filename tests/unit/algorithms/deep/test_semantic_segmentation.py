"""Semantic Segmentation: jobs, from their channels to what the model answers."""

import io
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from algorithms.catalog import algorithm
from algorithms.semantic_segmentation import job as job_module
from algorithms.semantic_segmentation import model, views
from algorithms.semantic_segmentation.network import Segmenter
from algorithms.toolkit.errors import CustomerError, StopRequested
from algorithms.toolkit.formats.record import record_class
from algorithms.toolkit.formats.recordio import frame, frames
from algorithms.toolkit.images import pixels
from algorithms.toolkit.invocations import Refusal, invoke
from datasets.canvases import Canvas, canvases
from tests.unit.algorithms.conftest import JobFolder

NewJob = Callable[[str], JobFolder]

RECORDIO = "application/x-recordio"
SIDE = 32
SETTINGS = {
    "num_classes": 4,
    "use_pretrained_model": "False",
    "num_training_samples": 8,
    "mini_batch_size": 4,
    "validation_mini_batch_size": 4,
    "base_size": SIDE,
    "crop_size": SIDE,
    "epochs": 1,
    "optimizer": "adam",
    "learning_rate": 0.001,
}


def pictures(count: int) -> list[Canvas]:
    return canvases(count, side=SIDE, digits=2, sizes=(18, 28), kinds=(0, 1, 2), seed=0)


def filed(job: JobFolder, found: Sequence[Canvas]) -> JobFolder:
    for name in ("train", "validation"):
        files = {f"{number}.jpg": each.jpeg() for number, each in enumerate(found)}
        masks = {f"{number}.png": each.mask_png() for number, each in enumerate(found)}
        job.channel(name, "image/jpeg", files)
        job.channel(f"{name}_annotation", "image/png", masks)
    return job


def told(job: JobFolder, name: str) -> list[float]:
    """The values of a metric, found by the pattern of the catalogue."""
    (metric,) = (each for each in algorithm("semantic-segmentation").metrics if each.name == name)
    return [float(value) for value in re.findall(metric.regex, job.log)]


@pytest.fixture
def unvaried(monkeypatch: pytest.MonkeyPatch) -> None:
    """To learn a few images by heart, it helps to see them as they are."""
    for name, value in (("FLIPPED", 0.0), ("SMALLEST", 1.0), ("LARGEST", 1.0)):
        monkeypatch.setattr(views, name, value)
    # Nor are there enough steps for statistics that follow slowly.
    begin = Segmenter.__init__

    def quick(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        for module in self.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 0.5

    monkeypatch.setattr(Segmenter, "__init__", quick)


@pytest.mark.usefixtures("unvaried")
def test_four_images_are_learnt_told_and_found_again(new_job: NewJob) -> None:
    job = new_job("semantic-segmentation")
    found = canvases(4, side=48, digits=1, sizes=(36, 48), kinds=(0, 1, 2), seed=0)
    sizes = {"base_size": 48, "crop_size": 44}
    settings = {**SETTINGS, **sizes, "epochs": 7, "mini_batch_size": 2}
    assert filed(job, found).train(**settings) == 0, job.failure
    overlaps = told(job, "validation:mIOU")
    assert len(overlaps) == 7
    # Where nothing is seen anywhere it is about 0.4.
    assert max(overlaps) >= 0.7
    assert max(told(job, "validation:pixel_accuracy")) >= 0.85
    losses = told(job, "train:loss")
    assert losses[-1] < losses[0] / 2
    assert min(told(job, "validation:throughput")) > 0
    assert "completed 100.0 %" in job.log

    loaded = model.load(job.model)
    body, mask = found[0].jpeg(), found[0].mask
    status, kind, answer = invoke(loaded, body, "image/jpeg", None, batch=False)
    assert (status, kind) == (200, "image/png")
    image = Image.open(io.BytesIO(answer))
    assert (image.format, image.mode, image.size) == ("PNG", "L", (48, 48))
    assert (np.array(image) == mask).mean() > 0.85
    for wanted in ("application/x-recordio-protobuf", "application/x-protobuf"):
        _, kind, answer = invoke(loaded, body, "application/x-image", wanted, batch=False)
        assert kind == wanted
        (message,) = frames(answer, "answer")
        record = record_class().FromString(bytes(message))
        shape = list(record.features["shape"].int32_tensor.values)
        assert shape == [1, 4, 48, 48]
        values = np.array(record.features["target"].float32_tensor.values).reshape(shape)
        assert np.allclose(values.sum(axis=1), 1, atol=1e-5)
        assert np.array_equal(values[0].argmax(axis=0), np.array(image))
    # The answer has the size of the image that was asked.
    wide = Image.fromarray(found[0].pixels).resize((100, 50))
    large = pixels.encoded(np.array(wide))
    _, _, answer = invoke(loaded, large, "image/png", "image/png", batch=True)
    assert Image.open(io.BytesIO(answer)).size == (100, 50)


def test_a_job_that_was_killed_goes_on_and_ends_like_one_that_was_not(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SETTINGS, "epochs": 2, "optimizer": "sgd", "base_size": 24, "crop_size": 24}
    straight = filed(new_job("semantic-segmentation"), pictures(2))
    assert straight.train(**settings) == 0
    broken = filed(new_job("semantic-segmentation"), pictures(2))
    checkpoints = {"LocalPath": "/opt/ml/checkpoints"}
    (broken.base / "input" / "config" / "checkpointconfig.json").write_text(json.dumps(checkpoints))
    measure = job_module._measure

    def killed(*arguments: Any) -> float:
        if arguments[-1] == 1:
            raise StopRequested
        return measure(*arguments)

    monkeypatch.setattr(job_module, "_measure", killed)
    assert broken.train(**settings) == 0
    assert len(told(broken, "validation:mIOU")) == 1
    monkeypatch.setattr(job_module, "_measure", measure)
    shutil.rmtree(broken.model)
    assert broken.train(**settings) == 0, broken.failure
    assert "resuming after epoch 0" in broken.log
    assert "completed 100.0 %" in broken.log
    for name in ("train:loss", "validation:mIOU"):
        assert told(broken, name) == pytest.approx(told(straight, name)[1:], rel=1e-5)
    assert (broken.model / model.MODEL_FILE).is_file()
    assert broken.train(**{**settings, "backbone": "resnet-101"}) == 1
    assert "made with backbone = resnet-50, and the job has resnet-101" in broken.failure


def test_an_augmented_manifest_with_a_label_map_is_as_good_as_files_and_a_model_goes_on(
    new_job: NewJob,
) -> None:
    found = pictures(2)
    files = filed(new_job("semantic-segmentation"), found)
    assert files.train(**SETTINGS) == 0, files.failure
    # As files, the other way about and tenfold; 255 stays what is ignored.
    label_map = json.dumps({"map": {kind: 10 * (3 - kind) for kind in range(4)}}).encode()
    piped = new_job("semantic-segmentation")
    for name in ("train", "validation"):
        parts = [
            frame(part)
            for each in found
            for part in (each.jpeg(), pixels.encoded((10 * (3 - each.mask)).astype(np.uint8)))
        ]
        piped.pipe(name, RECORDIO, *parts)
    maps = {f"{name}_label_map.json": label_map for name in ("train", "validation")}
    piped.channel("label_map", "application/json", maps)
    assert piped.train(**SETTINGS) == 0, piped.failure
    for name in ("train:loss", "validation:mIOU"):
        assert told(piped, name) == pytest.approx(told(files, name), rel=1e-5)

    onward = filed(new_job("semantic-segmentation"), found)
    # The platform has unpacked this one.
    weights = (files.model / model.MODEL_FILE).read_bytes()
    onward.channel("model", "application/x-sagemaker-model", {model.MODEL_FILE: weights})
    settings = {name: each for name, each in SETTINGS.items() if name != "use_pretrained_model"}
    assert onward.train(**{**settings, "learning_rate": 1e-6}) == 0, onward.failure
    before, _ = model.read(files.model / model.MODEL_FILE)
    after, _ = model.read(onward.model / model.MODEL_FILE)
    names = [name for name in before if name.endswith("conv1.weight")]
    # A step of adam moves no weight by more than the learning rate.
    assert all(torch.allclose(after[name], before[name], atol=2e-6) for name in names)
    for changes, sentence in (
        ({"num_classes": 5}, "was trained with num_classes = 4, and this job has 5; they must be"),
        ({"algorithm": "psp"}, "algorithm = fcn, and this job has psp"),
        ({"backbone": "resnet-101"}, "backbone = resnet-50, and this job has resnet-101"),
        ({"crop_size": 56}, "crop_size = 32, and this job has 56"),
    ):
        assert onward.train(**{**settings, **changes}) == 1
        assert sentence in onward.failure


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({"algorithm": "psp", "optimizer": "nag", "lr_scheduler": "cosine"}, {}),
        ({"algorithm": "deeplab", "optimizer": "adagrad"}, {"syncbn": "True"}),
        ({"optimizer": "rmsprop", "gamma1": 0.5, "gamma2": 0.1}, {"early_stopping": "True"}),
    ],
    ids=["psp", "deeplab", "rmsprop"],
)
def test_every_network_and_optimizer_trains_and_answers(
    new_job: NewJob, changes: dict[str, Any], settings: dict[str, str]
) -> None:
    job, found = filed(new_job("semantic-segmentation"), pictures(3)), pictures(1)
    # The second batch is of one image.
    small = {"mini_batch_size": 2, "base_size": 24, "crop_size": 24, "learning_rate": 0.0001}
    assert job.train(**{**SETTINGS, **small, **changes, **settings}) == 0, job.failure
    loaded = model.load(job.model)
    _, _, answer = invoke(loaded, found[0].jpeg(), "image/jpeg", None, batch=False)
    assert Image.open(io.BytesIO(answer)).size == (SIDE, SIDE)
    assert "Channel train has 3 images, and num_training_samples is 8" in job.log


def test_training_ends_early_when_it_no_longer_gets_better(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "_measure", lambda *_: 0.5)
    job = filed(new_job("semantic-segmentation"), pictures(1))
    early = {
        "early_stopping": "True",
        "early_stopping_min_epochs": 2,
        "early_stopping_patience": 1,
    }
    small = {"base_size": 24, "crop_size": 24, "epochs": 6}
    assert job.train(**{**SETTINGS, **small, **early}) == 0, job.failure
    assert len(told(job, "train:loss")) == 2
    assert "Early stopping after epoch 1" in job.log


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"use_pretrained_model": "True"}, "weights of resnet-50, which this image does not have"),
        ({"num_classes": 1}, "num_classes"),
        ({"lr_scheduler": "step"}, "lr_scheduler_step"),
        ({"optimizer": "adadelta"}, "optimizer"),
        ({"num_classes": 3}, "train/0.jpg: the mask: row 9, column 5 has the value 3; with num_"),
    ],
    ids=["pretrained", "few", "step", "optimizer", "num_classes"],
)
def test_a_wrong_hyperparameter_is_told(
    new_job: NewJob, changes: dict[str, Any], sentence: str
) -> None:
    one = pictures(1)[0]
    mask = np.zeros_like(one.mask)
    mask[8, 4] = 3
    job = filed(new_job("semantic-segmentation"), [Canvas(one.pixels, (), mask)])
    assert job.train(**{**SETTINGS, **changes}) == 1
    assert job.failure.startswith("ClientError: ")
    assert sentence in job.failure


def test_what_cannot_be_read_is_told(new_job: NewJob) -> None:
    job, good = new_job("semantic-segmentation"), pictures(1)[0]
    filed(job, [good])
    job.channel("train", "image/jpeg", {"0.jpg": good.jpeg()[:300]})
    assert job.train(**SETTINGS) == 1
    assert "ClientError: train/0.jpg: not a readable image" in job.failure
    job.channel("train", "image/jpeg", {"0.jpg": pixels.encoded(np.zeros((9, 8, 3), np.uint8))})
    assert job.train(**SETTINGS) == 1
    assert (
        "train/0.jpg: the image has 8 x 9 pixels as viewers show it, and its mask 32 x 32"
        in job.failure
    )
    job.channel("train", RECORDIO, {"0.jpg": good.jpeg()})
    assert job.train(**SETTINGS) == 1
    assert "that of an augmented manifest and needs Pipe mode" in job.failure
    job.channel("train", "text/csv", {"0.jpg": good.jpeg()})
    assert job.train(**SETTINGS) == 1
    assert "Content type 'text/csv' of channel 'train' is not supported" in job.failure


def test_hosts_are_refused(new_job: NewJob) -> None:
    job = filed(new_job("semantic-segmentation"), pictures(1))
    resources = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}
    (job.base / "input" / "config" / "resourceconfig.json").write_text(json.dumps(resources))
    assert job.train(**SETTINGS) == 1
    assert "Training on 2 hosts is not supported" in job.failure


def test_a_request_that_cannot_be_answered_is_refused_and_a_foreign_model_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / model.MODEL_FILE
    settings = {**SETTINGS, "algorithm": "fcn", "backbone": "resnet-50"}
    model.write(path, Segmenter("fcn", "resnet-50", 4), settings)
    loaded = model.load(tmp_path)
    with pytest.raises(Refusal, match="payload: not a JPEG or PNG image") as refused:
        invoke(loaded, b"text", "image/jpeg", None, batch=False)
    assert refused.value.status == 400
    with pytest.raises(Refusal, match="Content type 'text/csv' is not supported") as refused:
        invoke(loaded, b"text", "text/csv", None, batch=False)
    assert refused.value.status == 415
    monkeypatch.setattr(model, "MOST_NUMBERS", 1000)
    body = pictures(1)[0].jpeg()
    with pytest.raises(Refusal, match=r"of 4 classes for 32 x 32 pixels are 4096 numbers, and 1"):
        invoke(loaded, body, "image/jpeg", "application/x-protobuf", batch=False)
    model.write(path, Segmenter("psp", "resnet-50", 4), settings)
    with pytest.raises(CustomerError, match="does not hold its network"):
        model.load(tmp_path)
