"""What is checked when a notebook instance is created or updated, before anything runs."""

import datetime
import logging
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from environments import retirement
from local.sagemaker.errors import invalid
from local.sagemaker.notebooks.lifecycle import LifecycleConfigs
from local.sagemaker.notebooks.repositories import CodeRepositories, folder
from local.sagemaker.ports import Aws
from local.sagemaker.roles import CallFailed, Role

_log = logging.getLogger(__name__)


def check(
    params: Mapping[str, Any], configs: LifecycleConfigs, repositories: CodeRepositories
) -> None:
    """Check what a request names, at creation or in an update.

    Raises:
        ServiceError: for what does not exist or is not offered any more.
    """
    if params.get("AcceleratorTypes"):
        raise invalid(
            "Amazon Elastic Inference is no longer available: leave AcceleratorTypes out and "
            "choose an InstanceType with an accelerator."
        )
    if params.get("LifecycleConfigName"):
        configs.get(params["LifecycleConfigName"])
    for name in _repositories(params):
        repositories.check(name)


def check_platform(identifier: str, today: datetime.date) -> None:
    """Check that instances can still be created and started with a platform.

    Raises:
        ServiceError: for one that AWS has retired, with what takes its place.
    """
    found = retirement.verdict("notebook-platform", identifier, today)
    if found and found.refused:
        raise invalid(
            f"PlatformIdentifier {identifier} is retired, so no instance can be created or started "
            f"with it: {found.sentence}"
        )
    if found:
        _log.warning("PlatformIdentifier %s: %s", identifier, found.sentence)


def check_folders(notebook: Mapping[str, Any]) -> None:
    """Check that every repository of an instance has a folder of its own.

    Raises:
        ServiceError: for two whose clones would have the same name.
    """
    folders = [folder(name) for name in _repositories(notebook)]
    if len(set(folders)) < len(folders):
        raise invalid(
            "Code repositories of one notebook instance must be cloned into different folders; "
            f"these would be: {', '.join(folders)}."
        )


def _repositories(notebook: Mapping[str, Any]) -> list[str]:
    default = notebook.get("DefaultCodeRepository")
    return [*([default] if default else []), *notebook.get("AdditionalCodeRepositories", [])]


def check_role(role: Role) -> None:
    """Check that SageMaker may act as the role.

    Raises:
        ServiceError: worded as AWS words it.
    """
    try:
        role.credentials()
    except CallFailed as error:
        raise invalid(str(error)) from error


def check_key(aws: Aws, key_id: str) -> None:
    """Check that the disk can be encrypted; the caller's own permissions are checked before.

    Raises:
        ServiceError: for a key that is not there or cannot be used.
    """
    try:
        key = aws.own_client("kms").describe_key(KeyId=key_id)["KeyMetadata"]
    except ClientError as error:
        message = error.response["Error"].get("Message", "")
        raise invalid(f"The KMS key {key_id} cannot be used: {message}") from error
    if key["KeyState"] != "Enabled":
        raise invalid(f"The KMS key {key_id} cannot be used: it is {key['KeyState']}.")
    if key.get("KeySpec", "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT":
        raise invalid(f"The KMS key {key_id} cannot be used: a disk needs a symmetric key.")


def check_network(aws: Aws, params: Mapping[str, Any]) -> list[str]:
    """Check subnet and security groups, and give the groups that the instance has.

    Raises:
        ServiceError: for what does not exist or does not belong together.
    """
    subnet, groups = params.get("SubnetId"), params.get("SecurityGroupIds", [])
    if not subnet:
        if params.get("DirectInternetAccess") == "Disabled":
            raise invalid(
                "DirectInternetAccess can be Disabled only with a SubnetId: an instance without "
                "either would reach nothing."
            )
        if groups:
            raise invalid("SecurityGroupIds need a SubnetId: name the subnet of their VPC.")
        return []
    ec2 = aws.own_client("ec2")
    try:
        vpc = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
        if not groups:
            of_vpc = [
                {"Name": "vpc-id", "Values": [vpc]},
                {"Name": "group-name", "Values": ["default"]},
            ]
            found = ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]
            return [group["GroupId"] for group in found[:1]]
        found = ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
    except ClientError as error:
        raise invalid(str(error.response["Error"].get("Message", error))) from error
    if any(group["VpcId"] != vpc for group in found):
        raise invalid("You have specified two resources that belong to different networks.")
    return [*groups]
