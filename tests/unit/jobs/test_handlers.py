import importlib
import io
import json
import tarfile
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest

from common import clients
from common.settings import InvalidSettings
from jobs import inputs
from jobs.registration import package
from jobs.request import InvalidRequest, parse
from jobs.settings import Platform
from tests.unit.jobs.requests import complete, request
from tests.unit.jobs.test_compile import assert_valid
from tests.unit.mocking import mocked_aws

EXECUTION = "arn:aws:states:eu-west-1:111122223333:execution:sagemaker-platform-dev-training:one"
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_REGION": "eu-west-1",
    "ENVIRONMENT_NAME": "dev",
    "EXECUTION_ROLE_ARN": "arn:aws:iam::111122223333:role/execution",
    "KEY_ARN": "arn:aws:kms:eu-west-1:111122223333:key/1",
    "MODELS_BUCKET": "models",
    "JOB_TABLE": "jobs",
    "IMAGE_REGISTRY": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-platform-dev",
    "DEFAULTS": '{"instance_types": ["ml.m5.xlarge"], "volume_gb": 30, "max_runtime_seconds": 60, '
    '"other_instance_types": [], "require_isolation": true}',
    "GROUPS": '{"digits": "sagemaker-platform-dev-digits"}',
    "ENDPOINTS": '{"digits": "sagemaker-platform-dev-endpoint-digits"}',
}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    clients._client.cache_clear()
    with mocked_aws():
        s3 = boto3.client("s3")
        place: Any = {"LocationConstraint": "eu-west-1"}
        for bucket in ("data", "models"):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
        yield s3
    clients._client.cache_clear()


def handler(name: str) -> ModuleType:
    return importlib.reload(importlib.import_module(f"jobs.handlers.{name}"))


def validate(document: dict[str, Any]) -> dict[str, Any]:
    event = {"request": document, "execution": EXECUTION, "started": "2026-01-01T00:00:00Z"}
    job: dict[str, Any] = handler("validate").lambda_handler(event, None)
    return job


def test_a_request_whose_data_are_there_is_compiled(aws: Any) -> None:
    for channel in ("train", "validation"):
        aws.put_object(Bucket="data", Key=f"{channel}/part-0.csv", Body=b"1,2")
    job = validate(complete())
    assert job["parameters"]["TrainingJobName"] == job["name"]
    assert json.loads(json.dumps(job)) == job


def test_an_empty_prefix_is_refused_in_sagemakers_words(aws: Any) -> None:
    aws.put_object(Bucket="data", Key="train/part-0.csv", Body=b"1,2")
    with pytest.raises(InvalidRequest) as refused:
        validate(request())
    assert str(refused.value).startswith(
        "channels.validation.s3_uri: No S3 objects found under S3 URL "
        '"s3://data/validation/" given in input data source.'
    )


def test_a_bucket_that_cannot_be_read_is_refused_with_what_s3_says(aws: Any) -> None:
    document = request("kmeans")
    document["channels"]["train"]["s3_uri"] = "s3://nowhere/train/"
    with pytest.raises(InvalidRequest, match=r'on bucket "nowhere"\. S3 answered NoSuchBucket'):
        validate(document)


def test_a_bucket_of_another_region_is_refused_with_its_region(platform: Platform) -> None:
    class Elsewhere:
        def list_objects_v2(self, **given: Any) -> dict[str, Any]:
            headers = {"x-amz-bucket-region": "us-east-1"}
            return {"Contents": [{}], "ResponseMetadata": {"HTTPHeaders": headers}}

    s3: Any = Elsewhere()
    (problem,) = inputs.problems(s3, platform, parse(request("kmeans")))
    assert problem.startswith("channels.train.s3_uri: No S3 objects found")
    assert "exists in the selected region (eu-west-1)" in problem
    assert problem.endswith("The bucket is in us-east-1.")


def test_all_problems_of_a_request_come_in_one_answer(aws: Any) -> None:
    document = complete(
        volume_gb=0,
        unknown=1,
        deploy={"endpoint": "nowhere"},
        tags={"aws:team": "x"},
        instance_types=["ml.p4d.24xlarge"],
    )
    document["hyperparameters"] |= {"eta": "much", "colour": 1}
    document["channels"]["validation"]["s3_uri"] = "/home/me"
    with pytest.raises(InvalidRequest) as refused:
        validate(document)
    problems = refused.value.problems
    assert sorted(one.split(": ")[0].split(" is ")[0].split(" must ")[0] for one in problems) == [
        *("Hyperparameter 'colour'", "channels.train.s3_uri", "channels.validation.s3_uri"),
        *("deploy.endpoint", "eta", "instance_types.0", "tags.aws:team", "unknown", "volume_gb"),
    ]


def test_a_key_that_is_wrong_is_not_told_to_be_missing_as_well(aws: Any) -> None:
    aws.put_object(Bucket="data", Key="train/part-0", Body=b"1")
    document = request("kmeans")
    document["hyperparameters"]["k"] = None
    document["channels"]["train"]["input_mode"] = "Stream"
    with pytest.raises(InvalidRequest) as refused:
        validate(document)
    assert [one.split(":")[0] for one in refused.value.problems] == [
        "hyperparameters.k",
        "channels.train.input_mode",
    ]


def test_registering_keeps_metrics_and_sample_beside_the_model(
    aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for channel in ("train", "validation"):
        aws.put_object(Bucket="data", Key=f"{channel}/part-0.csv", Body=b"1,2")
    job, given = validate(complete()), []
    name = job["name"]

    class Registry:
        def create_model_package(self, **parameters: Any) -> dict[str, str]:
            given.append(parameters)
            return {"ModelPackageArn": "arn:package/1"}

    register = handler("register")
    monkeypatch.setattr(register, "client", {"s3": aws, "sagemaker": Registry()}.__getitem__)
    training = {
        "job_arn": f"arn:aws:sagemaker:eu-west-1:111122223333:training-job/{name}",
        "model_data_url": f"s3://models/jobs/{name}/output/model.tar.gz",
        "metrics": {"validation:merror": 0.03},
    }
    event = {"job": job, "training": training, "execution": EXECUTION}
    assert register.lambda_handler(event, None)["arn"] == "arn:package/1"
    objects = {name: _read(aws, key) for name, key in _keys(aws).items()}
    assert json.loads(objects["metrics.json"])["metrics"] == {"validation:merror": 0.03}
    assert objects["sample"] == b"0,1,2"
    with tarfile.open(fileobj=io.BytesIO(objects["sample.tar.gz"])) as packed:
        assert packed.getnames() == ["sample"]
    assert_valid("CreateModelPackage", given[0])
    assert given[0]["InferenceSpecification"]["SupportedContentTypes"][0] == "text/csv"
    assert given[0]["CustomerMetadataProperties"]["job"] == name
    register.lambda_handler(event, None)
    assert given[0] == given[1], "SageMaker takes a token twice only with the same parameters"
    assert {name: _read(aws, key) for name, key in _keys(aws).items()} == objects


def _keys(s3: Any) -> dict[str, str]:
    listed = s3.list_objects_v2(Bucket="models", Prefix="jobs/")["Contents"]
    return {one["Key"].rsplit("/", 1)[1]: one["Key"] for one in listed}


def _read(s3: Any, key: str) -> bytes:
    body: bytes = s3.get_object(Bucket="models", Key=key)["Body"].read()
    return body


def test_training_writes_the_request_down_first_and_begins_the_job(
    aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.put_object(Bucket="data", Key="train/part-0", Body=b"1")
    job = validate(request("kmeans"))
    begun: list[dict[str, Any]] = []
    train = handler("train")
    monkeypatch.setattr(train.Lifecycle, "begin", lambda self, **given: begun.append(given))
    train.lambda_handler({"token": "t", "state": {"job": job, "execution": EXECUTION}}, None)
    assert (begun[0]["token"], begun[0]["execution"]) == ("t", EXECUTION)
    assert begun[0]["parameters"] == job["parameters"]
    assert json.loads(_read(aws, _keys(aws)["request.json"])) == job["request"]


def test_the_code_of_a_job_is_kept_beside_its_model_and_linked_from_the_package(
    aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.put_object(Bucket="data", Key="train/part-0", Body=b"1")
    source = "s3://data/sources/0a1b/sourcedir.tar.gz"
    with pytest.raises(InvalidRequest, match=r"^source: No S3 objects found"):
        validate(request("kmeans", source=source))
    aws.put_object(Bucket="data", Key="sources/0a1b/sourcedir.tar.gz", Body=b"code")
    provenance = {"submitted_by": "arn:ann", "commit": "0123abc", "modified": True}
    document = request("kmeans", source=source, provenance=provenance)
    job = validate(document | {"register": {"group": "digits"}})
    train = handler("train")
    monkeypatch.setattr(train.Lifecycle, "begin", lambda self, **given: None)
    train.lambda_handler({"token": "t", "state": {"job": job, "execution": EXECUTION}}, None)
    key = f"jobs/{job['name']}/source/sourcedir.tar.gz"
    assert _read(aws, key) == b"code"

    training = {"job_arn": "arn:job", "model_data_url": "s3://models/m.tar.gz"}
    made = package(
        job,
        training,
        execution=EXECUTION,
        metrics_uri="s3://m/m",
        request_uri="s3://m/r",
        sample_uri=None,
    )
    assert_valid("CreateModelPackage", made)
    assert made["MetadataProperties"] == {"GeneratedBy": "arn:job", "CommitId": "0123abc"}
    assert (
        made["CustomerMetadataProperties"]
        | {
            "source": f"s3://models/{key}",
            "commit": "0123abc",
            "modified": "true",
            "submitted_by": "arn:ann",
        }
        == made["CustomerMetadataProperties"]
    )


def test_the_result_is_published_and_given_out(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sns = boto3.client("sns")
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    monkeypatch.setenv("TOPIC_ARN", topic)
    state = {
        "execution": EXECUTION,
        "failure": {"Error": "ClientError", "Cause": "ClientError: 'x' is no number"},
    }
    output = handler("report").lambda_handler({"outcome": "failure", "state": state}, None)
    assert output == {"Error": "ClientError", "Cause": "ClientError: 'x' is no number"}


def test_a_failure_for_a_quota_is_sent_as_an_event_for_whoever_tells_what_to_do(
    aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOPIC_ARN", boto3.client("sns").create_topic(Name="alerts")["TopicArn"])
    sent: list[dict[str, Any]] = []
    report = handler("report")
    monkeypatch.setattr(report.quota_event, "send", lambda events, **detail: sent.append(detail))
    text = "The account-level service limit 'ml.m5.xlarge for training job usage' is 0 Instances"
    failure = {"Error": "ResourceLimitExceeded", "Cause": text}
    state = {"execution": EXECUTION, "job": {"name": "dev-one"}, "failure": failure}
    report.lambda_handler({"outcome": "failure", "state": state}, None)
    expected = {"environment": "dev", "asked": "dev-one", "message": text, "where": EXECUTION}
    assert sent == [expected]
    state["failure"] = {"Error": "ClientError", "Cause": "ClientError: another reason"}
    report.lambda_handler({"outcome": "failure", "state": state}, None)
    assert sent == [expected]


@pytest.mark.parametrize("name", ["train", "complete", "sweep", "register", "deploy", "deployed"])
def test_a_function_without_its_settings_does_not_start(
    aws: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module = handler(name)
    missing = "MODELS_BUCKET" if name == "register" else "JOB_TABLE"
    monkeypatch.delenv(missing)
    with pytest.raises(InvalidSettings, match=missing):
        importlib.reload(module)


@pytest.mark.parametrize(
    ("name", "value"),
    [("DEFAULTS", "{}"), ("DEFAULTS", "no"), ("GROUPS", "[]"), ("ENDPOINTS", '{"a": 1}')],
)
def test_settings_of_a_wrong_shape_are_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=name):
        Platform.read({**SETTINGS, name: value})


def test_only_validation_pays_for_the_catalogue() -> None:
    import subprocess
    import sys

    program = (
        "import sys, importlib\n"
        "for name in ('train', 'complete', 'sweep', 'register', 'deploy', 'deployed', 'report'):\n"
        "    importlib.import_module(f'jobs.handlers.{name}')\n"
        "print(sorted({'pydantic', 'yaml', 'boto3'} & set(sys.modules)))"
    )
    environment = {**SETTINGS, "TOPIC_ARN": "arn"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
