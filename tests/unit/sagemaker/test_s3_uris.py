from typing import Any

import pytest

from local.sagemaker import s3_uris
from local.sagemaker.errors import ServiceError
from local.sagemaker.validation import checked
from tests.unit.sagemaker.surroundings import IMAGE, ROLE, channel, job_request

LONG = f"s3://data/{'ä' * 513}"
BROKEN = {
    "s3://ab/k": "3 to 63 characters",
    f"s3://{'a' * 64}/k": "3 to 63 characters",
    "s3://Data/k": "lower case",
    "s3://my_data/k": "lower case",
    "s3://-data/k": "lower case",
    "s3://data-/k": "lower case",
    "s3://a..b/k": "two dots",
    "s3://192.168.5.4/k": "IP address",
    "s3://xn--data/k": "begins like",
    LONG: "1026 bytes",
    "https://example.com/data/k": "no address of S3",
}


@pytest.mark.parametrize(
    ("uri", "bucket", "key"),
    [
        ("s3://data/a/b", "data", "a/b"),
        ("s3://data", "data", ""),
        ("s3://my.data-1/ä b", "my.data-1", "ä b"),
        ("https://s3.us-east-1.amazonaws.com/data/a/b", "data", "a/b"),
        ("https://s3.amazonaws.com/data/a%20b", "data", "a b"),
        ("https://s3-us-west-2.amazonaws.com/data/a", "data", "a"),
        ("https://my.data.s3.eu-west-1.amazonaws.com/a/b", "my.data", "a/b"),
    ],
)
def test_uris_and_addresses_of_s3_name_bucket_and_key(uri: str, bucket: str, key: str) -> None:
    assert s3_uris.parse(uri) == (bucket, key)


@pytest.mark.parametrize(
    "uri",
    [*BROKEN, "http://data/k", "s3:/data/k", "data/k", "s3://", "S3://d/k"],
    ids=lambda uri: uri[:30],
)
def test_what_is_no_s3_uri_is_refused(uri: str) -> None:
    with pytest.raises(ValueError) as caught:
        s3_uris.parse(uri)
    assert BROKEN.get(uri, "write s3://BUCKET/KEY") in str(caught.value)


@pytest.mark.parametrize("uri", ["s3://ab/k", "s3://my_data/k", "https://example.com/data/k"])
@pytest.mark.parametrize(
    "member", ["input", "output", "checkpoints", "model", "model-source", "capture", "package"]
)
def test_every_member_that_takes_an_s3_uri_refuses_what_is_none(member: str, uri: str) -> None:
    source = {"S3DataType": "S3Object", "CompressionType": "Gzip", "S3Uri": uri}
    specification: dict[str, Any] = {"Containers": [{"Image": IMAGE, "ModelDataUrl": uri}]}
    capture = {
        "InitialSamplingPercentage": 1,
        "DestinationS3Uri": uri,
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    cases: dict[str, tuple[str, dict[str, Any]]] = {
        "input": ("CreateTrainingJob", job_request("j", InputDataConfig=[channel("c", uri)])),
        "output": ("CreateTrainingJob", job_request("j", OutputDataConfig={"S3OutputPath": uri})),
        "checkpoints": ("CreateTrainingJob", job_request("j", CheckpointConfig={"S3Uri": uri})),
        "model": ("CreateModel", {"PrimaryContainer": specification["Containers"][0]}),
        "model-source": (
            "CreateModel",
            {"PrimaryContainer": {"ModelDataSource": {"S3DataSource": source}}},
        ),
        "capture": ("CreateEndpointConfig", {"DataCaptureConfig": capture}),
        "package": ("CreateModelPackage", {"InferenceSpecification": specification}),
    }
    operation, request = cases[member]
    needed: dict[str, dict[str, object]] = {
        "CreateModel": {"ModelName": "m", "ExecutionRoleArn": ROLE},
        "CreateEndpointConfig": {
            "EndpointConfigName": "c",
            "ProductionVariants": [{"VariantName": "v", "ModelName": "m"}],
        },
        "CreateModelPackage": {"ModelPackageName": "p"},
    }
    with pytest.raises(ServiceError) as caught:
        checked(operation, {**needed.get(operation, {}), **request})
    assert caught.value.code == "ValidationException"
    assert "1 validation error detected" in caught.value.message
    assert "Member must be an S3 URI" in caught.value.message
