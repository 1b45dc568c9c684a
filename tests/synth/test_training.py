import json
import re
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Match, Template
from aws_cdk.cx_api import CloudFormationStackArtifact  # noqa: F401 - resolves the artifact's type

STACK_ROLE = "sagemaker-platform-test-digits-stack"
OWN_IMAGES = "arn:aws:ecr:eu-west-1:111122223333:repository/sagemaker-platform-test/*"
AWS_IMAGES = "arn:aws:ecr:eu-west-1:685385470294:repository/kmeans"


@pytest.fixture(scope="module")
def template(templates: dict[str, Template]) -> Template:
    return templates["training"]


def _role(template: Template, description: str) -> dict[str, dict[str, Any]]:
    """Statements by sid of the one role whose description begins so."""
    (role,) = template.find_resources(
        "AWS::IAM::Role",
        {"Properties": {"Description": Match.string_like_regexp(f"^{description}")}},
    ).values()
    policies = role["Properties"]["Policies"]
    return {s["Sid"]: s for policy in policies for s in policy["PolicyDocument"]["Statement"]}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _actions(statements: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    return {
        sid: [s["Action"]] if isinstance(s["Action"], str) else s["Action"]
        for sid, s in statements.items()
    }


@pytest.fixture(scope="module")
def training(template: Template) -> dict[str, dict[str, Any]]:
    return _role(template, "SageMaker acts with it for the training jobs")


def test_a_job_may_do_what_sagemaker_calls_for_it_and_no_more(
    training: dict[str, dict[str, Any]],
) -> None:
    assert _actions(training) == {
        "ListData": ["s3:ListBucket"],
        "ReadData": ["s3:GetObject"],
        "WriteModels": ["s3:PutObject"],
        "FindCheckpoints": ["s3:ListBucket"],
        "ReadCheckpoints": ["s3:GetObject"],
        "DecryptData": ["kms:Decrypt"],
        "EncryptModels": ["kms:Encrypt", "kms:GenerateDataKey"],
        "EncryptDisks": ["kms:CreateGrant"],
        "WriteLogs": [
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:DescribeLogStreams",
            "logs:PutLogEvents",
        ],
        "WriteMetrics": ["cloudwatch:PutMetricData"],
        "LogInToRegistries": ["ecr:GetAuthorizationToken"],
        "PullImages": [
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:GetDownloadUrlForLayer",
        ],
    }


def test_a_job_writes_nowhere_but_below_jobs(training: dict[str, dict[str, Any]]) -> None:
    resource = json.dumps(training["WriteModels"]["Resource"])
    assert "Models" in resource
    assert resource.endswith('"/jobs/*"]]}')


def test_a_job_encrypts_disks_only_through_aws(training: dict[str, dict[str, Any]]) -> None:
    assert training["EncryptDisks"]["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}


def test_a_job_counts_only_in_its_own_namespace(training: dict[str, dict[str, Any]]) -> None:
    assert training["WriteMetrics"]["Condition"] == {
        "StringEquals": {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}
    }


def test_a_job_runs_the_platforms_images_and_those_aws_publishes(
    training: dict[str, dict[str, Any]],
) -> None:
    assert sorted(training["PullImages"]["Resource"]) == [OWN_IMAGES, AWS_IMAGES]


def test_an_endpoint_reads_models_and_writes_only_what_it_captures(template: Template) -> None:
    statements = _role(template, "SageMaker acts with it to serve sagemaker-platform-test-digits")
    assert _actions(statements).keys() == {
        "ReadModel",
        "DecryptModel",
        "CaptureRequests",
        "EncryptCapture",
        "EncryptDisks",
        "WatchAlarms",
        "WriteLogs",
        "WriteMetrics",
        "LogInToRegistries",
        "PullImages",
    }
    assert '"/capture/sagemaker-platform-test-digits/*"' in json.dumps(
        statements["CaptureRequests"]["Resource"]
    )
    assert statements["WriteLogs"]["Resource"][0].endswith(
        ":log-group:/aws/sagemaker/Endpoints/sagemaker-platform-test-digits"
    )


def test_sagemaker_may_look_at_the_alarms_that_end_a_deployment(template: Template) -> None:
    statements = _role(template, "SageMaker acts with it to serve sagemaker-platform-test-digits")
    assert statements["WatchAlarms"]["Action"] == "cloudwatch:DescribeAlarms"
    assert statements["WatchAlarms"]["Resource"].endswith(
        ":alarm:sagemaker-platform-test-endpoint-digits-Alarms*"
    )


@pytest.fixture(scope="module")
def changing(template: Template) -> dict[str, dict[str, Any]]:
    return _role(
        template, "CloudFormation acts with it to change sagemaker-platform-test-endpoint-digits"
    )


def test_whoever_changes_an_endpoint_can_touch_nothing_else(
    changing: dict[str, dict[str, Any]],
) -> None:
    services = {a.split(":")[0] for actions in _actions(changing).values() for a in actions}
    assert services == {
        "application-autoscaling",
        "cloudformation",
        "cloudwatch",
        "iam",
        "kms",
        "sagemaker",
    }
    assert [
        action
        for actions in _actions(changing).values()
        for action in actions
        if action.startswith(("iam:", "cloudformation:", "kms:"))
    ] == [
        "kms:CreateGrant",
        "kms:DescribeKey",
        "iam:PassRole",
        "iam:CreateServiceLinkedRole",
        "cloudformation:DescribeStacks",
    ]
    assert changing["Endpoint"]["Resource"] == (
        "arn:aws:sagemaker:eu-west-1:111122223333:endpoint/sagemaker-platform-test-digits"
    )


TAG, DIGITS = "sagemaker-platform:endpoint", "sagemaker-platform-test-digits"
BRINGS, HAS = f"aws:RequestTag/{TAG}", f"aws:ResourceTag/{TAG}"
UNNAMED = re.compile(r".*:(model|endpoint-config|scalable-target)/\*")


def test_what_aws_names_is_told_by_the_tag_of_the_endpoint(
    changing: dict[str, dict[str, Any]],
) -> None:
    told = {
        sid: statement["Condition"]
        for sid, statement in changing.items()
        if any(UNNAMED.fullmatch(str(one)) for one in _list(statement["Resource"]))
    }
    creating = {sid for sid, found in told.items() if BRINGS in found.get("StringEquals", {})}
    changing_own = {sid for sid, found in told.items() if HAS in found.get("StringEquals", {})}
    assert creating == {"CreateModel", "CreateConfiguration", "TagWhatIsNew", "NewTarget"}
    assert changing_own == {
        "DeleteModelAndConfiguration",
        "UseConfiguration",
        "TagOwn",
        "UntagOwn",
        "OwnTarget",
        "TagOwnTarget",
        "UntagOwnTarget",
    }
    (rest,) = set(told) - creating - changing_own
    assert rest == "SeeModelAndConfiguration"
    assert told[rest] == {"StringEqualsIfExists": {HAS: DIGITS}}
    for found in told.values():
        keys = {**found.get("StringEquals", {}), **found.get("StringEqualsIfExists", {})}
        assert {keys[one] for one in (BRINGS, HAS) if one in keys} == {DIGITS}


def test_a_tag_makes_nothing_an_endpoints_that_was_not_made_for_it(
    changing: dict[str, dict[str, Any]],
) -> None:
    assert changing["TagWhatIsNew"]["Condition"]["Null"] == {"sagemaker:TaggingAction": "false"}
    for sid in ("TagOwn", "TagOwnTarget"):
        assert changing[sid]["Condition"]["StringEqualsIfExists"] == {BRINGS: DIGITS}
    for sid in ("UntagOwn", "UntagOwnTarget"):
        assert changing[sid]["Condition"]["ForAllValues:StringNotEquals"] == {"aws:TagKeys": [TAG]}
    assert changing["NewTarget"]["Condition"]["StringEqualsIfExists"][HAS] == DIGITS


def test_a_model_is_isolated_and_a_configuration_has_the_key_and_the_instance_type(
    changing: dict[str, dict[str, Any]],
) -> None:
    model, config = (changing[sid]["Condition"] for sid in ("CreateModel", "CreateConfiguration"))
    assert model["Bool"] == {"sagemaker:NetworkIsolation": "true"}
    assert config["ForAllValues:StringEquals"] == {"sagemaker:InstanceTypes": ["ml.m5.large"]}
    assert config["Null"] == {"sagemaker:InstanceTypes": "false"}
    assert "storage" in json.dumps(config["ArnEquals"]["sagemaker:VolumeKmsKeyArn"])


def test_scaling_is_that_of_instances_of_variants(changing: dict[str, dict[str, Any]]) -> None:
    wanted = {
        "application-autoscaling:service-namespace": "sagemaker",
        "application-autoscaling:scalable-dimension": "sagemaker:variant:DesiredInstanceCount",
    }
    assert wanted.items() <= changing["OwnTarget"]["Condition"]["StringEquals"].items()
    assert wanted.items() <= changing["NewTarget"]["Condition"]["StringEqualsIfExists"].items()


def test_whoever_changes_an_endpoint_lets_only_aws_use_the_key(
    changing: dict[str, dict[str, Any]],
) -> None:
    assert changing["EncryptDisks"]["Action"] == "kms:CreateGrant"
    assert changing["EncryptDisks"]["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}


def test_whoever_changes_an_endpoint_can_give_it_only_its_own_role(
    template: Template, changing: dict[str, dict[str, Any]]
) -> None:
    (role,) = template.find_resources(
        "AWS::IAM::Role",
        {"Properties": {"Description": "SageMaker acts with it to serve " + STACK_ROLE[:-6]}},
    )
    assert changing["HandRoleToSageMaker"]["Resource"] == {"Fn::GetAtt": [role, "Arn"]}
    assert changing["HandRoleToSageMaker"]["Condition"] == {
        "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
    }


def test_the_endpoints_stack_is_changed_with_that_role(stacks: dict[str, Stack]) -> None:
    stack = stacks["endpoint-digits"]
    artifact = stack.node.root.synth().get_stack_artifact(stack.artifact_id)  # type: ignore[attr-defined]
    assert artifact.cloud_formation_execution_role_arn == (
        f"arn:${{AWS::Partition}}:iam::111122223333:role/{STACK_ROLE}"
    )


def test_the_stacks_role_has_the_name_that_the_endpoints_stack_expects(template: Template) -> None:
    template.has_resource_properties(
        "AWS::IAM::Role",
        {
            "RoleName": STACK_ROLE,
            "AssumeRolePolicyDocument": Match.object_like(
                {
                    "Statement": [
                        Match.object_like(
                            {"Principal": {"Service": "cloudformation.amazonaws.com"}}
                        )
                    ]
                }
            ),
        },
    )


def test_cdk_may_hand_the_stacks_role_to_cloudformation(template: Template) -> None:
    (role,) = template.find_resources("AWS::IAM::Role", {"Properties": {"RoleName": STACK_ROLE}})
    template.has_resource_properties(
        "AWS::IAM::Policy",
        {
            "Roles": ["cdk-hnb659fds-deploy-role-111122223333-eu-west-1"],
            "PolicyDocument": {
                "Statement": [
                    Match.object_like(
                        {
                            "Action": "iam:PassRole",
                            "Resource": {"Fn::GetAtt": [role, "Arn"]},
                            "Condition": {
                                "StringEquals": {
                                    "iam:PassedToService": "cloudformation.amazonaws.com"
                                }
                            },
                        }
                    )
                ]
            },
        },
    )


def test_groups_are_named_for_their_environment(template: Template) -> None:
    template.has_resource_properties(
        "AWS::SageMaker::ModelPackageGroup",
        {"ModelPackageGroupName": "sagemaker-platform-test-digits"},
    )


@pytest.mark.parametrize(
    "name",
    [
        "training/execution-role-arn",
        "training/job-table",
        "training/state-machine-arn",
        "endpoints/digits/stack-name",
        "endpoints/pinned/stack-name",
    ],
)
def test_publishes_what_others_look_up(template: Template, name: str) -> None:
    template.has_resource_properties(
        "AWS::SSM::Parameter", {"Name": f"/sagemaker-platform/test/{name}"}
    )


def test_the_workflow_deploys_only_where_the_file_does_not_decide(template: Template) -> None:
    (settings,) = (
        function["Properties"]["Environment"]["Variables"]
        for function in template.find_resources("AWS::Lambda::Function").values()
        if function["Properties"]["Handler"] == "jobs.handlers.validate.lambda_handler"
    )
    assert json.loads(settings["ENDPOINTS"]) == {
        "digits": "sagemaker-platform-test-endpoint-digits",
        "pinned": "",
    }
