"""What the functions are told by their environment variables, checked before any work."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from common.settings import InvalidSettings, required


def _texts(environment: Mapping[str, str], name: str) -> dict[str, str]:
    try:
        found = json.loads(required(environment, name))
    except ValueError as error:
        raise InvalidSettings(f"the environment variable {name} is no JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise InvalidSettings(f"the environment variable {name} must map text to text")
    return found


def _list(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(one for one in environment.get(name, "").split(",") if one)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a job gets when its request leaves it out, and what it may not go beyond."""

    instance_types: tuple[str, ...]
    volume_gb: int
    max_runtime_seconds: int
    other_instance_types: tuple[str, ...] = ()
    """What a request may name beside `instance_types`."""
    require_isolation: bool = True
    """Whether every job runs without a network."""


@dataclass(frozen=True, slots=True)
class Platform:
    """What a request is compiled against."""

    environment_name: str
    region: str
    execution_role_arn: str
    key_arn: str
    models_bucket: str
    image_registry: str
    groups: Mapping[str, str]
    endpoints: Mapping[str, str]
    defaults: Defaults
    subnets: tuple[str, ...] = ()
    """Where jobs run in a VPC; empty for SageMaker's own network."""
    security_groups: tuple[str, ...] = ()

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings that the template gave the function."""
        try:
            given = json.loads(required(environment, "DEFAULTS"))
            defaults = Defaults(
                tuple(str(one) for one in given["instance_types"]),
                int(given["volume_gb"]),
                int(given["max_runtime_seconds"]),
                tuple(str(one) for one in given["other_instance_types"]),
                bool(given["require_isolation"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidSettings(f"the environment variable DEFAULTS: {error!r}") from None
        return cls(
            environment_name=required(environment, "ENVIRONMENT_NAME"),
            region=required(environment, "AWS_REGION"),
            execution_role_arn=required(environment, "EXECUTION_ROLE_ARN"),
            key_arn=required(environment, "KEY_ARN"),
            models_bucket=required(environment, "MODELS_BUCKET"),
            image_registry=required(environment, "IMAGE_REGISTRY"),
            groups=_texts(environment, "GROUPS"),
            endpoints=_texts(environment, "ENDPOINTS"),
            defaults=defaults,
            subnets=_list(environment, "SUBNETS"),
            security_groups=_list(environment, "SECURITY_GROUPS"),
        )
