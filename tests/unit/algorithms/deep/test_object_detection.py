"""Object Detection: jobs, from their channels to what the model answers."""

import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from algorithms.catalog import algorithm
from algorithms.object_detection import augmentation, model
from algorithms.object_detection import job as job_module
from algorithms.object_detection.network import Detector
from algorithms.toolkit import training
from algorithms.toolkit.errors import CustomerError, StopRequested
from algorithms.toolkit.formats.recordio import frame
from algorithms.toolkit.images import imagerecord
from algorithms.toolkit.invocations import Refusal, invoke
from algorithms.toolkit.job import read_job
from datasets.canvases import Canvas, canvases
from tests.unit.algorithms.conftest import JobFolder

NewJob = Callable[[str], JobFolder]

RECORDIO = "application/x-recordio"
SIDE = 96
SETTINGS = {
    "num_classes": 4,
    "base_network": "resnet-50",
    "use_pretrained_model": 0,
    "num_training_samples": 8,
    "mini_batch_size": 4,
    "epochs": 1,
    "optimizer": "adam",
    "learning_rate": 0.0003,
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract's images have 300 pixels a side, which is much for a processor."""
    read = read_job

    def smaller(name: str, base: Path) -> Any:
        job = read(name, base)
        if job.hyperparameters["image_shape"] == 300:
            job.hyperparameters["image_shape"] = SIDE
        return job

    monkeypatch.setattr(training, "read_job", smaller)


def pictures(count: int, seed: int = 0) -> list[Canvas]:
    return canvases(count, side=SIDE, digits=3, sizes=(28, 48), kinds=(0, 2, 3), seed=seed)


def records(found: Sequence[Canvas]) -> bytes:
    return b"".join(imagerecord.pack(each.label, each.jpeg()) for each in found)


def recorded(job: JobFolder, found: Sequence[Canvas]) -> JobFolder:
    for name in ("train", "validation"):
        job.channel(name, RECORDIO, {f"{name}.rec": records(found)})
    return job


def annotated(job: JobFolder, found: Sequence[Canvas]) -> JobFolder:
    files = {f"{number}.jpg": each for number, each in enumerate(found)}
    notes = {
        f"{number}.json": each.annotation(f"{number}.jpg") for number, each in enumerate(found)
    }
    for name in ("train", "validation"):
        job.channel(name, "image/jpeg", {file: each.jpeg() for file, each in files.items()})
        job.channel(f"{name}_annotation", "image/jpeg", notes)
    return job


def told(job: JobFolder, name: str) -> list[float]:
    """The values of a metric, found by the pattern of the catalogue."""
    (metric,) = (each for each in algorithm("object-detection").metrics if each.name == name)
    return [float(value) for value in re.findall(metric.regex, job.log)]


@pytest.fixture
def unvaried(monkeypatch: pytest.MonkeyPatch) -> None:
    """To learn a few images by heart, it helps to see them as they are."""
    for name in ("FLIPPED", "RESCALED", "BRIGHTNESS", "CONTRAST"):
        monkeypatch.setattr(augmentation, name, 0.0)


@pytest.mark.usefixtures("unvaried")
def test_four_images_are_learnt_told_and_found_again(new_job: NewJob) -> None:
    job, found = new_job("object-detection"), pictures(4)
    settings = {**SETTINGS, "epochs": 12, "learning_rate": 0.0006, "lr_scheduler_step": 9}
    settings |= {"mini_batch_size": 2}
    assert recorded(job, found).train(**settings) == 0, job.failure
    scores = told(job, "validation:mAP")
    assert len(scores) == 12
    assert max(scores) >= 0.9
    for name in ("train:cross_entropy", "train:smooth_l1"):
        losses = told(job, name)
        assert len(losses) == 12
        assert losses[-1] < losses[0] / 3
    assert told(job, "train:progress")[-1] == 100
    assert min(told(job, "train:throughput")) > 0

    loaded = model.load(job.model)
    status, kind, body = invoke(loaded, found[0].jpeg(), "application/x-image", None, batch=False)
    assert (status, kind) == (200, "application/json")
    seen = json.loads(body)["prediction"]
    assert all(score >= 0.01 for _, score, *_ in seen)
    assert [score for _, score, *_ in seen] == sorted((row[1] for row in seen), reverse=True)
    sure = sorted(row[0] for row in seen if row[1] > 0.5)
    assert sure == sorted(kind for kind, *_ in found[0].objects)

    _, kind, line = invoke(
        loaded, found[0].jpeg(), "image/jpeg", "application/jsonlines", batch=True
    )
    assert (kind, line) == ("application/jsonlines", body + b"\n")
    _, _, pixel = invoke(
        loaded, found[0].jpeg(), "image/png", "application/json;annotation=1", batch=False
    )
    note = json.loads(pixel)
    assert note["image_size"] == [{"width": SIDE, "height": SIDE, "depth": 3}]
    best, (_, score, left, top, right, bottom) = note["annotations"][0], seen[0]
    assert best["score"] == score
    assert best["left"] == round(left * SIDE)
    assert best["top"] + best["height"] == round(bottom * SIDE)
    assert best["width"] == round(right * SIDE) - round(left * SIDE)
    assert top < bottom


def test_a_job_that_was_killed_goes_on_and_ends_like_one_that_was_not(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SETTINGS, "epochs": 2, "optimizer": "sgd", "learning_rate": 0.001}
    straight = recorded(new_job("object-detection"), pictures(2))
    assert straight.train(**settings) == 0
    broken = recorded(new_job("object-detection"), pictures(2))
    checkpoints = {"LocalPath": "/opt/ml/checkpoints"}
    (broken.base / "input" / "config" / "checkpointconfig.json").write_text(json.dumps(checkpoints))
    measure = job_module._measure

    def killed(training: Any, samples: Any, epoch: int) -> float:
        if epoch == 1:
            raise StopRequested
        return measure(training, samples, epoch)

    monkeypatch.setattr(job_module, "_measure", killed)
    assert broken.train(**settings) == 0
    assert len(told(broken, "validation:mAP")) == 1
    monkeypatch.setattr(job_module, "_measure", measure)
    shutil.rmtree(broken.model)
    assert broken.train(**settings) == 0, broken.failure
    assert "resuming after epoch 0" in broken.log
    assert told(broken, "train:progress")[-1] == 100
    for name in ("train:smooth_l1", "validation:mAP"):
        assert told(broken, name) == pytest.approx(told(straight, name)[1:], rel=1e-5)
    assert (broken.model / model.MODEL_FILE).is_file()
    assert broken.train(**{**settings, "num_classes": 5}) == 1
    assert "The checkpoint was made with num_classes = 4, and the job has 5" in broken.failure


def test_json_annotations_are_as_good_as_recordio_and_a_model_goes_on_from_another(
    new_job: NewJob,
) -> None:
    found = pictures(2)
    first = recorded(new_job("object-detection"), found)
    assert first.train(**SETTINGS) == 0
    same = annotated(new_job("object-detection"), found)
    assert same.train(**SETTINGS) == 0, same.failure
    # The same images, in the same order, with the same boxes but for rounding.
    for name in ("train:cross_entropy", "train:smooth_l1"):
        assert told(same, name) == pytest.approx(told(first, name), rel=1e-3)

    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz", compresslevel=0) as tar:
        tar.add(first.model / model.MODEL_FILE, f"./{model.MODEL_FILE}")
    archive = {"model.tar.gz": body.getvalue()}
    onward = recorded(new_job("object-detection"), found)
    onward.channel("model", "application/x-sagemaker-model", archive)
    # use_pretrained_model is left at 1: the weights are those of the channel.
    settings = {name: each for name, each in SETTINGS.items() if name != "use_pretrained_model"}
    assert onward.train(**{**settings, "learning_rate": 1e-6}) == 0, onward.failure
    before, _ = model.read(first.model / model.MODEL_FILE)
    after, _ = model.read(onward.model / model.MODEL_FILE)
    weights = [name for name in before if name.endswith("weight")]
    # A step of adam moves no weight by more than the learning rate.
    assert all(torch.allclose(after[name], before[name], atol=2e-6) for name in weights)

    for changes, sentence in (
        ({"num_classes": 5}, "was trained with num_classes = 4, and this job has 5; they must be"),
        ({"base_network": "vgg-16"}, "base_network = resnet-50, and this job has vgg-16"),
    ):
        assert onward.train(**{**settings, **changes}) == 1
        assert sentence in onward.failure
    onward.channel("model", "application/x-sagemaker-model", {"model.tar.gz": b"something"})
    assert onward.train(**settings) == 1
    assert "model/model.tar.gz is not a gzipped tar archive" in onward.failure


def test_image_records_and_augmented_manifests_come_through_pipes(new_job: NewJob) -> None:
    found = pictures(2)
    files = recorded(new_job("object-detection"), found)
    assert files.train(**SETTINGS) == 0
    piped = new_job("object-detection")
    for name in ("train", "validation"):
        piped.pipe(name, RECORDIO, records(found[:1]), records(found[1:]))
    assert piped.train(**SETTINGS) == 0, piped.failure
    manifest = new_job("object-detection")
    for name in ("train", "validation"):
        manifest.pipe(
            name,
            RECORDIO,
            *(frame(part) for each in found for part in (each.jpeg(), each.annotation("a.jpg"))),
        )
    assert manifest.train(**SETTINGS) == 0, manifest.failure
    for name in ("train:cross_entropy", "train:smooth_l1", "validation:mAP"):
        assert told(piped, name) == pytest.approx(told(files, name), rel=1e-3)
        assert told(manifest, name) == pytest.approx(told(files, name), rel=1e-3)


def test_vgg_learns_with_frozen_layers_that_keep_their_weights(new_job: NewJob) -> None:
    job = recorded(new_job("object-detection"), pictures(2))
    pattern = "^(conv1_|conv2_).*"
    settings = {**SETTINGS, "base_network": "vgg-16", "freeze_layer_pattern": pattern}
    assert job.train(**settings, label_width=17, nms_threshold=0.3) == 0, job.failure
    tensors, about = model.read(job.model / model.MODEL_FILE)
    assert about["nms_threshold"] == 0.3
    torch.manual_seed(0)
    fresh = Detector("vgg-16", 4, SIDE).state_dict()
    kept = {name for name, each in tensors.items() if torch.equal(each, fresh[name])}
    frozen = {f"base.conv{group}_{number}.weight" for group in (1, 2) for number in (1, 2)}
    assert frozen < kept
    learnt = {f"base.conv{group}_{number}.weight" for group in (3, 4) for number in (1, 2, 3)}
    assert not learnt & kept
    warned = "Channel train has 2 images, and num_training_samples is 8"
    assert warned in job.log


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"use_pretrained_model": 1}, "use_pretrained_model asks for the weights of resnet-50"),
        ({"image_shape": 299}, "image_shape"),
        ({"optimizer": "nag"}, "optimizer"),
        ({"freeze_layer_pattern": "(conv"}, "freeze_layer_pattern '(conv' is not a regular expres"),
        ({"freeze_layer_pattern": "conv9"}, "'conv9' matches none of the layers: conv0_weight"),
        ({"freeze_layer_pattern": ".*"}, "freeze_layer_pattern '.*' matches all layers"),
        ({"label_width": 16}, "train/train.rec, record 1: the label has 17 numbers, and label_wid"),
        ({"num_classes": 2}, "train/train.rec, record 1, object 3: the class is 3; with num_clas"),
    ],
    ids=[
        "pretrained",
        "image_shape",
        "optimizer",
        "no-pattern",
        "nothing-frozen",
        "all-frozen",
        "label_width",
        "num_classes",
    ],
)
def test_a_wrong_hyperparameter_is_told(
    new_job: NewJob, changes: dict[str, Any], sentence: str
) -> None:
    # The first record that is read is wrong whichever it is.
    job = recorded(new_job("object-detection"), pictures(1, seed=4))
    assert job.train(**{**SETTINGS, **changes}) == 1
    assert job.failure.startswith("ClientError: ")
    assert sentence in job.failure


def test_what_cannot_be_read_is_told(new_job: NewJob) -> None:
    job = new_job("object-detection")
    good = pictures(1)[0]
    broken = imagerecord.pack(good.label, good.jpeg()[:500])
    for name in ("train", "validation"):
        job.channel(name, RECORDIO, {"a.rec": broken})
    assert job.train(**SETTINGS) == 1
    assert "ClientError: train/a.rec, record 1: not a readable image" in job.failure
    job.channel("train", RECORDIO, {"a.rec": broken[:-40]})
    assert job.train(**SETTINGS) == 1
    assert "ClientError: train/a.rec, record 1, byte 0: truncated" in job.failure
    job.channel("train", "text/csv", {"a.rec": broken})
    assert job.train(**SETTINGS) == 1
    assert "Content type 'text/csv' of channel 'train' is not supported" in job.failure
    job.channel("train", "image/jpeg", {"a.jpg": good.jpeg()})
    assert job.train(**SETTINGS) == 1
    assert "Missing required channel: train_annotation" in job.failure
    images = new_job("object-detection")
    for name in ("train", "validation"):
        images.pipe(name, "image/jpeg", good.jpeg())
    assert images.train(**SETTINGS) == 1
    assert "cannot be read in Pipe mode; use File mode, or application/x-recordio" in images.failure


def test_hosts_that_do_not_wait_for_one_another_are_refused(new_job: NewJob) -> None:
    job = recorded(new_job("object-detection"), pictures(1))
    resources = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}
    (job.base / "input" / "config" / "resourceconfig.json").write_text(json.dumps(resources))
    assert job.train(**SETTINGS, kv_store="dist_async") == 1
    assert "kv_store dist_async is not supported by this image" in job.failure


def test_a_request_that_is_no_image_is_refused_and_a_foreign_model_too(tmp_path: Path) -> None:
    path = tmp_path / model.MODEL_FILE
    settings = {"base_network": "resnet-50", "num_classes": 1, "image_shape": SIDE}
    module = Detector("resnet-50", 1, SIDE)
    model.write(path, module, {**settings, "nms_threshold": 0.5})
    loaded = model.load(tmp_path)
    with pytest.raises(Refusal, match="payload: not a JPEG or PNG image") as refused:
        invoke(loaded, b"text", "image/jpeg", None, batch=False)
    assert refused.value.status == 400
    with pytest.raises(Refusal, match="Content type 'text/csv' is not supported") as refused:
        invoke(loaded, b"text", "text/csv", None, batch=False)
    assert refused.value.status == 415
    with pytest.raises(Refusal, match="Accept 'image/png' is not supported") as refused:
        invoke(loaded, b"text", "image/jpeg", "image/png", batch=False)
    assert refused.value.status == 406
    model.write(path, module, {**settings, "num_classes": 2, "nms_threshold": 0.5})
    with pytest.raises(CustomerError, match="does not hold its network"):
        model.load(tmp_path)
