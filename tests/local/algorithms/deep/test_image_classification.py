"""Image Classification on handwritten digits, through jobs and an endpoint of the platform."""

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from datasets import digit_images
from tests.local.algorithms.support import Data, Endpoint, completed, fit, interrupted, served
from tests.platform import LocalPlatform

NAME, RECORDIO = "image-classification", "application/x-recordio"
DIGITS = digit_images.small()
LEARNT, HELD_OUT = DIGITS[:120], DIGITS[1400:1460]
SETTINGS = {
    "num_layers": 20,
    "image_shape": "3,28,28",
    "num_classes": 10,
    "num_training_samples": len(LEARNT),
    "mini_batch_size": 10,
    "epochs": 4,
    "lr_scheduler_step": "3",
    "lr_scheduler_factor": 0.2,
    "optimizer": "adam",
    "learning_rate": 0.003,
}
# Of ten digits, one in ten is right by chance.
LEARNT_WELL = 0.8


def recorded(mode: str = "File") -> dict[str, Data]:
    return {
        "train": Data({"a.rec": digit_images.recordio(LEARNT)}, RECORDIO, mode),
        "validation": Data({"a.rec": digit_images.recordio(HELD_OUT)}, RECORDIO, mode),
    }


@pytest.fixture(scope="module")
def job(platform: LocalPlatform) -> dict[str, Any]:
    """From files beside their .lst."""
    image = "application/x-image"
    channels = {
        "train": Data(digit_images.files(LEARNT), image),
        "train_lst": Data({"train.lst": digit_images.lst(LEARNT)}, image),
        "validation": Data(digit_images.files(HELD_OUT), image),
        "validation_lst": Data({"validation.lst": digit_images.lst(HELD_OUT)}, image),
    }
    return fit(platform, NAME, channels, {**SETTINGS, "resize": 29})


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, job: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, job) as found:
        yield found


def test_digits_in_files_are_learnt_and_named(job: dict[str, Any], endpoint: Endpoint) -> None:
    assert completed(job)["validation:accuracy"] >= LEARNT_WELL
    right = [
        int(np.argmax(json.loads(endpoint.ask(digit.png, "application/x-image"))) == digit.label)
        for digit in DIGITS[1600:1640]
    ]
    assert np.mean(right) >= LEARNT_WELL
    one = DIGITS[1600].png
    bare = json.loads(endpoint.ask(one, "image/png", "application/json"))
    line = json.loads(endpoint.ask(one, "image/png", "application/jsonlines"))
    assert line == {"prediction": bare}
    assert "400 Unable to evaluate payload provided: payload: not a JPEG or PNG image" in (
        endpoint.refused(b"something", "image/jpeg")
    )


def test_a_pipe_of_an_augmented_manifest_serves_as_well(
    platform: LocalPlatform, job: dict[str, Any]
) -> None:
    bucket, suffix = platform.parameter("storage/data-bucket"), uuid4().hex[:8]
    channels = {}
    for name, digits in (("train", LEARNT), ("validation", HELD_OUT)):
        # The images are those of the job that learnt from files.
        images = f"s3://{bucket}/{job['TrainingJobName']}/{name}/"
        manifest = f"digits-{suffix}/{name}.manifest"
        body = digit_images.manifest(digits, images)
        platform.client("s3").put_object(Bucket=bucket, Key=manifest, Body=body)
        source = {
            "S3DataType": "AugmentedManifestFile",
            "S3Uri": f"s3://{bucket}/{manifest}",
            "AttributeNames": ["source-ref", "class"],
        }
        options = {"RecordWrapperType": "RecordIO"}
        channels[name] = Data({}, RECORDIO, "Pipe", source=source, options=options)
    piped = fit(platform, NAME, channels, SETTINGS)
    assert completed(piped)["validation:accuracy"] >= LEARNT_WELL


def test_two_hosts_and_a_pipe_train_one_model(platform: LocalPlatform) -> None:
    settings = {**SETTINGS, "mini_batch_size": 5}
    job = fit(platform, NAME, recorded("Pipe"), settings, hosts=2)
    assert completed(job)["validation:accuracy"] >= LEARNT_WELL


def test_an_interrupted_job_ends_with_all_its_epochs(platform: LocalPlatform) -> None:
    # Epochs take half a second: of six, some are left when the interruption comes.
    job, log = interrupted(platform, NAME, recorded(), {**SETTINGS, "epochs": 6})
    assert completed(job)["validation:accuracy"] >= LEARNT_WELL
    told = re.findall(r"Epoch\[(\d)\] Validation-accuracy", log)
    # The epoch that was broken off may have been told, and is told once more.
    assert set(told) == set("012345")
    assert len(told) <= 7


def test_a_broken_image_fails_the_job_and_says_which(platform: LocalPlatform) -> None:
    channels = recorded()
    broken = Data({"a.rec": channels["train"].files["a.rec"][:-9]}, RECORDIO)
    job = fit(platform, NAME, {**channels, "train": broken}, SETTINGS)
    assert job["TrainingJobStatus"] == "Failed"
    assert "ClientError: train/a.rec, record 120, byte" in job["FailureReason"]
