"""Semantic Segmentation on canvases of real digits, through jobs and an endpoint."""

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from algorithms.toolkit.formats.record import record_class
from algorithms.toolkit.formats.recordio import frames
from datasets.canvases import Canvas, canvases
from tests.local.algorithms.support import Data, Endpoint, completed, fit, interrupted, served
from tests.platform import LocalPlatform

NAME = "semantic-segmentation"
SIDE = 40
SETTINGS = {
    "use_pretrained_model": "False",
    "num_classes": 4,
    "num_training_samples": 4,
    "mini_batch_size": 2,
    "base_size": SIDE,
    "crop_size": SIDE,
    "epochs": 2,
    "optimizer": "sgd",
    "learning_rate": 0.001,
}
METRICS = {"validation:mIOU", "validation:pixel_accuracy", "train:loss", "validation:throughput"}


def pictures(count: int = 4) -> list[Canvas]:
    return canvases(count, side=SIDE, digits=1, sizes=(30, 40), kinds=(0, 1, 2), seed=0)


def filed(train: Sequence[Canvas], validation: Sequence[Canvas]) -> dict[str, Data]:
    channels = {}
    for name, found in (("train", train), ("validation", validation)):
        images = {f"{n}.jpg": each.jpeg() for n, each in enumerate(found)}
        masks = {f"{n}.png": each.mask_png() for n, each in enumerate(found)}
        channels[name] = Data(images, "image/jpeg")
        channels[f"{name}_annotation"] = Data(masks, "image/png")
    return channels


def augmented(platform: LocalPlatform, found: Sequence[Canvas]) -> dict[str, Data]:
    bucket = platform.parameter("storage/data-bucket")
    prefix = f"masks-{uuid4().hex[:8]}"
    lines = []
    for number, each in enumerate(found):
        line = {}
        for attribute, body in (("source-ref", each.jpeg()), ("digit-ref", each.mask_png())):
            key = f"{prefix}/{attribute}/{number}"
            platform.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
            line[attribute] = f"s3://{bucket}/{key}"
        lines.append(json.dumps(line))
    manifest = f"{prefix}/all.manifest"
    body = "\n".join(lines).encode()
    platform.client("s3").put_object(Bucket=bucket, Key=manifest, Body=body)
    source = {
        "S3DataType": "AugmentedManifestFile",
        "S3Uri": f"s3://{bucket}/{manifest}",
        "AttributeNames": ["source-ref", "digit-ref"],
    }
    wrapped = {"RecordWrapperType": "RecordIO"}
    one = Data({}, "application/x-recordio", mode="Pipe", source=source, options=wrapped)
    return {"train": one, "validation": one}


@dataclass(frozen=True)
class Trained:
    """A job that learnt from files, and lost its instances on the way."""

    job: dict[str, Any]
    log: str


@pytest.fixture(scope="module")
def files(platform: LocalPlatform) -> Trained:
    channels = filed(pictures(), pictures())
    return Trained(*interrupted(platform, NAME, channels, SETTINGS, seconds=600))


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, files: Trained) -> Iterator[Endpoint]:
    with served(platform, NAME, files.job) as found:
        yield found


def test_an_interrupted_job_ends_with_all_its_epochs(files: Trained) -> None:
    assert set(completed(files.job)) >= METRICS
    losses = re.findall(r"epoch=(\d), train loss <loss>=(\S+)", files.log)
    # The epoch that was broken off may have been told, and is told once more.
    assert {epoch for epoch, _ in losses} == {"0", "1"}
    assert [epoch for epoch, _ in losses].count("0") == 1
    assert float(losses[-1][1]) < float(losses[0][1])


def test_a_pipe_learns_what_files_teach(platform: LocalPlatform, files: Trained) -> None:
    job = fit(platform, NAME, augmented(platform, pictures()), SETTINGS, seconds=600)
    piped, plain = completed(job), completed(files.job)
    # Of files it was learnt with an interruption, which is to make no difference.
    for name in ("train:loss", "validation:mIOU", "validation:pixel_accuracy"):
        assert piped[name] == pytest.approx(plain[name], rel=1e-4)


def test_every_form_of_request_and_answer(endpoint: Endpoint) -> None:
    body = pictures()[0].jpeg()
    answer = endpoint.ask(body, "image/jpeg")
    mask = Image.open(io.BytesIO(answer))
    assert (mask.format, mask.mode, mask.size) == ("PNG", "L", (SIDE, SIDE))
    assert endpoint.ask(body, "application/x-image", "image/png") == answer
    for wanted in ("application/x-protobuf", "application/x-recordio-protobuf"):
        (message,) = frames(endpoint.ask(body, "image/jpeg", wanted), "answer")
        record = record_class().FromString(bytes(message))
        shape = list(record.features["shape"].int32_tensor.values)
        assert shape == [1, 4, SIDE, SIDE]
        values = np.array(record.features["target"].float32_tensor.values).reshape(shape)
        assert np.array_equal(values[0].argmax(axis=0), np.array(mask))
    assert endpoint.refused(b"text", "image/jpeg") == (
        "400 Unable to evaluate payload provided: payload: not a JPEG or PNG image"
    )


def test_a_corrupt_image_fails_the_job_with_its_place(platform: LocalPlatform) -> None:
    (good, *_) = pictures()
    channels = filed([good], [good])
    broken = Data({"0.jpg": good.jpeg()[:300]}, "image/jpeg")
    corrupt = fit(platform, NAME, {**channels, "train": broken}, SETTINGS)
    assert corrupt["TrainingJobStatus"] == "Failed"
    assert "train/0.jpg: not a readable image" in corrupt["FailureReason"]
