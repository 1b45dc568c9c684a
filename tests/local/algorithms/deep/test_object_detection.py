"""Object Detection on canvases of real digits, through jobs and an endpoint of the platform.

How well it learns is measured in benchmarks/algorithms: images of 300 pixels take hours of this.
"""

import json
import re
from collections.abc import Iterator, Sequence
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
    "epochs": 1,
    "optimizer": "adam",
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


def augmented(platform: LocalPlatform, found: Sequence[Canvas]) -> dict[str, Data]:
    bucket = platform.parameter("storage/data-bucket")
    prefix = f"canvases-{uuid4().hex[:8]}"
    lines = []
    for number, each in enumerate(found):
        key = f"{prefix}/{number}.jpg"
        platform.client("s3").put_object(Bucket=bucket, Key=key, Body=each.jpeg())
        note = json.loads(each.annotation(key))
        del note["file"]
        lines.append(json.dumps({"source-ref": f"s3://{bucket}/{key}", "bounding-box": note}))
    manifest = f"{prefix}/all.manifest"
    body = "\n".join(lines).encode()
    platform.client("s3").put_object(Bucket=bucket, Key=manifest, Body=body)
    source = {
        "S3DataType": "AugmentedManifestFile",
        "S3Uri": f"s3://{bucket}/{manifest}",
        "AttributeNames": ["source-ref", "bounding-box"],
    }
    wrapped = {"RecordWrapperType": "RecordIO"}
    one = Data({}, RECORDIO, mode="Pipe", source=source, options=wrapped)
    return {"train": one, "validation": one}


@pytest.fixture(scope="module")
def job(platform: LocalPlatform) -> dict[str, Any]:
    return fit(platform, NAME, recorded(pictures(), pictures()), SETTINGS, seconds=600)


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, job: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, job) as found:
        yield found


def test_two_hosts_and_a_pipe_learn_what_one_host_learns_of_a_file(
    platform: LocalPlatform, job: dict[str, Any]
) -> None:
    one = completed(job)
    assert set(one) >= METRICS
    assert one["train:progress"] == 100
    # Each host takes two of the four images: together they make one step of four.
    both = completed(
        fit(platform, NAME, augmented(platform, pictures()), SETTINGS, hosts=2, seconds=600)
    )
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


def test_an_interrupted_job_ends_with_all_its_epochs(platform: LocalPlatform) -> None:
    # Epochs of seconds, so that one is left when the interruption comes.
    settings = {**SETTINGS, "num_training_samples": 8, "epochs": 2, "optimizer": "sgd"}
    channels = recorded(pictures(8), pictures())
    job, log = interrupted(platform, NAME, channels, settings, seconds=600)
    assert set(completed(job)) >= METRICS
    scores = re.findall(r"epoch=(\d), validation mAP", log)
    # The epoch that was broken off may have been told, and is told once more.
    assert set(scores) == {"0", "1"}
    assert scores.count("0") == 1


def test_wrong_settings_and_corrupt_images_fail_with_their_place(platform: LocalPlatform) -> None:
    wrong = fit(
        platform, NAME, recorded(pictures(), pictures()), {**SETTINGS, "use_pretrained_model": 1}
    )
    assert wrong["TrainingJobStatus"] == "Failed"
    assert "use_pretrained_model asks for the weights of resnet-50" in wrong["FailureReason"]
    (good, *_) = pictures()
    broken = imagerecord.pack(good.label, good.jpeg()[:400])
    channels = {name: Data({"a.rec": broken}, RECORDIO) for name in ("train", "validation")}
    corrupt = fit(platform, NAME, channels, SETTINGS)
    assert corrupt["TrainingJobStatus"] == "Failed"
    assert "train/a.rec, record 1: not a readable image" in corrupt["FailureReason"]
