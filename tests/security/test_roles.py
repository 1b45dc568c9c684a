"""Roles of the templates."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.local.support import ALGORITHMS, ended, job_request, workflow_role
from tests.platform import LocalPlatform

TAG = "sagemaker-platform:endpoint"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
DENIED = ("AccessDenied", "AccessDeniedException")
ANYBODY_OF_THE_ACCOUNT = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
            "Action": "sts:AssumeRole",
        }
    ],
}


@dataclass(frozen=True)
class Actor:
    """Somebody who acts with the permissions of a role of the templates."""

    platform: LocalPlatform
    name: str
    credentials: Mapping[str, str]

    def client(self, service: str) -> Any:
        return self.platform.client(
            service,
            aws_access_key_id=self.credentials["AccessKeyId"],
            aws_secret_access_key=self.credentials["SecretAccessKey"],
            aws_session_token=self.credentials["SessionToken"],
        )


@contextmanager
def acting(platform: LocalPlatform, role: str, name: str, instead_of: str = "") -> Iterator[Actor]:
    """Somebody with the policies of `role`, where `name` stands in place of `instead_of`.

    The policies are those that the templates deployed; that SageMaker, CloudFormation or Lambda
    alone may assume the role itself is what the copy leaves out.
    """
    iam, copy = platform.client("iam"), f"copy-{uuid4().hex[:12]}"
    arn = iam.create_role(
        RoleName=copy, AssumeRolePolicyDocument=json.dumps(ANYBODY_OF_THE_ACCOUNT)
    )["Role"]["Arn"]
    policies = iam.list_role_policies(RoleName=role)["PolicyNames"]
    for policy in policies:
        document = json.dumps(
            iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        )
        if instead_of:
            document = document.replace(instead_of, name)
        iam.put_role_policy(RoleName=copy, PolicyName=policy, PolicyDocument=document)
    try:
        yield Actor(
            platform,
            name,
            platform.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"],
        )
    finally:
        for policy in policies:
            iam.delete_role_policy(RoleName=copy, PolicyName=policy)
        iam.delete_role(RoleName=copy)


def refused(call: Callable[..., Any], **arguments: Any) -> str:
    """What a call is refused with, for want of a permission."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] in DENIED, error.value
    return str(error.value)


def tagged(endpoint: str) -> list[dict[str, str]]:
    return [{"Key": TAG, "Value": endpoint}]


def inference_role(platform: LocalPlatform) -> str:
    roles = platform.client("iam").get_paginator("list_roles").paginate()
    (found,) = [
        role["Arn"]
        for page in roles
        for role in page["Roles"]
        if "digitsInference" in role["RoleName"]
    ]
    return str(found)


def model(platform: LocalPlatform, name: str, endpoint: str, **changes: Any) -> dict[str, Any]:
    return {
        "ModelName": name,
        "PrimaryContainer": {"Image": ALGORITHMS["kmeans"]["image"]},
        "ExecutionRoleArn": inference_role(platform),
        "EnableNetworkIsolation": True,
        "Tags": tagged(endpoint),
        **changes,
    }


def config(platform: LocalPlatform, name: str, endpoint: str, **changes: Any) -> dict[str, Any]:
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InstanceType": changes.pop("InstanceType", "ml.m5.large"),
        "InitialInstanceCount": 1,
        "InitialVariantWeight": 1,
    }
    return {
        "EndpointConfigName": name,
        "ProductionVariants": [variant],
        "KmsKeyId": platform.parameter("storage/key-arn"),
        "Tags": tagged(endpoint),
        **changes,
    }


def target(endpoint: str) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
        "ScalableDimension": DIMENSION,
    }


def policy(endpoint: str) -> dict[str, Any]:
    follows = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    return {
        **target(endpoint),
        "PolicyName": "invocations",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 600,
            "PredefinedMetricSpecification": follows,
        },
    }


@dataclass(frozen=True)
class Neighbours:
    """Roles of two endpoints' stacks, and what belongs to the second."""

    mine: Actor
    other: Actor
    model: str
    config: str
    target: str
    """ARN of the scalable target."""

    def sagemaker(self) -> Any:
        return self.mine.client("sagemaker")

    def scaling(self) -> Any:
        return self.mine.client("application-autoscaling")


@pytest.fixture(scope="module")
def neighbours(platform: LocalPlatform) -> Iterator[Neighbours]:
    digits, role = "sagemaker-platform-local-digits", "sagemaker-platform-local-digits-stack"
    unique = uuid4().hex[:8]
    with (
        acting(platform, role, f"a-{unique}", digits) as mine,
        acting(platform, role, f"b-{unique}", digits) as other,
    ):
        sagemaker, scaling = other.client("sagemaker"), other.client("application-autoscaling")
        name = f"named-by-aws-{unique}"
        arn = sagemaker.create_model(**model(platform, name, other.name))["ModelArn"]
        made = sagemaker.create_endpoint_config(**config(platform, name, other.name))
        registered = scaling.register_scalable_target(
            **target(other.name), MinCapacity=1, MaxCapacity=2, Tags={TAG: other.name}
        )["ScalableTargetARN"]
        scaling.put_scaling_policy(**policy(other.name))
        yield Neighbours(mine, other, arn, made["EndpointConfigArn"], registered)
        # What an endpoint's own role may do with all of it.
        sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "b"}])
        sagemaker.delete_tags(ResourceArn=arn, TagKeys=["team"])
        scaling.register_scalable_target(**target(other.name), MinCapacity=1, MaxCapacity=3)
        scaling.delete_scaling_policy(**target(other.name), PolicyName="invocations")
        scaling.deregister_scalable_target(**target(other.name))
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
        sagemaker.delete_model(ModelName=name)


OF_ANOTHER: dict[str, Callable[[Neighbours], str]] = {
    "delete its model": lambda n: refused(
        n.sagemaker().delete_model, ModelName=n.model.rpartition("/")[2]
    ),
    "describe its model": lambda n: refused(
        n.sagemaker().describe_model, ModelName=n.model.rpartition("/")[2]
    ),
    "delete its configuration": lambda n: refused(
        n.sagemaker().delete_endpoint_config, EndpointConfigName=n.config.rpartition("/")[2]
    ),
    "serve its configuration": lambda n: refused(
        n.sagemaker().create_endpoint,
        EndpointName=n.mine.name,
        EndpointConfigName=n.config.rpartition("/")[2],
        Tags=tagged(n.mine.name),
    ),
    "take its model by a tag": lambda n: refused(
        n.sagemaker().add_tags, ResourceArn=n.model, Tags=tagged(n.mine.name)
    ),
    "take its configuration by a tag": lambda n: refused(
        n.sagemaker().add_tags, ResourceArn=n.config, Tags=tagged(n.mine.name)
    ),
    "untag its model": lambda n: refused(
        n.sagemaker().delete_tags, ResourceArn=n.model, TagKeys=[TAG]
    ),
    "delete its endpoint": lambda n: refused(
        n.sagemaker().delete_endpoint, EndpointName=n.other.name
    ),
    "deregister its target": lambda n: refused(
        n.scaling().deregister_scalable_target, **target(n.other.name)
    ),
    "change the limits of its target": lambda n: refused(
        n.scaling().register_scalable_target, **target(n.other.name), MinCapacity=0, MaxCapacity=1
    ),
    "register its target as one's own": lambda n: refused(
        n.scaling().register_scalable_target,
        **target(n.other.name),
        MinCapacity=0,
        MaxCapacity=1,
        Tags={TAG: n.mine.name},
    ),
    "put a policy on its target": lambda n: refused(
        n.scaling().put_scaling_policy, **policy(n.other.name)
    ),
    "delete the policy of its target": lambda n: refused(
        n.scaling().delete_scaling_policy, **target(n.other.name), PolicyName="invocations"
    ),
    "take its target by a tag": lambda n: refused(
        n.scaling().tag_resource, ResourceARN=n.target, Tags={TAG: n.mine.name}
    ),
    "untag its target": lambda n: refused(
        n.scaling().untag_resource, ResourceARN=n.target, TagKeys=[TAG]
    ),
}


@pytest.mark.holds("The role of one endpoint's stack can change nothing of another endpoint.")
@pytest.mark.parametrize("attempt", OF_ANOTHER)
def test_the_role_of_an_endpoint_cannot_touch_what_is_anothers(
    neighbours: Neighbours, attempt: str
) -> None:
    assert "not authorized" in OF_ANOTHER[attempt](neighbours)


@pytest.mark.holds("The role of an endpoint's stack cannot take what has no tag by tagging it.")
def test_what_has_no_tag_cannot_be_taken_by_a_tag(
    platform: LocalPlatform, neighbours: Neighbours
) -> None:
    sagemaker, name = platform.client("sagemaker"), f"nobodys-{uuid4().hex[:8]}"
    arn = sagemaker.create_model(**model(platform, name, "", Tags=[]))["ModelArn"]
    try:
        mine = neighbours.sagemaker()
        refused(mine.add_tags, ResourceArn=arn, Tags=tagged(neighbours.mine.name))
        refused(mine.delete_model, ModelName=name)
    finally:
        sagemaker.delete_model(ModelName=name)


OTHERWISE: dict[str, dict[str, Any]] = {
    "without a tag": {"Tags": []},
    "with another endpoint's tag": {"Tags": tagged("another")},
    "with a network": {"EnableNetworkIsolation": False},
}


@pytest.mark.holds("Models of an endpoint are isolated and tagged; its role can make no others.")
@pytest.mark.parametrize("how", OTHERWISE)
def test_the_role_of_an_endpoint_makes_no_model(
    platform: LocalPlatform, neighbours: Neighbours, how: str
) -> None:
    request = model(platform, f"m-{uuid4().hex[:8]}", neighbours.mine.name, **OTHERWISE[how])
    said = refused(neighbours.sagemaker().create_model, **request)
    assert "sagemaker:CreateModel" in said


@pytest.mark.holds("An endpoint runs on the instance type and with the key of its environment.")
@pytest.mark.parametrize("change", [{"InstanceType": "ml.p3.2xlarge"}, {"KmsKeyId": "another"}])
def test_the_role_of_an_endpoint_makes_no_configuration_of_another_kind(
    platform: LocalPlatform, neighbours: Neighbours, change: dict[str, Any]
) -> None:
    request = config(platform, neighbours.model.rpartition("/")[2], neighbours.mine.name, **change)
    said = refused(neighbours.sagemaker().create_endpoint_config, **request)
    assert "sagemaker:CreateEndpointConfig" in said


@pytest.fixture(scope="module")
def notebook(platform: LocalPlatform) -> Iterator[Actor]:
    role = platform.parameter("notebooks/workbench/role-arn").rpartition("/")[2]
    with acting(platform, role, "workbench") as found:
        yield found


@pytest.mark.holds("A notebook begins training jobs by the workflow alone.")
def test_a_notebook_creates_no_job_not_even_one_that_the_workflow_would(
    platform: LocalPlatform, notebook: Actor
) -> None:
    sagemaker, name = notebook.client("sagemaker"), f"local-{uuid4().hex[:8]}"
    request = job_request(
        platform,
        name,
        "kmeans",
        EnableNetworkIsolation=True,
        EnableInterContainerTrafficEncryption=True,
    )
    assert "sagemaker:CreateTrainingJob" in refused(sagemaker.create_training_job, **request)
    job = f"arn:aws:sagemaker:us-east-1:000000000000:training-job/{name}"
    refused(sagemaker.add_tags, ResourceArn=job, Tags=tagged("a"))
    refused(sagemaker.create_model, **model(platform, name, "a"))


ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "a network": (
        {"image": "script-mode:1", "algorithm": None, "isolated": False},
        "isolated: found",
    ),
    "another instance type": ({"instance_types": ["ml.p4d.24xlarge"]}, "instance_types.0: found"),
}


@pytest.mark.holds("The workflow refuses a network and instance types beyond the environment's.")
@pytest.mark.parametrize("asked", ASKED)
def test_by_the_workflow_a_notebook_gets_no_more_than_the_environment_allows(
    platform: LocalPlatform, notebook: Actor, asked: str
) -> None:
    changes, said = ASKED[asked]
    data = platform.parameter("storage/data-bucket")
    channel = {"s3_uri": f"s3://{data}/notebooks/workbench/x/", "content_type": "text/csv"}
    request = {"algorithm": "kmeans", "channels": {"train": channel}, **changes}
    if request["algorithm"] is None:
        del request["algorithm"]
    else:
        request["hyperparameters"] = {"k": 2, "feature_dim": 2}
    execution = notebook.client("stepfunctions").start_execution(
        stateMachineArn=platform.parameter("training/state-machine-arn"),
        input=json.dumps(request),
    )["executionArn"]
    found = ended(platform, execution)
    assert found["status"] == "FAILED"
    assert said in found["cause"]


def job(platform: LocalPlatform, **changes: Any) -> dict[str, Any]:
    """What the function of the workflow asks SageMaker for."""
    request = job_request(
        platform,
        f"local-roles-{uuid4().hex[:8]}",
        "kmeans",
        EnableNetworkIsolation=True,
        EnableInterContainerTrafficEncryption=True,
        Tags=[{"Key": "sagemaker-platform:environment", "Value": "local"}],
    )
    request["ResourceConfig"]["VolumeKmsKeyId"] = platform.parameter("storage/key-arn")
    for name, value in changes.items():
        part = request[name] if name in request and isinstance(value, dict) else None
        request[name] = {**part, **value} if part else value
    return request


ANOTHER_KEY = "arn:aws:kms:us-east-1:000000000000:key/another"
NOT_ALLOWED: dict[str, dict[str, Any]] = {
    "with a network": {"EnableNetworkIsolation": False},
    "in clear text between hosts": {"EnableInterContainerTrafficEncryption": False},
    "with another key for the model": {"OutputDataConfig": {"KmsKeyId": ANOTHER_KEY}},
    "with another key for the disks": {"ResourceConfig": {"VolumeKmsKeyId": ANOTHER_KEY}},
    "on another instance type": {"ResourceConfig": {"InstanceType": "ml.p4d.24xlarge"}},
    "with remote debugging": {"RemoteDebugConfig": {"EnableRemoteDebug": True}},
    "with another environment's tag": {
        "Tags": [{"Key": "sagemaker-platform:environment", "Value": "prod"}]
    },
    "with another environment's name": {"TrainingJobName": "prod-1"},
    "with another role": {"RoleArn": "arn:aws:iam::000000000000:role/another"},
}


@pytest.fixture(scope="module", params=["train", "sweep"])
def creator(platform: LocalPlatform, request: pytest.FixtureRequest) -> Iterator[Actor]:
    with acting(platform, workflow_role(platform, request.param), request.param) as found:
        yield found


@pytest.mark.holds("Functions that create training jobs can create none that leaks or costs more.")
@pytest.mark.parametrize("how", NOT_ALLOWED)
def test_a_function_of_the_workflow_creates_no_job(
    platform: LocalPlatform, creator: Actor, how: str
) -> None:
    refused(creator.client("sagemaker").create_training_job, **job(platform, **NOT_ALLOWED[how]))


def test_a_function_of_the_workflow_creates_a_job_as_the_environment_has_it(
    platform: LocalPlatform, creator: Actor
) -> None:
    request = job(platform)
    creator.client("sagemaker").create_training_job(**request)
    platform.client("sagemaker").stop_training_job(TrainingJobName=request["TrainingJobName"])
