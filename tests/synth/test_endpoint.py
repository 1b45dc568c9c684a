from typing import Any

import pytest
from aws_cdk.assertions import Match, Template

from sagemaker_constructs.endpoint import has_local_storage

HANDLE = "AWS::CloudFormation::WaitConditionHandle"
NAME = "sagemaker-platform-test-digits"


@pytest.fixture(scope="module")
def template(templates: dict[str, Template]) -> Template:
    return templates["endpoint-digits"]


@pytest.fixture(scope="module")
def pinned(templates: dict[str, Template]) -> Template:
    return templates["endpoint-pinned"]


def test_without_a_model_nothing_is_created(template: Template) -> None:
    content = template.to_json()
    assert content["Parameters"]["ModelPackageArn"]["Default"] == "none"
    conditions = {
        resource.get("Condition")
        for resource in content["Resources"].values()
        if resource["Type"] != HANDLE
    }
    assert len(conditions) == 1
    assert content["Conditions"][conditions.pop()] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "ModelPackageArn"}, "none"]}]
    }


def test_without_a_model_the_stack_is_still_one_that_can_be_made(template: Template) -> None:
    assert [handle.get("Condition") for handle in template.find_resources(HANDLE).values()] == [
        None
    ]


def test_the_parameter_is_the_only_one_so_that_an_update_needs_to_know_no_other(
    template: Template,
) -> None:
    assert list(template.to_json()["Parameters"]) == ["ModelPackageArn"]


def test_with_a_model_in_the_file_the_file_alone_decides(
    pinned: Template, environment: dict[str, Any]
) -> None:
    content = pinned.to_json()
    assert "Parameters" not in content
    assert "Conditions" not in content
    package = (
        "arn:aws:sagemaker:eu-west-1:111122223333:model-package/sagemaker-platform-test-digits/3"
    )
    pinned.has_resource_properties(
        "AWS::SageMaker::Model", {"PrimaryContainer": {"ModelPackageName": package}}
    )


def test_the_model_reaches_no_network(template: Template) -> None:
    template.has_resource_properties(
        "AWS::SageMaker::Model",
        {
            "EnableNetworkIsolation": True,
            "PrimaryContainer": {"ModelPackageName": {"Ref": "ModelPackageArn"}},
        },
    )


@pytest.mark.parametrize("kind", ["Model", "EndpointConfig"])
def test_what_must_be_replaced_has_no_name(template: Template, kind: str) -> None:
    template.has_resource_properties(f"AWS::SageMaker::{kind}", {f"{kind}Name": Match.absent()})


def test_the_endpoint_has_the_name_that_alarms_and_callers_know(template: Template) -> None:
    template.has_resource_properties("AWS::SageMaker::Endpoint", {"EndpointName": NAME})
    for alarm in template.find_resources("AWS::CloudWatch::Alarm").values():
        assert {"Name": "EndpointName", "Value": NAME} in alarm["Properties"]["Dimensions"]


def test_disks_and_captured_requests_are_encrypted_with_the_platforms_key(
    template: Template,
) -> None:
    key = Match.object_like(
        {"Fn::GetStackOutput": Match.object_like({"StackName": "sagemaker-platform-test-storage"})}
    )
    template.has_resource_properties(
        "AWS::SageMaker::EndpointConfig",
        {
            "KmsKeyId": key,
            "DataCaptureConfig": {
                "EnableCapture": True,
                "InitialSamplingPercentage": 20,
                "KmsKeyId": key,
                "DestinationS3Uri": {
                    "Fn::Join": ["", ["s3://", Match.any_value(), "/capture"]],
                },
            },
        },
    )


def test_instances_with_disks_of_their_own_get_no_key(pinned: Template) -> None:
    pinned.has_resource_properties("AWS::SageMaker::EndpointConfig", {"KmsKeyId": Match.absent()})


@pytest.mark.parametrize(
    ("instance_type", "local"),
    [
        ("ml.m5.large", False),
        ("ml.m5d.large", True),
        ("ml.c6gd.large", True),
        ("ml.c6gn.large", False),
        ("ml.g4dn.xlarge", True),
        ("ml.g5.xlarge", True),
        ("ml.g6e.xlarge", True),
        ("ml.p3.2xlarge", False),
        ("ml.p3dn.24xlarge", True),
        ("ml.p4de.24xlarge", True),
        ("ml.p6-b200.48xlarge", True),
        ("ml.trn1.2xlarge", True),
        ("ml.inf2.xlarge", False),
        ("ml.t2.medium", False),
    ],
)
def test_knows_which_instances_bring_disks(instance_type: str, local: bool) -> None:
    assert has_local_storage(instance_type) is local


def test_a_deployment_begins_with_one_instance_and_ends_at_any_alarm(template: Template) -> None:
    alarms = sorted(template.find_resources("AWS::CloudWatch::Alarm"))
    template.has_resource_properties(
        "AWS::SageMaker::Endpoint",
        {
            "DeploymentConfig": {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {
                        "Type": "CANARY",
                        "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
                        "WaitIntervalInSeconds": 300,
                    },
                    "TerminationWaitInSeconds": 300,
                }
            }
        },
    )
    assert sorted(_rollback_alarms(template)) == alarms
    assert len(alarms) == 3


def test_a_single_instance_moves_at_once_and_still_bakes_under_alarms(pinned: Template) -> None:
    pinned.has_resource_properties(
        "AWS::SageMaker::Endpoint",
        {
            "DeploymentConfig": {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {
                        "Type": "ALL_AT_ONCE",
                        "CanarySize": Match.absent(),
                        # UpdateEndpoint demands it, whatever the type.
                        "WaitIntervalInSeconds": 0,
                    },
                    "TerminationWaitInSeconds": 300,
                }
            }
        },
    )
    assert len(_rollback_alarms(pinned)) == 3


def test_a_deployment_keeps_the_instances_that_scaling_added(template: Template) -> None:
    template.has_resource_properties(
        "AWS::SageMaker::Endpoint",
        {
            "RetainAllVariantProperties": True,
            "ExcludeRetainedVariantProperties": Match.absent(),
        },
    )


def test_scaling_follows_the_requests_of_each_instance(template: Template) -> None:
    template.has_resource(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        {
            "Properties": {
                "MinCapacity": 2,
                "MaxCapacity": 4,
                "ResourceId": f"endpoint/{NAME}/variant/AllTraffic",
                "RoleARN": Match.absent(),
            },
            "DependsOn": list(template.find_resources("AWS::SageMaker::Endpoint")),
        },
    )
    template.has_resource_properties(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        {
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": 600,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
                },
            }
        },
    )


@pytest.mark.parametrize("metric", ["Invocation5XXErrors", "InvocationModelErrors", "ModelLatency"])
def test_whoever_is_on_call_hears_of_an_alarm_and_of_its_end(
    template: Template, metric: str
) -> None:
    topic = [
        {
            "Fn::GetStackOutput": Match.object_like(
                {"StackName": "sagemaker-platform-test-governance"}
            )
        }
    ]
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "MetricName": metric,
            "AlarmActions": topic,
            "OKActions": topic,
            "TreatMissingData": "notBreaching",
        },
    )


def test_latency_is_alarmed_in_microseconds(template: Template) -> None:
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm", {"MetricName": "ModelLatency", "Threshold": 1_000_000}
    )


def test_the_stack_makes_no_role_and_no_policy(template: Template) -> None:
    kinds = {resource["Type"] for resource in template.to_json()["Resources"].values()}
    assert {kind.split("::")[1] for kind in kinds} == {
        "ApplicationAutoScaling",
        "CloudFormation",
        "CloudWatch",
        "SageMaker",
    }


def _rollback_alarms(template: Template) -> list[str]:
    (endpoint,) = template.find_resources("AWS::SageMaker::Endpoint").values()
    config: dict[str, Any] = endpoint["Properties"]["DeploymentConfig"]
    return [a["AlarmName"]["Ref"] for a in config["AutoRollbackConfiguration"]["Alarms"]]
