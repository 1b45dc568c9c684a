"""Image Classification: jobs, from their channels to what the model answers."""

import colorsys
import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from algorithms.catalog import algorithm
from algorithms.image_classification import augmentation, model
from algorithms.image_classification import job as job_module
from algorithms.image_classification.data import Labels
from algorithms.image_classification.network import LARGE, SMALL, Classifier
from algorithms.toolkit import compiler
from algorithms.toolkit.errors import CustomerError, StopRequested
from algorithms.toolkit.formats.recordio import frame
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.images import imagerecord
from algorithms.toolkit.images.samples import Sample
from algorithms.toolkit.invocations import Refusal, invoke
from datasets import digit_images
from datasets.digit_images import Digit
from tests.unit.algorithms.conftest import JobFolder

NewJob = Callable[[str], JobFolder]

NAME = "image-classification"
RECORDIO = "application/x-recordio"
SETTINGS = {
    "num_layers": 20,
    "image_shape": "3,28,28",
    "num_classes": 10,
    "num_training_samples": 16,
    "mini_batch_size": 8,
    "epochs": 1,
    "learning_rate": 0.01,
}
SIXTEEN = digit_images.small()[:16]


def recorded(job: JobFolder, digits: Sequence[Digit] = SIXTEEN) -> JobFolder:
    for name in ("train", "validation"):
        job.channel(name, RECORDIO, {f"{name}.rec": digit_images.recordio(digits)})
    return job


def listed(job: JobFolder, lst: bytes, digits: Sequence[Digit] = SIXTEEN) -> JobFolder:
    for name in ("train", "validation"):
        job.channel(name, "application/x-image", digit_images.files(digits))
        job.channel(f"{name}_lst", "application/x-image", {"all.lst": lst})
    return job


def told(job: JobFolder, name: str) -> list[float]:
    """The values of a metric, found by the pattern of the catalogue."""
    (metric,) = (each for each in algorithm(NAME).metrics if each.name == name)
    return [float(value) for value in re.findall(metric.regex, job.log)]


def tensors(job: JobFolder) -> dict[str, Any]:
    return model.read(job.model / model.MODEL_FILE)[0]


_PLAIN: dict[str, Any] = {}


def plain(new_job: NewJob) -> dict[str, Any]:
    """What is learnt in two epochs with the settings as they are; the same for all tests."""
    if not _PLAIN:
        job = recorded(new_job(NAME))
        assert job.train(**{**SETTINGS, "epochs": 2}) == 0, job.failure
        _PLAIN.update(tensors(job))
    return _PLAIN


@pytest.mark.parametrize("depth", [*LARGE, *SMALL])
def test_a_network_has_the_depth_that_its_number_says(depth: int) -> None:
    with torch.device("meta"), compiler.absent():
        module = Classifier(depth, (3, 28, 28), 7)
        assert module(torch.empty(2, 3, 64, 64)).shape == (2, 7)
    # Layers with weights, but for the shortcuts, which are beside the others.
    layers = [
        name
        for name, each in module.named_modules()
        if isinstance(each, torch.nn.Conv2d | torch.nn.Linear) and "downsample" not in name
    ]
    assert len(layers) == depth


def test_digits_are_learnt_told_and_named_again(new_job: NewJob) -> None:
    digits = digit_images.small()[:120]
    job = recorded(new_job(NAME), digits)
    settings = {**SETTINGS, "epochs": 8, "num_training_samples": 120, "optimizer": "adam"}
    assert job.train(**{**settings, "learning_rate": 0.002, "top_k": 2}) == 0, job.failure
    scores = told(job, "validation:accuracy")
    assert len(scores) == 8
    assert max(scores) >= 0.9
    assert told(job, "train:accuracy") == told(job, "train:accuracy:epoch")
    assert len(re.findall(r"Epoch\[\d\] Validation-top_k_accuracy_2=[01]\.\d+", job.log)) == 8
    assert f"Storing the best model with validation accuracy: {max(scores):f}" in job.log

    loaded = model.load(job.model)
    right = 0
    for digit in digits[:30]:
        status, kind, body = invoke(loaded, digit.png, "application/x-image", None, batch=False)
        assert (status, kind) == (200, "application/json")
        found = json.loads(body)
        assert sum(found) == pytest.approx(1, abs=1e-5)
        right += int(np.argmax(found)) == digit.label
    assert right >= 25
    _, kind, line = invoke(loaded, digit.png, "image/png", "application/jsonlines", batch=True)
    assert kind == "application/jsonlines"
    assert json.loads(line) == {"prediction": found}
    # An image of another shape is squeezed, not cut.
    wide = io.BytesIO()
    Image.new("RGB", (90, 40)).save(wide, "JPEG")
    _, _, body = invoke(loaded, wide.getvalue(), "image/jpeg", "application/json", batch=False)
    assert len(json.loads(body)) == 10


def test_every_form_of_input_gives_the_same_model(new_job: NewJob) -> None:
    records = recorded(new_job(NAME))
    assert records.train(**SETTINGS) == 0, records.failure
    again = recorded(new_job(NAME))
    assert again.train(**SETTINGS) == 0
    files = listed(new_job(NAME), digit_images.lst(SIXTEEN))
    assert files.train(**SETTINGS) == 0, files.failure
    piped = new_job(NAME)
    for name in ("train", "validation"):
        piped.pipe(name, RECORDIO, digit_images.recordio(SIXTEEN))
    assert piped.train(**SETTINGS) == 0, piped.failure
    manifest = new_job(NAME)
    for name in ("train", "validation"):
        attributes = ((digit.png, str(digit.label).encode()) for digit in SIXTEEN)
        manifest.pipe(name, RECORDIO, *(frame(part) for each in attributes for part in each))
    assert manifest.train(**SETTINGS) == 0, manifest.failure
    for other in (again, files, piped, manifest):
        for name, each in tensors(records).items():
            assert torch.allclose(each, tensors(other)[name], atol=1e-5), name


def test_several_labels_count_each_by_itself_and_rare_ones_more(new_job: NewJob) -> None:
    # Whether a digit is odd, and whether it is the one that is rare among these.
    rows = [(digit.png, [digit.label % 2, int(digit.label == 4)]) for digit in SIXTEEN]
    body = b"".join(imagerecord.pack(labels, image) for image, labels in rows)
    found = {}
    for weighted in (0, 1):
        job = new_job(NAME)
        for name in ("train", "validation"):
            job.channel(name, RECORDIO, {"a.rec": body})
        settings = {**SETTINGS, "num_classes": 2, "multi_label": 1, "epochs": 6}
        assert job.train(**settings, use_weighted_loss=weighted) == 0, job.failure
        loaded = model.load(job.model)
        answers = [
            json.loads(invoke(loaded, digit.png, "image/png", None, batch=False)[2])
            for digit in SIXTEEN
        ]
        found[weighted] = np.mean(answers, axis=0)
    assert (found[0] > 0).all()
    assert (found[0] < 1).all()
    # One digit is a four: it counts as much as the fifteen others that are not.
    assert found[1][1] > found[0][1] + 0.05
    refused = new_job(NAME)
    for name in ("train", "validation"):
        refused.channel(name, RECORDIO, {"a.rec": body})
    assert refused.train(**{**settings, "num_classes": 5}) == 1
    assert (
        "Mismatch between number of labels in the multi-label data (2) and the num_classes "
        "parameter (5)." in refused.failure
    )


def test_a_job_that_was_killed_goes_on_and_ends_like_one_that_was_not(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SETTINGS, "epochs": 3}
    straight = recorded(new_job(NAME))
    assert straight.train(**settings, checkpoint_frequency=2) == 0
    kept = {path.name for path in straight.model.glob("image-classification-0*")}
    assert kept == {"image-classification-0002.safetensors"}
    broken = recorded(new_job(NAME))
    checkpoints = {"LocalPath": "/opt/ml/checkpoints"}
    (broken.base / "input" / "config" / "checkpointconfig.json").write_text(json.dumps(checkpoints))
    measure = job_module._Classification.measure

    def killed(self: Any, epoch: int) -> float:
        if epoch == 1:
            raise StopRequested
        return measure(self, epoch)

    monkeypatch.setattr(job_module._Classification, "measure", killed)
    assert broken.train(**settings) == 0
    assert len(told(broken, "validation:accuracy")) == 1
    monkeypatch.setattr(job_module._Classification, "measure", measure)
    shutil.rmtree(broken.model)
    assert broken.train(**settings) == 0, broken.failure
    assert "resuming after epoch 0" in broken.log
    assert told(broken, "train:accuracy") == pytest.approx(told(straight, "train:accuracy")[1:])
    assert (broken.model / model.MODEL_FILE).is_file()
    assert broken.train(**{**settings, "optimizer": "adam"}) == 1
    assert "The checkpoint was made with optimizer = sgd, and the job has adam" in broken.failure


def test_a_model_goes_on_from_another_and_must_be_like_it(new_job: NewJob) -> None:
    first = recorded(new_job(NAME))
    assert first.train(**SETTINGS) == 0
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as tar:
        tar.add(first.model / model.MODEL_FILE, f"./{model.MODEL_FILE}")
    onward = recorded(new_job(NAME))
    onward.channel("model", "application/x-sagemaker-model", {"model.tar.gz": body.getvalue()})
    assert onward.train(**{**SETTINGS, "learning_rate": 1e-9}) == 0, onward.failure
    after = tensors(onward)
    for name, each in tensors(first).items():
        if name.endswith("weight"):
            assert torch.allclose(each, after[name], atol=1e-6), name
    assert onward.train(**{**SETTINGS, "num_layers": 32}) == 1
    assert "was trained with num_layers = 20, and this job has 32" in onward.failure


def test_weights_that_the_image_was_built_with_are_all_taken_but_the_last_layer(
    new_job: NewJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file
    from torchvision.models import resnet18

    monkeypatch.setenv("SAGEMAKER_PRETRAINED_DIR", str(tmp_path))
    torch.manual_seed(1)
    elsewhere = resnet18(num_classes=1000)
    save_file(elsewhere.state_dict(), str(tmp_path / "resnet-18.safetensors"))
    job = recorded(new_job(NAME))
    job_settings = {**SETTINGS, "num_layers": 18, "image_shape": "3,224,224"}
    large = io.BytesIO()
    Image.new("RGB", (224, 224), (200, 10, 10)).save(large, "PNG")
    body = b"".join(imagerecord.pack([number % 10], large.getvalue()) for number in range(2))
    for name in ("train", "validation"):
        job.channel(name, RECORDIO, {f"{name}.rec": body})
    job_settings |= {"mini_batch_size": 2, "learning_rate": 0, "use_pretrained_model": 1}
    assert job.train(**job_settings) == 0, job.failure
    found = tensors(job)
    for name, each in elsewhere.state_dict().items():
        if not name.startswith("fc.") and "running" not in name and "num_batches" not in name:
            assert torch.equal(each, found[f"network.{name}"]), name
    assert found["network.fc.weight"].shape == (10, 512)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"use_pretrained_model": 1, "num_layers": 18, "image_shape": "3,224,224"},
            "use_pretrained_model asks for the weights of resnet-18, which this image does not",
        ),
        ({"image_shape": "2,28,28"}, "image_shape is 2,28,28; it must be channels, height and wid"),
        ({"image_shape": "28,28"}, "image_shape is 28,28; it must be channels, height and width"),
        ({"image_shape": "3,32,32"}, "28 x 28 pixels, which is less than image_shape, 32 x 32; s"),
        ({"num_layers": 19}, "num_layers"),
        ({"optimizer": "adagrad"}, "optimizer"),
        ({"top_k": 11}, "top_k is 11; it is for multi_label 0, and at most num_classes"),
        ({"use_weighted_loss": 1}, "use_weighted_loss"),
        ({"mini_batch_size": 17}, "must be bigger or equal to the mini_batch_size. There are 16"),
        ({"num_classes": 3}, "with num_classes 3 it is a whole number from 0 to 2"),
    ],
    ids=[
        "pretrained",
        "channels",
        "shape",
        "small",
        "depth",
        "optimizer",
        "top_k",
        "weighted",
        "batch",
        "classes",
    ],
)
def test_a_wrong_hyperparameter_is_told(
    new_job: NewJob, changes: dict[str, Any], sentence: str
) -> None:
    job = recorded(new_job(NAME))
    assert job.train(**{**SETTINGS, **changes}) == 1
    assert job.failure.startswith("ClientError: ")
    assert sentence in job.failure


def test_what_cannot_be_read_is_told(new_job: NewJob) -> None:
    good = SIXTEEN[0]
    job = new_job(NAME)
    for name in ("train", "validation"):
        broken = imagerecord.pack([1], good.png[:200])
        job.channel(name, RECORDIO, {"a.rec": digit_images.recordio(SIXTEEN) + broken})
    assert job.train(**SETTINGS) == 1
    assert "ClientError: train/a.rec, record 17: not a readable image" in job.failure
    for lst, sentence in (
        (b"0\t1\n", "train_lst/all.lst, line 1: 2 columns with tabs between them; a number, the"),
        (b"0\tone\t3/0.png\n", "train_lst/all.lst, line 1: the label 'one' is no number"),
        (b"0\t11\t3/0.png\n", "train_lst/all.lst, line 1: channel train has no image '3/0.png'"),
        (b"0\t1\t../x.png\n", "train_lst/all.lst, line 1: channel train has no image '../x.png'"),
        (b"\n", "train_lst/all.lst names no image"),
    ):
        files = listed(new_job(NAME), lst)
        assert files.train(**SETTINGS) == 1
        assert f"ClientError: {sentence}" in files.failure
    shutil.rmtree(files.base / "input" / "data" / "train_lst")
    files.channel("train_lst", "application/x-image", {"readme.txt": b"1"})
    assert files.train(**SETTINGS) == 1
    assert "Channel train_lst has 0 .lst files; it must have one" in files.failure


def test_hosts_that_do_not_wait_for_one_another_are_refused(new_job: NewJob) -> None:
    job = recorded(new_job(NAME))
    resources = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}
    (job.base / "input" / "config" / "resourceconfig.json").write_text(json.dumps(resources))
    assert job.train(**SETTINGS, kv_store="dist_async") == 1
    assert "kv_store dist_async is not supported by this image" in job.failure


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"augmentation_type": "crop"}, True),
        ({"augmentation_type": "crop_color"}, True),
        ({"augmentation_type": "crop_color_transform"}, True),
        ({"precision_dtype": "float16"}, None),
        ({"momentum": 0.1}, True),
        ({"weight_decay": 0.1}, True),
        ({"optimizer": "nag"}, True),
        ({"optimizer": "rmsprop", "gamma": 0.5}, True),
        ({"optimizer": "adam", "beta_1": 0.5, "beta_2": 0.9, "eps": 0.1}, True),
        ({"kv_store": "dist_sync"}, False),
        ({"resize": 29}, True),
        ({"image_shape": "1,28,28"}, None),
    ],
)
def test_each_setting_changes_what_is_learnt(
    new_job: NewJob, changes: dict[str, Any], differs: bool | None
) -> None:
    other = recorded(new_job(NAME))
    assert other.train(**{**SETTINGS, "epochs": 2, **changes}) == 0, other.failure
    if differs is not None:
        before, after = plain(new_job), tensors(other)
        same = all(torch.equal(before[name], after[name]) for name in before)
        assert same is not differs


def test_the_learning_rate_falls_at_the_epochs_that_are_named(new_job: NewJob) -> None:
    job = recorded(new_job(NAME))
    steps = {"lr_scheduler_step": "2,3", "lr_scheduler_factor": 0, "checkpoint_frequency": 1}
    assert job.train(**{**SETTINGS, "epochs": 3}, **steps) == 0, job.failure
    first, second, third = (
        model.read(job.model / f"image-classification-{number:04}.safetensors")[0]
        for number in (1, 2, 3)
    )
    assert not torch.equal(first["network.fc.weight"], second["network.fc.weight"])
    assert torch.equal(second["network.fc.weight"], third["network.fc.weight"])


def test_training_ends_early_when_it_gets_no_better(new_job: NewJob) -> None:
    job = recorded(new_job(NAME))
    early = {"early_stopping_min_epochs": 2, "early_stopping_patience": 1}
    settings = {**SETTINGS, "epochs": 9, "learning_rate": 0, **early}
    assert job.train(**settings, early_stopping="True", early_stopping_tolerance=0.5) == 0
    assert len(told(job, "validation:accuracy")) == 2
    assert "Early stopping after epoch 1" in job.log


def test_the_last_image_of_an_epoch_may_be_alone(new_job: NewJob) -> None:
    job = recorded(new_job(NAME), SIXTEEN[:9])
    assert job.train(**{**SETTINGS, "num_layers": 18}) == 0, job.failure


def test_attributes_tell_labels_in_both_formats() -> None:
    def target(form: Labels, body: bytes) -> list[float]:
        found: list[float] = form.target(Sample(b"", body, "train, record 1")).tolist()
        return found

    assert target(Labels(10, several=False), b"7") == [7]
    assert target(Labels(10, several=False), b'"7"') == [7]
    assert target(Labels(3, several=True), b"[1, 0, 1]") == [1, 0, 1]
    assert target(Labels(3, several=True), b'"[1, 0, 1]"') == [1, 0, 1]
    assert target(Labels(3, several=True, by_number=True), b"[0, 2]") == [1, 0, 1]
    for form, body, sentence in (
        (Labels(10, several=False), b"seven", "is neither a class nor a list of them"),
        (Labels(10, several=False), b"[" * 9999, "is neither a class nor a list of them"),
        (Labels(10, several=False), b"[1, 2]", "2 labels; an image has one"),
        (Labels(10, several=False), b"NaN", "the class is nan"),
        (Labels(3, several=True), b"[0, 2, 1]", "a label is 0 or 1 for each class"),
        (Labels(3, several=True, by_number=True), b"[3]", "the class is 3"),
    ):
        with pytest.raises(FormatError, match=r"train, record 1: the attribute: ") as caught:
            target(form, body)
        assert sentence in str(caught.value)


def test_a_format_of_labels_that_there_is_not_is_refused(new_job: NewJob) -> None:
    job = recorded(new_job(NAME))
    records = {"a.rec": digit_images.recordio(SIXTEEN)}
    job.channel("train", f"{RECORDIO};label-format=one-hot", records)
    assert job.train(**SETTINGS) == 1
    assert "label-format=one-hot is not supported; multi-hot or class-id is" in job.failure


def test_colours_move_as_in_the_space_of_hue_lightness_and_saturation() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    pixels[0, 0] = 77
    moved = augmentation.coloured(pixels, 20, -30, 25)
    for before, after in zip(pixels.reshape(-1, 3), moved.reshape(-1, 3), strict=True):
        hue, light, strength = colorsys.rgb_to_hls(*(before / 255))
        light = min(max(light - 30 / 255, 0), 1)
        strength = min(max(strength + 25 / 255, 0), 1) if strength else 0
        wanted = np.array(colorsys.hls_to_rgb((hue + 20 / 180) % 1, light, strength)) * 255
        np.testing.assert_allclose(after, wanted, atol=0.51)
    np.testing.assert_array_equal(augmentation.coloured(pixels, 0, 0, 0), pixels)


def test_images_are_cut_to_size_in_the_middle_or_anywhere() -> None:
    ramp = Image.fromarray(np.arange(40 * 30, dtype=np.uint16).astype(np.uint8).reshape(30, 40))
    middle = augmentation.plain(ramp, (1, 10, 20), "a")
    np.testing.assert_array_equal(middle[:, :, 0], np.asarray(ramp)[10:20, 10:30])
    random = np.random.default_rng(0)
    found = {
        augmentation.varied(ramp, (1, 10, 20), "crop", "a", random).tobytes() for _ in range(8)
    }
    assert len(found) == 8
    assert augmentation.resized(ramp, 60).size == (80, 60)
    assert augmentation.squeezed(ramp, (1, 12, 14)).shape == (12, 14, 1)
    turned = augmentation.varied(ramp, (1, 30, 40), "crop_color_transform", "a", random)
    assert turned.shape == (30, 40, 1)
    with pytest.raises(FormatError, match="a: 40 x 30 pixels, which is less than image_shape, 50"):
        augmentation.plain(ramp, (1, 10, 50), "a")


def test_a_request_that_is_no_image_is_refused_and_a_foreign_model_too(tmp_path: Path) -> None:
    path = tmp_path / model.MODEL_FILE
    settings = {"num_layers": 20, "image_shape": [3, 28, 28], "num_classes": 2, "multi_label": 0}
    module = model.network(settings)
    model.write(path, module, settings)
    with pytest.raises(Refusal, match="payload: not a JPEG or PNG image") as refused:
        invoke(model.load(tmp_path), b"text", "image/jpeg", None, batch=False)
    assert refused.value.status == 400
    model.write(path, module, {**settings, "num_classes": 3})
    with pytest.raises(CustomerError, match="does not hold its network"):
        model.load(tmp_path)


def test_models_kept_before_an_interruption_are_in_the_artifact_too(new_job: NewJob) -> None:
    job = recorded(new_job(NAME))
    checkpoints = {"LocalPath": "/opt/ml/checkpoints"}
    (job.base / "input" / "config" / "checkpointconfig.json").write_text(json.dumps(checkpoints))
    assert job.train(**SETTINGS, checkpoint_frequency=1) == 0, job.failure
    first = (job.model / "image-classification-0001.safetensors").read_bytes()
    # What an interrupted job made is lost, but for its checkpoints.
    shutil.rmtree(job.model)
    assert job.train(**{**SETTINGS, "epochs": 2}, checkpoint_frequency=1) == 0, job.failure
    assert (job.model / "image-classification-0001.safetensors").read_bytes() == first
    assert (job.model / "image-classification-0002.safetensors").read_bytes() != first
