"""Object Detection on canvases of real digits, through jobs and an endpoint of the platform.

How well it learns is measured in benchmarks/algorithms: images of 300 pixels take hours of this.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from algorithms.toolkit.images import imagerecord
from datasets.canvases import Canvas, canvases
from tests.local.algorithms.support import Data, Endpoint, completed, fit, interrupted, served
from tests.platform import LocalPlatform

NAME = "object-detection"
RECORDIO = "application/x-recordio"
SETTINGS = {
    "base_network": "resnet-50",
    "use_pretrained_model": 0,
    "num_classes": 10,
    "num_training_samples": 4,
    "mini_batch_size": 2,
    "epochs": 2,
    "optimizer": "sgd",
    "learning_rate": 0.0005,
}
METRICS = {"validation:mAP", "train:cross_entropy", "train:smooth_l1", "train:progress"}


def pictures(count: int = 4) -> list[Canvas]:
    return canvases(count, side=150, digits=3, sizes=(40, 70), seed=0)


def recorded(train: Sequence[Canvas], validation: Sequence[Canvas]) -> dict[str, Data]:
    return {
        name: Data(
            {"a.rec": b"".join(imagerecord.pack(each.label, each.jpeg()) for each in found)},
            RECORDIO,
        )
        for name, found in (("train", train), ("validation", validation))
    }


def augmented(platform: LocalPlatform, channels: Mapping[str, Sequence[Canvas]]) -> dict[str, Data]:
    bucket = platform.parameter("storage/data-bucket")
    prefix = f"canvases-{uuid4().hex[:8]}"
    found = {}
    for name, canvases_of in channels.items():
        lines = []
        for number, each in enumerate(canvases_of):
            key = f"{prefix}/{name}/{number}.jpg"
            platform.client("s3").put_object(Bucket=bucket, Key=key, Body=each.jpeg())
            note = json.loads(each.annotation(key))
            del note["file"]
            lines.append(json.dumps({"source-ref": f"s3://{bucket}/{key}", "bounding-box": note}))
        manifest = f"{prefix}/{name}.manifest"
        body = "\n".join(lines).encode()
        platform.client("s3").put_object(Bucket=bucket, Key=manifest, Body=body)
        source = {
            "S3DataType": "AugmentedManifestFile",
            "S3Uri": f"s3://{bucket}/{manifest}",
            "AttributeNames": ["source-ref", "bounding-box"],
        }
        wrapped = {"RecordWrapperType": "RecordIO"}
        found[name] = Data({}, RECORDIO, mode="Pipe", source=source, options=wrapped)
    return found


@dataclass(frozen=True)
class Trained:
    """A job that learnt on one host from a file, and lost its instance on the way."""

    job: dict[str, Any]
    log: str


@pytest.fixture(scope="module")
def alone(platform: LocalPlatform) -> Trained:
    channels = recorded(pictures(), pictures(1))
    return Trained(*interrupted(platform, NAME, channels, SETTINGS, seconds=600))


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, alone: Trained) -> Iterator[Endpoint]:
    with served(platform, NAME, alone.job) as found:
        yield found


def test_an_interrupted_job_ends_with_all_its_epochs(alone: Trained) -> None:
    found = completed(alone.job)
    assert set(found) >= METRICS
    assert found["train:progress"] == 100
    scores = re.findall(r"epoch=(\d), validation mAP", alone.log)
    # The epoch that was broken off may have been told, and is told once more.
    assert set(scores) == {"0", "1"}
    assert scores.count("0") == 1


def test_two_hosts_and_a_pipe_learn_what_one_host_learns_of_a_file(
    platform: LocalPlatform, alone: Trained
) -> None:
    one = completed(alone.job)
    # Each host takes two of the four images: together they make one step of four.
    channels = augmented(platform, {"train": pictures(), "validation": pictures(2)})
    both = completed(fit(platform, NAME, channels, SETTINGS, hosts=2, seconds=600))
    assert set(both) >= METRICS
    assert both["train:cross_entropy"] < 2 * one["train:cross_entropy"]


def test_every_form_of_request_and_answer(endpoint: Endpoint) -> None:
    body = pictures()[0].jpeg()
    answer = endpoint.ask(body, "image/jpeg")
    seen = json.loads(answer)["prediction"]
    for kind, score, *box in seen:
        assert kind in range(10)
        assert 0.01 <= score <= 1
        assert all(0 <= number <= 1 for number in box)
    assert endpoint.ask(body, "application/x-image", "application/json") == answer
    lines = endpoint.ask(body, "application/x-image", "application/jsonlines")
    assert lines == answer + b"\n"
    note = json.loads(endpoint.ask(body, "image/jpeg", "application/json;annotation=1"))
    assert note["image_size"] == [{"width": 150, "height": 150, "depth": 3}]
    assert [one["class_id"] for one in note["annotations"]] == [row[0] for row in seen]
    assert endpoint.refused(b"text", "image/png") == (
        "400 Unable to evaluate payload provided: payload: not a JPEG or PNG image"
    )


def test_a_corrupt_image_fails_the_job_with_its_place(platform: LocalPlatform) -> None:
    (good, *_) = pictures()
    broken = imagerecord.pack(good.label, good.jpeg()[:400])
    channels = {name: Data({"a.rec": broken}, RECORDIO) for name in ("train", "validation")}
    corrupt = fit(platform, NAME, channels, SETTINGS)
    assert corrupt["TrainingJobStatus"] == "Failed"
    assert "train/a.rec, record 1: not a readable image" in corrupt["FailureReason"]
