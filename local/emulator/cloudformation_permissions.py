"""What CloudFormation must be allowed to do, in the name of a stack's principal, for each type.

The lists are the permissions of AWS's resource handlers that change something or that the handler
cannot finish without; a type that is not listed needs `service:VerbName` on all resources.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from local.emulator import (
    autoscaling,
    cloudformation_network,
    cloudformation_notebooks,
    cloudformation_scaling,
    identity,
    passed_roles,
    request_members,
)
from local.emulator.cloudformation_sagemaker import ARN_KINDS, REPLACING, arn_of, parameters
from local.emulator.environment import ACCOUNT, REGION, ROOT_ACCESS_KEY
from local.sagemaker import request_keys
from local.sagemaker.validation import service_model

Needed = tuple[str, str, dict[str, Any]]
Props = Mapping[str, Any]

_SAGEMAKER_TYPES = {**REPLACING, **cloudformation_notebooks.REPLACING}
# The others have nothing but tags that can be updated.
_UPDATED = ("Endpoint", "NotebookInstance", "NotebookInstanceLifecycleConfig", "CodeRepository")
_ALSO = {
    ("NotebookInstance", "update"): ("Stop", "Start"),
    ("NotebookInstance", "delete"): ("Stop",),
}
_SCALING_ROLE = (
    f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
# Verbs of the actions of types that are not listed.
_VERBS = {"create": "Create", "update": "Update", "delete": "Delete"}
# Properties whose texts are the user's own: a role in them is passed to nobody.
_DATA = (
    *("Environment", "Tags", "Parameters", "DefinitionSubstitutions", "DefinitionString"),
    *("PolicyDocument", "AssumeRolePolicyDocument", "KeyPolicy", "Principal", "Value"),
)
# Of CloudFormation's prefixes, what passed_roles calls the service.
_SERVICES = {"ApiGateway": "apigateway", "ApiGatewayV2": "apigateway", "ECS": "ecs", "EMR": "emr"}
# CloudFormation's own bookkeeping, which no service is asked for.
_FREE = ("AWS::CDK::Metadata", "AWS::CloudFormation::")


def check(
    service: Any,
    key: str,
    operation: str,
    resource_type: str,
    props: Props,
    stack_name: str | None,
    logical_id: str | None,
    physical_id: str = "",
    old: Props | None = None,
) -> None:
    """Refuse what the principal of `key` may not do.

    Args:
        service: SageMaker.
        key: Access key that the stack acts with.
        operation: `create`, `update` or `delete`.
        resource_type: Such as `AWS::S3::Bucket`.
        props: The properties that the resource has or is to have.
        stack_name: Its stack.
        logical_id: Its name in the template.
        physical_id: Its own name, once it has one.
        old: For an update, the properties until now.

    Raises:
        ValueError: in AWS's words, which become the resource's reason.
    """
    if key == ROOT_ACCESS_KEY or resource_type.startswith(_FREE):
        return
    name = _names(resource_type, props, stack_name, logical_id, physical_id)
    asked = [*needed(service, operation, resource_type, props, name, old or {})]
    if operation != "delete":
        asked += [each for each in _passed(resource_type, props) if each not in asked]
    for action, resource, context in asked:
        try:
            identity.authorize(key, action, resource, context)
        except identity.Denied as error:
            raise ValueError(
                f"{error} (Service: {resource_type.split('::')[1]}; Status Code: 403; "
                "Error Code: AccessDeniedException; Proxy: null)"
            ) from error


def needed(
    service: Any, operation: str, resource_type: str, props: Props, name: str, old: Props
) -> Iterator[Needed]:
    """Every permission of one operation on one resource."""
    if resource_type in _SAGEMAKER_TYPES:
        kind = resource_type.rpartition("::")[2]
        yield from _sagemaker(service, operation, kind, props, name, old)
        return
    if resource_type == cloudformation_scaling.TARGET:
        yield from _target(operation, props, old)
        return
    if resource_type.startswith("Custom::"):
        yield "lambda:InvokeFunction", str(props.get("ServiceToken", "*")), {}
        return
    listed = _LISTED.get(resource_type)
    if listed is None:
        _, prefix, kind = resource_type.split("::")
        yield f"{_PREFIXES.get(prefix, prefix.lower())}:{_VERBS[operation]}{kind}", "*", {}
        return
    yield from listed(operation, props, name)


def _passed(resource_type: str, props: Props) -> Iterator[Needed]:
    """Every role that a resource's properties hand to its service, whatever the type."""
    _, _, kind = resource_type.partition("::")
    if resource_type in _SAGEMAKER_TYPES or not resource_type.startswith("AWS::"):
        return
    given = {name: value for name, value in props.items() if name not in _DATA}
    prefix = kind.partition("::")[0]
    service = _SERVICES.get(prefix, _PREFIXES.get(prefix, prefix.lower()))
    found = passed_roles.of_properties(service, request_members.texts(given, _DATA))
    found += passed_roles.profiles(request_members.texts(given, _DATA))
    if kind == "IAM::InstanceProfile":
        found += [each for role in props.get("Roles", []) for each in passed_roles.by_ec2(role)]
    for role in found:
        if ":role/aws-service-role/" not in role.arn:
            yield "iam:PassRole", role.arn, role.context


def _names(
    resource_type: str,
    props: Props,
    stack_name: str | None,
    logical_id: str | None,
    physical_id: str,
) -> str:
    """The resource's name: declared, or the one that ministack will generate."""
    from ministack.services.cloudformation import provisioners

    kind = resource_type.rpartition("::")[2]
    for declared in (f"{kind}Name", "Name", "BucketName", "GroupName", "RoleName"):
        value = props.get(declared)
        if isinstance(value, str) and value:
            return value
    if physical_id:
        return physical_id.rpartition("/")[2] if "arn:aws:sagemaker" in physical_id else physical_id
    if resource_type in _SAGEMAKER_TYPES:
        return f"{(logical_id or '')[:50]}-*"
    name = provisioners._physical_name(stack_name or "", logical_id or "", max_len=64)
    return str(name)


def _sagemaker(
    service: Any, operation: str, kind: str, props: Props, name: str, old: Props
) -> Iterator[Needed]:
    name = name.replace("*", "000000000000")
    named, own = {f"{kind}Name": name}, arn_of(ARN_KINDS[kind], name, REGION)
    tags, removed = cloudformation_scaling.retagged(old, props)
    new_tags = [{"Key": key, "Value": value} for key, value in tags.items()]

    def asked(of: str, params: Props) -> Iterator[Needed]:
        for permission in service.required_permissions(of, params):
            yield permission.action, permission.resource, dict(permission.context or {})

    if operation == "delete":
        yield from asked(f"Delete{kind}", named)
    elif operation == "create":
        yield from asked(f"Create{kind}", _typed(f"Create{kind}", props) | named | _tags(new_tags))
        if kind == "EndpointConfig" and props.get("KmsKeyId"):
            yield from _granted(str(props["KmsKeyId"]))
    else:
        if kind in _UPDATED:
            # A template has all of a property, and the operation takes a part of some.
            members = _members(f"Update{kind}")
            changed = {key: value for key, value in props.items() if key in members}
            yield from asked(f"Update{kind}", _typed(f"Create{kind}", changed) | named)
        if new_tags:
            yield from asked("AddTags", {"ResourceArn": own, "Tags": new_tags})
        if removed:
            yield from asked("DeleteTags", {"ResourceArn": own, "TagKeys": removed})
    for action, resource, context in asked(f"Describe{kind}", named):
        # What is described after a creation has its tags by then.
        made = request_keys.of_resource(tags) if operation == "create" else {}
        yield action, resource, context | made
    for also in _ALSO.get((kind, operation), ()):
        yield from asked(f"{also}{kind}", named)
    if props.get("ModelPackageGroupPolicy") and operation != "delete":
        yield "sagemaker:PutModelPackageGroupPolicy", own, {}


def _typed(operation: str, props: Props) -> dict[str, Any]:
    """What of a template's properties the operation is given, but for the tags."""
    members = _members(operation)
    return parameters(operation, {k: v for k, v in props.items() if k in members and k != "Tags"})


def _members(operation: str) -> Mapping[str, Any]:
    shape: Any = service_model().operation_model(operation).input_shape
    members: Mapping[str, Any] = shape.members
    return members


def _tags(tags: list[dict[str, str]]) -> dict[str, Any]:
    return {"Tags": tags} if tags else {}


def _granted(key: str) -> Iterator[Needed]:
    """SageMaker encrypts disks under a grant that the caller makes."""
    arn = key if key.startswith("arn:") else _arn("kms", f"key/{key}")
    via = {"kms:ViaService": f"sagemaker.{REGION}.amazonaws.com", "kms:CallerAccount": ACCOUNT}
    yield "kms:CreateGrant", arn, {**via, "kms:GrantIsForAWSResource": "true"}
    yield "kms:DescribeKey", arn, via


def _arn(service: str, resource: str, *, region: str = REGION, account: str = ACCOUNT) -> str:
    return f"arn:aws:{service}:{region}:{account}:{resource}"


def _target(operation: str, props: Props, old: Props) -> Iterator[Needed]:
    params: dict[str, Any] = cloudformation_scaling.keys(dict(props))
    if operation == "delete":
        yield _scaling("DeregisterScalableTarget", params)
        return
    changed, removed = cloudformation_scaling.retagged(old, props)
    if operation == "create" and changed:
        params["Tags"] = changed
    register = _scaling("RegisterScalableTarget", params)
    yield register
    # A registration asks for the tags that it sets, and for what it scales.
    yield from autoscaling.also_needed("RegisterScalableTarget", json.dumps(params).encode())
    yield "application-autoscaling:DescribeScalableTargets", "*", {}
    if operation == "update" and changed:
        yield _scaling("TagResource", {"ResourceARN": register[1], "Tags": changed})
    if operation == "update" and removed:
        yield _scaling("UntagResource", {"ResourceARN": register[1], "TagKeys": removed})
    if props.get("RoleARN") and "/aws-service-role/" not in str(props["RoleARN"]):
        yield (
            "iam:PassRole",
            str(props["RoleARN"]),
            {"iam:PassedToService": "application-autoscaling.amazonaws.com"},
        )
    elif operation == "create":
        yield (
            "iam:CreateServiceLinkedRole",
            _SCALING_ROLE,
            {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"},
        )


def _policy(operation: str, props: Props, name: str) -> Iterator[Needed]:
    params = cloudformation_scaling.keys(dict(props))
    # The alarms of a target tracking policy are made with the caller's permissions.
    alarms = _arn("cloudwatch", f"alarm:TargetTracking-{params['ResourceId']}-AlarmHigh-0")
    if operation == "delete":
        # Deregistering a target deletes its policies, so a policy may be gone before its turn.
        yield _scaling("DeleteScalingPolicy", params)
        yield "cloudwatch:DeleteAlarms", alarms, {}
        return
    yield _scaling("PutScalingPolicy", params)
    yield "application-autoscaling:DescribeScalingPolicies", "*", {}
    if props.get("TargetTrackingScalingPolicyConfiguration"):
        yield "cloudwatch:PutMetricAlarm", alarms, {}
        yield "cloudwatch:DescribeAlarms", alarms, {}


def _scaling(operation: str, params: Props) -> Needed:
    return (
        f"{autoscaling.NAME}:{operation}",
        autoscaling.resource_arn(operation, params),
        autoscaling.condition_keys(operation, params),
    )


def _alarm(operation: str, props: Props, name: str) -> Iterator[Needed]:
    arn = _arn("cloudwatch", f"alarm:{name}")
    action = "DeleteAlarms" if operation == "delete" else "PutMetricAlarm"
    yield f"cloudwatch:{action}", arn, {}
    yield "cloudwatch:DescribeAlarms", arn, {}


def _role(operation: str, props: Props, name: str) -> Iterator[Needed]:
    arn = _arn("iam", f"role{_path(props)}{name}", region="")
    policies, managed = props.get("Policies") or [], props.get("ManagedPolicyArns") or []
    if operation == "delete":
        yield "iam:DeleteRole", arn, {}
        if policies:
            yield "iam:DeleteRolePolicy", arn, {}
        for attached in managed:
            yield "iam:DetachRolePolicy", arn, {"iam:PolicyARN": str(attached)}
        return
    yield ("iam:CreateRole" if operation == "create" else "iam:UpdateAssumeRolePolicy"), arn, {}
    yield "iam:GetRole", arn, {}
    if policies:
        yield "iam:PutRolePolicy", arn, {}
    for attached in managed:
        yield "iam:AttachRolePolicy", arn, {"iam:PolicyARN": str(attached)}


def _inline(operation: str, props: Props, name: str) -> Iterator[Needed]:
    action = "DeleteRolePolicy" if operation == "delete" else "PutRolePolicy"
    for role in props.get("Roles") or []:
        yield f"iam:{action}", _arn("iam", f"role/{role}", region=""), {}


def _path(props: Props) -> str:
    return str(props.get("Path") or "/")


def _simple(
    create: str, update: str, delete: str, arn: Callable[[Props, str], str]
) -> Callable[[str, Props, str], Iterator[Needed]]:
    actions = {"create": create, "update": update, "delete": delete}

    def listed(operation: str, props: Props, name: str) -> Iterator[Needed]:
        for action in actions[operation].split():
            yield action, arn(props, name), {}

    return listed


def _passing(
    inner: Callable[[str, Props, str], Iterator[Needed]], prop: str, service: str
) -> Callable[[str, Props, str], Iterator[Needed]]:
    """A type whose creation passes the role in `prop` on to `service`."""

    def listed(operation: str, props: Props, name: str) -> Iterator[Needed]:
        yield from inner(operation, props, name)
        role = props.get(prop)
        if operation != "delete" and isinstance(role, str):
            yield "iam:PassRole", role, {"iam:PassedToService": service}

    return listed


def _flow_log(operation: str, props: Props, name: str) -> Iterator[Needed]:
    if operation == "delete":
        yield "ec2:DeleteFlowLogs", _arn("ec2", f"vpc-flow-log/{name}"), {}
        return
    yield "ec2:CreateFlowLogs", _arn("ec2", "vpc-flow-log/*"), {}
    yield (
        "iam:PassRole",
        str(props["DeliverLogsPermissionArn"]),
        {"iam:PassedToService": "vpc-flow-logs.amazonaws.com"},
    )


def _in_network(kind: str, resource: str) -> Callable[[str, Props, str], Iterator[Needed]]:
    """A type of EC2, by the word that its actions and the one that its ARNs have."""
    return _simple(
        f"ec2:Create{kind}",
        f"ec2:Modify{kind}",
        f"ec2:Delete{kind}",
        lambda props, name: _arn("ec2", f"{resource}/*"),
    )


_PREFIXES = {
    "CloudWatch": "cloudwatch",
    "ECR": "ecr",
    "Events": "events",
    "KMS": "kms",
    "StepFunctions": "states",
    "Logs": "logs",
    "ApplicationAutoScaling": "application-autoscaling",
}

_LISTED: dict[str, Callable[[str, Props, str], Iterator[Needed]]] = {
    cloudformation_scaling.POLICY: _policy,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::Dashboard": _simple(
        "cloudwatch:PutDashboard",
        "cloudwatch:PutDashboard",
        "cloudwatch:DeleteDashboards",
        lambda props, name: f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{name}",
    ),
    cloudformation_network.FLOW_LOG: _flow_log,
    "AWS::EC2::VPC": _in_network("Vpc", "vpc"),
    "AWS::EC2::VPCEndpoint": _simple(
        "ec2:CreateVpcEndpoint",
        "ec2:ModifyVpcEndpoint",
        "ec2:DeleteVpcEndpoints",
        lambda props, name: _arn("ec2", "vpc-endpoint/*"),
    ),
    "AWS::EC2::SecurityGroup": _simple(
        "ec2:CreateSecurityGroup ec2:AuthorizeSecurityGroupEgress",
        "ec2:AuthorizeSecurityGroupIngress ec2:AuthorizeSecurityGroupEgress",
        "ec2:DeleteSecurityGroup",
        lambda props, name: _arn("ec2", "security-group/*"),
    ),
    "AWS::EC2::SubnetRouteTableAssociation": _simple(
        "ec2:AssociateRouteTable",
        "ec2:ReplaceRouteTableAssociation",
        "ec2:DisassociateRouteTable",
        lambda props, name: _arn("ec2", "route-table/*"),
    ),
    "AWS::IAM::Role": _role,
    "AWS::IAM::Policy": _inline,
    "AWS::IAM::ManagedPolicy": _simple(
        "iam:CreatePolicy",
        "iam:CreatePolicyVersion",
        "iam:DeletePolicy",
        lambda props, name: _arn("iam", f"policy/{name}", region=""),
    ),
    "AWS::S3::Bucket": _simple(
        "s3:CreateBucket",
        "s3:PutEncryptionConfiguration",
        "s3:DeleteBucket",
        lambda props, name: f"arn:aws:s3:::{name.lower()}",
    ),
    "AWS::S3::BucketPolicy": _simple(
        "s3:PutBucketPolicy",
        "s3:PutBucketPolicy",
        "s3:DeleteBucketPolicy",
        lambda props, name: f"arn:aws:s3:::{props.get('Bucket', name)}",
    ),
    "AWS::KMS::Key": _simple(
        "kms:CreateKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", lambda props, name: "*"
    ),
    "AWS::KMS::Alias": _simple(
        "kms:CreateAlias",
        "kms:UpdateAlias",
        "kms:DeleteAlias",
        lambda props, name: _arn("kms", str(props.get("AliasName", "*"))),
    ),
    "AWS::SSM::Parameter": _simple(
        "ssm:PutParameter",
        "ssm:PutParameter",
        "ssm:DeleteParameter",
        lambda props, name: _arn("ssm", f"parameter/{name.lstrip('/')}"),
    ),
    "AWS::SNS::Topic": _simple(
        "sns:CreateTopic",
        "sns:SetTopicAttributes",
        "sns:DeleteTopic",
        lambda props, name: (
            name if name.startswith("arn:") else _arn("sns", str(props.get("TopicName", name)))
        ),
    ),
    "AWS::SNS::TopicPolicy": _simple(
        "sns:SetTopicAttributes",
        "sns:SetTopicAttributes",
        "sns:SetTopicAttributes",
        lambda props, name: str((props.get("Topics") or ["*"])[0]),
    ),
    "AWS::DynamoDB::Table": _simple(
        "dynamodb:CreateTable",
        "dynamodb:UpdateTable",
        "dynamodb:DeleteTable",
        lambda props, name: _arn("dynamodb", f"table/{name}"),
    ),
    "AWS::Logs::LogGroup": _simple(
        "logs:CreateLogGroup",
        "logs:PutRetentionPolicy",
        "logs:DeleteLogGroup",
        lambda props, name: _arn("logs", f"log-group:{props.get('LogGroupName', name)}:*"),
    ),
    "AWS::Lambda::Function": _passing(
        _simple(
            "lambda:CreateFunction lambda:GetFunction",
            "lambda:UpdateFunctionCode lambda:UpdateFunctionConfiguration",
            "lambda:DeleteFunction",
            lambda props, name: _arn("lambda", f"function:{name}"),
        ),
        "Role",
        "lambda.amazonaws.com",
    ),
    "AWS::Lambda::Permission": _simple(
        "lambda:AddPermission",
        "lambda:AddPermission",
        "lambda:RemovePermission",
        lambda props, name: (
            fn
            if (fn := str(props.get("FunctionName", "*"))).startswith("arn:")
            else _arn("lambda", f"function:{fn}")
        ),
    ),
    "AWS::StepFunctions::StateMachine": _passing(
        _simple(
            "states:CreateStateMachine",
            "states:UpdateStateMachine",
            "states:DeleteStateMachine",
            lambda props, name: (
                name
                if name.startswith("arn:")
                else _arn("states", f"stateMachine:{props.get('StateMachineName', name)}")
            ),
        ),
        "RoleArn",
        "states.amazonaws.com",
    ),
    "AWS::Events::Rule": _simple(
        "events:PutRule events:PutTargets",
        "events:PutRule events:PutTargets",
        "events:DeleteRule events:RemoveTargets",
        lambda props, name: name if name.startswith("arn:") else _arn("events", f"rule/{name}"),
    ),
    "AWS::ECR::Repository": _simple(
        "ecr:CreateRepository",
        "ecr:PutLifecyclePolicy",
        "ecr:DeleteRepository",
        lambda props, name: _arn("ecr", f"repository/{name.lower()}"),
    ),
}
