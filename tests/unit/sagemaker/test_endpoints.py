from pathlib import Path
from typing import Any

import psutil
import pytest
from types_boto3_s3 import S3Client

from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.endpoint_support import (
    config,
    described,
    endpoint,
    invoke,
    model,
    settled,
    variant,
)
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    IMAGE,
    OWN_IMAGE,
    TestAws,
    archive,
    service,
    told,
    until,
)

pytestmark = pytest.mark.usefixtures("models")


def test_an_endpoint_comes_up_answers_and_goes(sagemaker: SageMakerService, aws: TestAws) -> None:
    shown = endpoint(sagemaker)
    assert shown["EndpointStatus"] == "InService", shown
    (production,) = shown["ProductionVariants"]
    assert production["CurrentInstanceCount"] == production["DesiredInstanceCount"] == 1
    status, headers, answer = invoke(sagemaker, Custom_Attributes="hello", Inference_Id="7")
    assert status == 200
    assert headers["x-Amzn-Invoked-Production-Variant"] == "AllTraffic"
    assert headers["Content-Type"] == "application/json"
    assert (answer["weights"], answer["body"]) == ("one", "1,2")
    assert answer["headers"]["content-type"] == "text/csv"
    assert answer["headers"]["x-amzn-sagemaker-custom-attributes"] == "hello"
    assert answer["headers"]["x-amzn-sagemaker-inference-id"] == "7"
    assert "authorization" not in answer["headers"]
    assert "TRAINING_JOB_NAME" not in answer["environment"]
    assert answer["environment"]["AWS_ACCESS_KEY_ID"] == "key-of-role"
    told(aws, "EndpointStatus", "IN_SERVICE")
    sagemaker.call("DeleteEndpoint", {"EndpointName": "e"})
    assert invoke(sagemaker)[0] == 400

    def gone() -> bool:
        try:
            described(sagemaker)
        except ServiceError as error:
            return "Could not find endpoint" in error.message
        return False

    until(gone)
    assert not psutil.pid_exists(answer["pid"])
    events = [d["EndpointStatus"] for t, d, _ in aws.events if "Endpoint" in t]
    assert events == ["CREATING", "IN_SERVICE", "DELETING"]
    detail = aws.events[0][1]
    assert isinstance(detail["CreationTime"], float) and detail["CreationTime"] > 1e12


def test_an_endpoint_deleted_while_it_comes_up_leaves_nothing_to_its_successor(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="models/broken.tar.gz", Body=archive({"broken": ""}))
    model(sagemaker, "broken")
    config(sagemaker, "c", variant("broken"))
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    sagemaker.call("DeleteEndpoint", {"EndpointName": "e"})
    with pytest.raises(ServiceError, match="Cannot create already existing endpoint"):
        sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    until(lambda: not sagemaker.call("ListEndpoints", {})["Endpoints"])
    assert endpoint(sagemaker)["EndpointStatus"] == "InService"


def test_endpoints_answer_with_their_own_models(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker, "first", "one")
    endpoint(sagemaker, "second", "two")
    assert invoke(sagemaker, "first")[2]["weights"] == "one"
    assert invoke(sagemaker, "second")[2]["weights"] == "two"


def test_each_model_server_is_asked_with_the_key_that_it_was_given(
    sagemaker: SageMakerService,
) -> None:
    keys = set()
    for name, model_name in (("first", "one"), ("second", "two")):
        endpoint(sagemaker, name, model_name)
        answer = invoke(sagemaker, name)[2]
        key = answer["environment"]["SAGEMAKER_CALLER_KEY"]
        assert answer["headers"]["x-sagemaker-caller-key"] == key
        keys.add(key)
    assert len(keys) == 2
    assert min(map(len, keys)) >= 32


def test_an_isolated_model_server_has_no_credentials(sagemaker: SageMakerService) -> None:
    model(sagemaker, "one", EnableNetworkIsolation=True)
    config(sagemaker, "c", variant("one"))
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    settled(sagemaker)
    environment = invoke(sagemaker)[2]["environment"]
    assert "AWS_ACCESS_KEY_ID" not in environment and "AWS_ENDPOINT_URL" not in environment


def test_a_model_can_name_a_model_package(sagemaker: SageMakerService) -> None:
    sagemaker.call("CreateModelPackageGroup", {"ModelPackageGroupName": "g"})
    containers = [
        {
            "Image": IMAGE,
            "ModelDataUrl": f"s3://{BUCKET}/models/two.tar.gz",
            "Environment": {"SAGEMAKER_A": "1", "SAGEMAKER_B": "1"},
        }
    ]
    arn = sagemaker.call(
        "CreateModelPackage",
        {"ModelPackageGroupName": "g", "InferenceSpecification": {"Containers": containers}},
    )["ModelPackageArn"]
    model(
        sagemaker,
        "packaged",
        PrimaryContainer={"ModelPackageName": arn, "Environment": {"SAGEMAKER_B": "2"}},
    )
    config(sagemaker, "c", variant("packaged"))
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    settled(sagemaker)
    answer = invoke(sagemaker)[2]
    assert answer["weights"] == "two"
    environment = answer["environment"]
    assert (environment["SAGEMAKER_A"], environment["SAGEMAKER_B"]) == ("1", "2")


def test_endpoints_come_back_after_a_restart(
    sagemaker: SageMakerService, aws: TestAws, tmp_path: Path
) -> None:
    endpoint(sagemaker)
    pid = invoke(sagemaker)[2]["pid"]
    # The servers need neither of them any more, on AWS as here.
    sagemaker.call("DeleteEndpointConfig", {"EndpointConfigName": "e-one"})
    sagemaker.call("DeleteModel", {"ModelName": "one"})
    sagemaker.close()
    assert not psutil.pid_exists(pid)
    again = service(aws, tmp_path / "state")
    again.start()
    try:
        assert settled(again)["EndpointStatus"] == "InService"
        assert invoke(again)[2]["weights"] == "one"
    finally:
        again.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ExecutionRoleArn": None}, "needs an ExecutionRoleArn"),
        ({"PrimaryContainer": None}, "0 containers"),
        ({"Containers": [{"Image": IMAGE}]}, "2 containers"),
        ({"PrimaryContainer": {"Image": "other:1"}}, "no image of a built-in algorithm"),
        ({"PrimaryContainer": {"Image": IMAGE, "Mode": "MultiModel"}}, "no multi-model"),
        ({"PrimaryContainer": {"Image": IMAGE, "ModelPackageName": "x"}}, "either an Image or"),
        ({"PrimaryContainer": {"ModelPackageName": "x"}}, "model-package/x does not exist"),
        (
            {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}},
            "leave VpcConfig out",
        ),
    ],
)
def test_a_model_that_cannot_be_served_here_is_refused(
    sagemaker: SageMakerService, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError, match=words):
        model(sagemaker, "refused", **changes)


@pytest.mark.parametrize(
    ("variants", "changes", "words"),
    [
        ([variant("none")], {}, "Could not find model"),
        ([variant("one"), variant("one")], {}, "must differ"),
        ([variant("one", InitialInstanceCount=9)], {}, "at most 8"),
        (
            [variant("one", ServerlessConfig={"MemorySizeInMB": 1024, "MaxConcurrency": 1})],
            {},
            "no serverless variants yet",
        ),
        (
            [variant("one")],
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://data/x"}}},
            "no asynchronous inference yet",
        ),
    ],
)
def test_a_configuration_that_cannot_be_served_here_is_refused(
    sagemaker: SageMakerService, variants: list[Any], changes: dict[str, Any], words: str
) -> None:
    model(sagemaker, "one")
    with pytest.raises(ServiceError, match=words):
        config(sagemaker, "refused", *variants, **changes)


def test_an_own_image_is_served_too(sagemaker: SageMakerService, aws: TestAws) -> None:
    data = f"s3://{BUCKET}/models/one.tar.gz"
    model(sagemaker, "own", PrimaryContainer={"Image": OWN_IMAGE, "ModelDataUrl": data})
    config(sagemaker, "c", variant("own"))
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    assert settled(sagemaker)["EndpointStatus"] == "InService"
    repository = "arn:aws:ecr:us-east-1:000000000000:repository/team/test-image"
    assert ("ecr:BatchGetImage", repository, {}) in aws.authorized
