"""Users and roles of the platform's account, made for one file of tests and removed after it."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.platform import LocalPlatform

ACCOUNT = "000000000000"
ACCESS_DENIED = {
    *("AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation"),
    *("AuthorizationError", "AuthorizationErrorException"),
}


def allow(actions: Any, resources: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def deny(actions: Any, resources: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": actions, "Resource": resources, **more}


def when(**operators: Any) -> dict[str, Any]:
    """A condition, to be given to allow() and deny()."""
    return {"Condition": operators}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [*statements]})


def trust(principal: Any, **more: Any) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}
    return policy(statement)


def denied(call: Callable[..., Any], *arguments: Any, **more: Any) -> bool:
    """Whether a call is refused for want of permission; other errors are not hidden."""
    try:
        call(*arguments, **more)
    except ClientError as error:
        if error.response["Error"]["Code"] in ACCESS_DENIED:
            return True
        raise
    return False


def code_of(call: Callable[..., Any], *arguments: Any, **more: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(*arguments, **more)
    return str(refused.value.response["Error"]["Code"])


class Principals:
    """Makes users and roles with inline policies, and clients for them."""

    def __init__(self, platform: LocalPlatform) -> None:
        self.platform = platform
        self.iam = platform.client("iam")
        self._users: list[str] = []
        self._roles: list[str] = []

    def user(self, *statements: dict[str, Any], name: str = "") -> "User":
        """A new user who has one policy with these statements, if any."""
        name = name or f"iam-{uuid4().hex[:10]}"
        self.iam.create_user(UserName=name)
        self._users.append(name)
        user = User(self, name, self.iam.create_access_key(UserName=name)["AccessKey"])
        if statements:
            user.may(*statements)
        return user

    def role(self, trusted: str, *statements: dict[str, Any], **more: Any) -> str:
        """The ARN of a new role."""
        name = f"iam-{uuid4().hex[:10]}"
        role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusted, **more)
        self._roles.append(name)
        if statements:
            self.iam.put_role_policy(
                RoleName=name, PolicyName="p", PolicyDocument=policy(*statements)
            )
        return str(role["Role"]["Arn"])

    def remove(self) -> None:
        """Remove all of them."""
        for name in self._users:
            for key in self.iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
                self.iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
            for each in self.iam.list_user_policies(UserName=name)["PolicyNames"]:
                self.iam.delete_user_policy(UserName=name, PolicyName=each)
            for each in self.iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]:
                self.iam.detach_user_policy(UserName=name, PolicyArn=each["PolicyArn"])
            self.iam.delete_user(UserName=name)
        for name in self._roles:
            for each in self.iam.list_role_policies(RoleName=name)["PolicyNames"]:
                self.iam.delete_role_policy(RoleName=name, PolicyName=each)
            for each in self.iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
                self.iam.detach_role_policy(RoleName=name, PolicyArn=each["PolicyArn"])
            for each in self.iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"]:
                profile = each["InstanceProfileName"]
                self.iam.remove_role_from_instance_profile(
                    InstanceProfileName=profile, RoleName=name
                )
                self.iam.delete_instance_profile(InstanceProfileName=profile)
            self.iam.delete_role(RoleName=name)


class User:
    """A user and its clients."""

    def __init__(self, principals: Principals, name: str, key: dict[str, str]) -> None:
        self.name = name
        self.arn = f"arn:aws:iam::{ACCOUNT}:user/{name}"
        self.credentials = {
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        }
        self._principals = principals

    def may(self, *statements: dict[str, Any]) -> "User":
        """Give the user these statements and no others."""
        self._principals.iam.put_user_policy(
            UserName=self.name, PolicyName="p", PolicyDocument=policy(*statements)
        )
        return self

    def client(self, service: str) -> Any:
        return self._principals.platform.client(service, **self.credentials)

    def assumed(self, service: str, role: str, **more: Any) -> Any:
        """A client with a session of a role that this user assumes."""
        found = self.client("sts").assume_role(RoleArn=role, RoleSessionName="session", **more)
        return self._principals.platform.client(
            service,
            aws_access_key_id=found["Credentials"]["AccessKeyId"],
            aws_secret_access_key=found["Credentials"]["SecretAccessKey"],
            aws_session_token=found["Credentials"]["SessionToken"],
        )


def principals_of(platform: LocalPlatform) -> Iterator[Principals]:
    """For a fixture: they are removed when the file's tests are done."""
    made = Principals(platform)
    yield made
    made.remove()
