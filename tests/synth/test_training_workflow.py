import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template
from cdk_nag import AwsSolutionsChecks

from sagemaker_constructs.training_workflow import JobDefaults, TrainingWorkflow

REPOSITORY = "arn:aws:ecr:eu-west-1:685385470294:repository/kmeans"
ENDPOINTS = {"digits": "sagemaker-platform-test-endpoint-digits", "pinned": ""}


def workflow(code: Path, **changes: object) -> Stack:
    (code / "jobs").mkdir(exist_ok=True)
    (code / "jobs" / "__init__.py").write_text("")
    app = App(builtin_cloud_formation_validation=False)
    stack = Stack(app, "Training", env=Environment(account="111122223333", region="eu-west-1"))
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    arguments: dict[str, Any] = {
        "environment_name": "test",
        "code_path": code,
        "architecture": lambda_.Architecture.ARM_64,
        "data_bucket": s3.Bucket.from_bucket_name(stack, "Data", "data"),
        "models_bucket": s3.Bucket.from_bucket_name(stack, "Models", "models"),
        "key": key,
        "execution_role": iam.Role.from_role_arn(
            stack, "Execution", "arn:aws:iam::111122223333:role/execution"
        ),
        "topic": sns.Topic.from_topic_arn(
            stack, "Topic", "arn:aws:sns:eu-west-1:111122223333:alerts"
        ),
        "repositories": [REPOSITORY],
        "model_package_groups": {"digits": "sagemaker-platform-test-digits"},
        "endpoints": ENDPOINTS,
        "defaults": JobDefaults(("ml.m5.xlarge",), 30, 3600),
        "log_retention": logs.RetentionDays.ONE_MONTH,
        "retain": True,
    }
    TrainingWorkflow(stack, "Workflow", **{**arguments, **changes})
    return stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return workflow(tmp_path_factory.mktemp("functions"))


@pytest.fixture(scope="module")
def template(stack: Stack) -> Template:
    return Template.from_stack(stack)


@pytest.fixture(scope="module")
def states(template: Template) -> dict[str, Any]:
    (machine,) = template.find_resources("AWS::StepFunctions::StateMachine").values()
    definition = machine["Properties"]["DefinitionString"]["Fn::Join"][1]
    text = "".join(
        part if isinstance(part, str) else json.dumps(part).replace('"', "'") for part in definition
    )
    found: dict[str, Any] = json.loads(text)["States"]
    return found


def statements(template: Template) -> dict[str, list[Mapping[str, Any]]]:
    """Statements of each role, by the start of its logical id."""
    return {
        name.removeprefix("Workflow"): [
            statement
            for policy in role["Properties"]["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
        ]
        for name, role in template.find_resources("AWS::IAM::Role").items()
    }


def actions(statement: Mapping[str, Any]) -> list[str]:
    found = statement["Action"]
    return [found] if isinstance(found, str) else list(found)


def test_no_cdk_nag_finding_is_left(stack: Stack, template: Template) -> None:
    report = AwsSolutionsChecks(stack).validate_scope(stack)
    assert [
        (v.rule_name, [r.resource_logical_id for r in v.violating_resources])
        for v in report.violations
    ] == []


def test_each_function_may_only_what_its_work_takes(template: Template) -> None:
    allowed = {
        next(
            n
            for n in (
                "Validate",
                "Train",
                "Complete",
                "Sweep",
                "Register",
                "Report",
                "Deployed",
                "Deploy",
                "Machine",
            )
            if name.startswith(n)
        ): {action for statement in role for action in actions(statement)}
        for name, role in statements(template).items()
    }
    log = {"logs:CreateLogStream", "logs:PutLogEvents"}
    answer = {"states:SendTaskSuccess", "states:SendTaskFailure"}
    begin = {
        "sagemaker:CreateTrainingJob",
        "sagemaker:AddTags",
        "sagemaker:DescribeTrainingJob",
        "iam:PassRole",
    }
    rows = {"dynamodb:GetItem", "dynamodb:UpdateItem", "kms:Decrypt"}
    write = {"s3:PutObject", "kms:GenerateDataKey"}
    stacks = {"cloudformation:DescribeStacks"}
    del allowed["Machine"]
    assert allowed == {
        "Validate": log | {"s3:ListBucket"},
        "Train": log | rows | {"dynamodb:PutItem", "s3:GetObject"} | write | begin | answer,
        "Complete": log | rows | {"sagemaker:DescribeTrainingJob"} | answer,
        "Sweep": log | rows | {"dynamodb:Query"} | begin | answer | {"states:SendTaskHeartbeat"},
        "Register": log
        | write
        | {"sagemaker:CreateModelPackage"}
        | {"ecr:BatchGetImage", "ecr:DescribeImages", "s3:GetObject", "kms:Decrypt"},
        "Report": log | {"events:PutEvents", "sns:Publish", "kms:Decrypt", "kms:GenerateDataKey"},
        "Deploy": log
        | rows
        | {"dynamodb:PutItem", "dynamodb:DeleteItem"}
        | stacks
        | {"cloudformation:UpdateStack"},
        "Deployed": log
        | stacks
        | {
            "cloudformation:DescribeStackEvents",
            "dynamodb:DeleteItem",
            "dynamodb:UpdateItem",
            "kms:Decrypt",
            "sagemaker:DescribeEndpoint",
            "sagemaker:DescribeEndpointConfig",
            "sagemaker:DescribeModel",
            "sagemaker:InvokeEndpoint",
        },
    }


def test_every_statement_has_a_name_of_its_own(template: Template) -> None:
    for name, role in statements(template).items():
        sids = [statement.get("Sid") for statement in role]
        assert all(sids) and len(set(sids)) == len(sids), name


@pytest.mark.parametrize(
    ("function", "sid", "service"),
    [
        ("Train", "JobTable", "dynamodb"),
        ("Train", "WriteRecords", "s3"),
        ("Train", "ReadSources", "s3"),
        ("Complete", "JobTable", "dynamodb"),
        ("Report", "TellTopic", "sns"),
    ],
)
def test_the_key_is_used_only_by_way_of_the_service_that_keeps_the_data(
    template: Template, function: str, sid: str, service: str
) -> None:
    (role,) = (role for name, role in statements(template).items() if name.startswith(function))
    key = {statement["Sid"]: statement for statement in role}[f"{sid}Key"]
    assert key["Condition"] == {
        "StringEquals": {"kms:ViaService": f"{service}.eu-west-1.amazonaws.com"}
    }


def test_whoever_registers_may_look_at_the_image_that_jobs_run(template: Template) -> None:
    (role,) = (role for name, role in statements(template).items() if name.startswith("Register"))
    (statement,) = (one for one in role if one["Sid"] == "CreatePackages")
    assert REPOSITORY in statement["Resource"]


@pytest.mark.parametrize("function", ["Complete", "Sweep"])
def test_somebody_hears_of_a_function_that_no_state_waits_for(
    template: Template, function: str
) -> None:
    (name,) = (
        name
        for name in template.find_resources("AWS::Lambda::Function")
        if name.startswith(f"Workflow{function}Function")
    )
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "MetricName": "Errors",
            "Dimensions": [{"Name": "FunctionName", "Value": {"Ref": name}}],
            "AlarmActions": ["arn:aws:sns:eu-west-1:111122223333:alerts"],
            "TreatMissingData": "notBreaching",
        },
    )


def test_only_one_role_can_be_handed_to_sagemaker(template: Template) -> None:
    passing = [
        statement
        for role in statements(template).values()
        for statement in role
        if "iam:PassRole" in actions(statement)
    ]
    assert len(passing) == 2
    for statement in passing:
        assert statement["Resource"] == "arn:aws:iam::111122223333:role/execution"
        assert statement["Condition"] == {
            "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
        }


def test_no_aws_managed_policy_is_attached(template: Template) -> None:
    for role in template.find_resources("AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role["Properties"]
    template.resource_count_is("AWS::IAM::Policy", 0)


def test_the_job_table_is_encrypted_recoverable_and_protected(template: Template) -> None:
    template.has_resource_properties(
        "AWS::DynamoDB::Table",
        {
            "BillingMode": "PAY_PER_REQUEST",
            "DeletionProtectionEnabled": True,
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS"},
            "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
        },
    )


def test_what_is_not_retained_can_be_deleted(tmp_path: Path) -> None:
    template = Template.from_stack(workflow(tmp_path, retain=False))
    template.has_resource(
        "AWS::DynamoDB::Table",
        {"DeletionPolicy": "Delete", "Properties": {"DeletionProtectionEnabled": False}},
    )


def test_the_state_machine_logs_encrypted_and_is_traced(template: Template) -> None:
    template.has_resource_properties(
        "AWS::StepFunctions::StateMachine",
        {
            "StateMachineName": "sagemaker-platform-test-training",
            "TracingConfiguration": {"Enabled": True},
            "LoggingConfiguration": Match.object_like({"Level": "ALL"}),
        },
    )
    for group in template.find_resources("AWS::Logs::LogGroup").values():
        assert "KmsKeyId" in group["Properties"] and group["Properties"]["RetentionInDays"] == 30


def test_every_function_runs_on_the_wanted_processor_and_logs_to_its_own_group(
    template: Template,
) -> None:
    functions = template.find_resources("AWS::Lambda::Function").values()
    assert len(functions) == 8
    groups = [str(f["Properties"]["LoggingConfig"]["LogGroup"]) for f in functions]
    assert len(set(groups)) == len(groups)
    for function in functions:
        assert function["Properties"]["Architectures"] == ["arm64"]
        assert function["Properties"]["Runtime"] == "python3.13"


def test_only_terminal_events_of_this_environment_wake_a_function(template: Template) -> None:
    template.has_resource_properties(
        "AWS::Events::Rule",
        {
            "EventPattern": {
                "source": ["aws.sagemaker"],
                "detail-type": ["SageMaker Training Job State Change"],
                "detail": {
                    "TrainingJobStatus": ["Completed", "Failed", "Stopped"],
                    "TrainingJobName": [{"prefix": "test-"}],
                },
            }
        },
    )


def test_the_sweep_runs_every_five_minutes(template: Template) -> None:
    template.has_resource_properties("AWS::Events::Rule", {"ScheduleExpression": "rate(5 minutes)"})


def test_train_waits_for_its_token_and_not_for_ever(states: dict[str, Any]) -> None:
    train = states["Train"]
    assert train["Resource"].endswith("lambda:invoke.waitForTaskToken")
    assert train["Parameters"]["Payload"]["token.$"] == "$$.Task.Token"
    assert train["TimeoutSeconds"] > 28 * 24 * 3600


def test_every_working_state_reports_its_failure_and_fails_as_it_did(
    states: dict[str, Any],
) -> None:
    for name in ("Validate", "Train", "Register", "Deploy", "CheckDeployment", "Restore"):
        assert states[name]["Catch"] == [
            {"ErrorEquals": ["States.ALL"], "Next": "ReportFailure", "ResultPath": "$.failure"}
        ], name
    assert states["ReportFailure"]["Next"] == "Failed"
    assert states["Failed"]["ErrorPath"] == "$.failure.Error"
    assert states["Failed"]["CausePath"] == "$.failure.Cause"


def test_a_failing_report_is_not_hidden_behind_a_success(states: dict[str, Any]) -> None:
    assert "Catch" not in states["Report"]


def test_a_busy_endpoint_is_waited_for(states: dict[str, Any]) -> None:
    (waiting,) = [r for r in states["Deploy"]["Retry"] if r["ErrorEquals"] == ["EndpointBusy"]]
    assert waiting["IntervalSeconds"] * waiting["MaxAttempts"] >= 1800


def test_without_a_deployable_endpoint_nobody_may_update_a_stack(tmp_path: Path) -> None:
    template = Template.from_stack(workflow(tmp_path, endpoints={"pinned": ""}))
    assert "cloudformation:" not in json.dumps(template.to_json())


def test_a_missing_staged_folder_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="make functions"):
        workflow(tmp_path, code_path=tmp_path / "nowhere")


def test_no_default_instance_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one instance type"):
        workflow(tmp_path, defaults=JobDefaults((), 30, 3600))
