"""How data reach a job on the platform, by plain boto3: streamed, shuffled, described, denied."""

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pytest

from tests.local.support import ALGORITHMS, UNLABELLED, train
from tests.platform import LocalPlatform

FILES = {"kmeans": "kmeans-model.npz", "linear-learner": "linear-learner-model.npz"}


def _model(platform: LocalPlatform, job: dict[str, Any], algorithm: str) -> dict[str, Any]:
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"][5:].partition("/")
    body = platform.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        member = tar.extractfile(FILES[algorithm])
        assert member is not None
        archive = np.load(io.BytesIO(member.read()))
    return {name: archive[name] for name in archive.files}


def _numbers(model: dict[str, Any]) -> Iterator[npt.NDArray[Any]]:
    return (model[name] for name in sorted(model) if model[name].dtype.kind == "f")


def _channel(uri: str, content_type: str, **changes: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, **changes.pop("source", {})}
    return {
        "ChannelName": "train",
        "ContentType": content_type,
        "DataSource": {"S3DataSource": source},
        **changes,
    }


@pytest.mark.parametrize("algorithm", sorted(FILES))
def test_a_model_is_the_same_from_a_pipe_as_from_files(
    platform: LocalPlatform, algorithm: str
) -> None:
    case, models = ALGORITHMS[algorithm], []
    data = platform.parameter("storage/data-bucket")
    for mode in ("File", "Pipe"):
        name = f"{mode.lower()}-{algorithm}-{uuid4().hex[:8]}"
        job = train(
            platform,
            name,
            algorithm,
            HyperParameters={**case["hyperparameters"], "epochs": "2"},
            InputDataConfig=[
                _channel(f"s3://{data}/{name}/train/", case["content_type"], InputMode=mode)
            ],
        )
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        models.append(_model(platform, job, algorithm))
    for file, pipe in zip(*map(_numbers, models), strict=True):
        np.testing.assert_array_equal(file, pipe)


def test_a_broken_line_of_an_augmented_manifest_is_named(platform: LocalPlatform) -> None:
    name, data = f"augmented-{uuid4().hex[:8]}", platform.parameter("storage/data-bucket")
    lines = [json.dumps({"row": 1}), "{broken", json.dumps({"row": 2})]
    platform.client("s3").put_object(
        Bucket=data, Key=f"{name}/list.jsonl", Body="\n".join(lines).encode()
    )
    uri = f"s3://{data}/{name}/list.jsonl"
    source = {"S3DataType": "AugmentedManifestFile", "AttributeNames": ["row"]}
    job = train(
        platform,
        name,
        "kmeans",
        InputDataConfig=[
            _channel(
                uri,
                "application/x-recordio-protobuf",
                source=source,
                InputMode="Pipe",
                RecordWrapperType="RecordIO",
            )
        ],
    )
    assert job["TrainingJobStatus"] == "Failed"
    assert f"{uri}, line 2: not JSON" in job["FailureReason"]


def test_an_object_denied_in_the_middle_of_a_stream_fails_the_job_with_the_denial(
    platform: LocalPlatform,
) -> None:
    name, data = f"denied-{uuid4().hex[:8]}", platform.parameter("storage/data-bucket")
    s3 = platform.client("s3")
    # A bucket of the account, but none that the job's role has been granted.
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="b", Body=UNLABELLED)
    s3.put_object(Bucket=data, Key=f"{name}/a", Body=UNLABELLED + b"\n")
    lines = [json.dumps({"rows-ref": f"s3://{uri}"}) for uri in (f"{data}/{name}/a", f"{name}/b")]
    s3.put_object(Bucket=data, Key=f"{name}/list.jsonl", Body="\n".join(lines).encode())
    try:
        job = train(
            platform,
            name,
            "kmeans",
            InputDataConfig=[
                _channel(
                    f"s3://{data}/{name}/list.jsonl",
                    "text/csv;label_size=0",
                    source={"S3DataType": "AugmentedManifestFile", "AttributeNames": ["rows-ref"]},
                    InputMode="Pipe",
                )
            ],
        )
    finally:
        s3.delete_object(Bucket=name, Key="b")
        s3.delete_bucket(Bucket=name)
    assert job["TrainingJobStatus"] == "Failed"
    reason = job["FailureReason"]
    assert reason.startswith("ClientError: Failed to stream data. Channel train, epoch 0: ")
    assert "not authorized to perform: s3:GetObject" in reason
    assert f"arn:aws:s3:::{name}/b" in reason
