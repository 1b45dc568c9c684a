"""What of ministack the evaluator of policies replaces, and relies on."""

import ast
import inspect
from typing import Any

import pytest
from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.services import cognito, iam, kms, lambda_svc, s3, sts, tagging
from ministack.services.cloudformation import provisioners

from local.emulator import managed_policies, passed_roles

REPLACED: dict[str, list[str]] = {
    "parse_policy_document": ["doc"],
    "validate_policy_document": ["doc"],
    "evaluate": ["ctx", "policies", "limits"],
    "evaluate_resource_policy": ["doc", "ctx", "service", "named_only", "direct_only"],
    "combine_resource_policy": [
        *("identity", "ctx", "policy", "owner_account", "required", "limits"),
    ],
    "evaluate_trust_policy": ["trust_doc", "caller_arn", "ctx"],
    "_first_match": ["ctx", "stmts", "effect"],
    "_resource_policy": ["service", "resource_arn"],
    "_names_condition_key": ["policies", "prefix"],
    "_resolve_condition_key": ["key", "ctx"],
    "pin_request_caller": ["headers", "query_params"],
}


@pytest.mark.parametrize("name", [*REPLACED])
def test_what_is_replaced_takes_these_arguments(name: str) -> None:
    assert [*inspect.signature(getattr(iam_evaluator, name)).parameters] == REPLACED[name]


def test_nothing_else_of_ministack_decides_by_policies() -> None:
    tree = ast.parse(inspect.getsource(iam_evaluator))
    matching = {"_conditions_met", "_principal_matches", "_action_matches", "_resource_matches"}
    users = {
        function.name
        for function in tree.body
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and node.id in matching
    }
    assert users == {
        *("_first_match", "evaluate_trust_policy", "evaluate_resource_policy"),
        *("_names_caller", "_trust_principal_matches"),
    }


def test_a_request_is_evaluated_by_these_functions_of_the_action_module() -> None:
    arguments: Any = [*inspect.signature(iam_actions.extract_iam_action).parameters]
    assert arguments == ["service", "method", "path", "headers", "body", "query_params"]
    resource = [*inspect.signature(iam_actions.extract_resource_arn).parameters]
    assert resource == [*arguments, "region", "account_id"]
    assert [*inspect.signature(iam_actions._s3_action).parameters] == [
        *("method", "path", "query_params"),
    ]
    source = inspect.getsource(app)
    for name in ("extract_iam_action", "extract_resource_arn", "request_tag_context"):
        assert f"{name}," in source
    assert iam_actions._load_botocore_model("lambda")["operations"]
    assert [*inspect.signature(app._routing_params).parameters] == [
        *("method", "path", "headers", "body", "query_params"),
    ]


def test_stores_and_functions_that_are_relied_on_are_there() -> None:
    for module, names in {
        iam: "_lookup_policy _policy_exists _aws_managed_policies attach_managed_policy "
        "_trust_policy_not_principal_error _put_user_policy _put_role_policy _put_group_policy "
        "_create_policy _create_policy_version _user_inline_policies _group_inline_policies "
        "_instance_profiles _boundary_policy_error _seed_aws_managed_policies",
        s3: "object_tags_for_condition _bucket_policies",
        kms: "_resolve_key",
        lambda_svc: "_resolve_name_and_qualifier",
        sts: "_session_policies _sessions",
        tagging: "resource_tags",
        cognito: "handle_request",
    }.items():
        assert not [name for name in names.split() if not hasattr(module, name)]
    assert {"create", "update"} <= provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"].keys()


def test_moto_ships_the_policies_that_aws_publishes() -> None:
    found = managed_policies.published()
    assert len(found) > 1_000
    policy = found["arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"]
    assert policy["Path"] == "/"
    assert policy["DefaultVersionId"] in policy["Versions"]


@pytest.mark.parametrize(
    ("service", "operation", "member"),
    [
        ("lambda", "CreateFunction", "Role"),
        ("lambda", "UpdateFunctionConfiguration", "Role"),
        ("states", "CreateStateMachine", "roleArn"),
        ("states", "UpdateStateMachine", "roleArn"),
        ("events", "PutTargets", "RoleArn"),
        ("events", "PutRule", "RoleArn"),
        ("scheduler", "UpdateSchedule", "RoleArn"),
        ("pipes", "UpdatePipe", "RoleArn"),
        ("ecs", "RegisterTaskDefinition", "executionRoleArn"),
        ("glue", "CreateJob", "Role"),
        ("codebuild", "UpdateProject", "serviceRole"),
        ("firehose", "CreateDeliveryStream", "RoleARN"),
        ("batch", "CreateComputeEnvironment", "serviceRole"),
        ("logs", "PutSubscriptionFilter", "roleArn"),
        ("elasticmapreduce", "RunJobFlow", "JobFlowRole"),
        ("cognito-idp", "CreateUserPool", "SnsCallerArn"),
        ("application-autoscaling", "RegisterScalableTarget", "RoleARN"),
    ],
)
def test_botocore_names_the_members_that_are_roles(
    service: str, operation: str, member: str
) -> None:
    assert member in passed_roles.members(service)[operation]
