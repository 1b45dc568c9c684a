"""What one deployed environment may look like: the strict model of `environments/NAME.yaml`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from environments import regions, wording, yaml_files
from environments.instance_types import Use, instance_types, nearest, uses

DIRECTORY = Path(__file__).parent

PREFIX = "sagemaker-platform"

_NAME = r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*$"
_OWNER, _REPO, _ID = "[a-zA-Z0-9][a-zA-Z0-9_-]*", "[a-zA-Z0-9._-]+", "[0-9]+"
_SAGEMAKER_NAME_LENGTH = 63
_ROLE_NAME_LENGTH = 64
# AWS allows /16 to /28; below /22 a subnet is too small for the hosts of a larger job.
_LARGEST, _SMALLEST = 16, 22


class InvalidEnvironment(ValueError):
    """An environment file that cannot be used, told so that its writer can mend it."""


@dataclass(frozen=True, slots=True)
class EndpointKind:
    """What SageMaker allows for one kind of endpoint."""

    data_capture: bool
    instance_scaling: bool


# The only place that knows the difference between kinds; serverless and asynchronous endpoints
# join here first.
ENDPOINT_KINDS: Mapping[str, EndpointKind] = {
    "real-time": EndpointKind(data_capture=True, instance_scaling=True),
}


def _instance_type(use: Use) -> AfterValidator:
    def check(value: str) -> str:
        if value in instance_types(use):
            return value
        others = uses(value)
        exists = f"it exists only for {' and '.join(others)}" if others else "it does not exist"
        near = ", ".join(nearest(use, value)) or "see environments/data/instance_types.yaml"
        raise ValueError(f"{value!r} is no instance type for {use}: {exists}; allowed: {near}")

    return AfterValidator(check)


def _completion(use: Use) -> Any:  # noqa: ANN401 - pydantic's type of a field's metadata
    def add(schema: dict[str, Any]) -> None:
        schema["enum"] = list(instance_types(use))

    return Field(json_schema_extra=add)


TrainingInstance = Annotated[str, _instance_type("training"), _completion("training")]
NotebookInstance = Annotated[str, _instance_type("notebook"), _completion("notebook")]
EndpointInstance = Annotated[str, _instance_type("endpoint"), _completion("endpoint")]
Name = Annotated[str, Field(pattern=_NAME, max_length=_SAGEMAKER_NAME_LENGTH)]
RepositoryName = Annotated[
    str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", min_length=2, max_length=100)
]
# AWS's own pattern of tags; the schema has it in the words that every checker of schemas knows.
_TAG, _TAG_IN_SCHEMA = r"[\p{L}\p{Z}\p{N}_.:/=+\-@]", r"[\w\s.:/=+\-@]"
TagKey = Annotated[
    str,
    Field(
        pattern=f"^{_TAG}+$",
        max_length=128,
        json_schema_extra={"pattern": f"^{_TAG_IN_SCHEMA}+$"},
    ),
]
TagText = Annotated[
    str,
    Field(
        pattern=f"^{_TAG}*$",
        max_length=256,
        json_schema_extra={"pattern": f"^{_TAG_IN_SCHEMA}*$"},
    ),
]
_MOST_TAGS = 50
TAKEN_TAGS = (
    *("Environment", "DataClassification", "OwnerTeam", "sagemaker-platform:endpoint"),
    *("Name", "aws-cdk:subnet-name", "aws-cdk:subnet-type"),
)
"""Keys of the tags that the platform gives: to all, to what endpoints are made of, to networks."""
MOST_TAKEN = 6
"""How many of them one resource has at most."""
_LOCAL, _LOCAL_ACCOUNT = "local", "000000000000"


def _region(value: str) -> str:
    if value in regions.regions():
        return value
    near = ", ".join(regions.nearest(value)) or "see environments/data/regions.yaml"
    raise ValueError(f"{value!r} is no region of AWS that offers SageMaker; allowed: {near}")


def _all_regions(schema: dict[str, Any]) -> None:
    schema["enum"] = list(regions.regions())


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )


def _network(cidr: str) -> str:
    """Addresses that a VPC of AWS can have and whose subnets are big enough."""
    try:
        network = IPv4Network(cidr)
    except ValueError as error:
        raise ValueError(
            f"found {cidr!r}, no IPv4 network ({error}); allowed: 10.0.0.0/16"
        ) from None
    if not network.is_private or not _LARGEST <= network.prefixlen <= _SMALLEST:
        raise ValueError(
            f"found {cidr!r}; allowed: private addresses, /{_LARGEST} to /{_SMALLEST}, "
            "such as 10.0.0.0/16"
        )
    return cidr


class Network(_Part):
    """How jobs and endpoints reach other services."""

    mode: Literal["managed", "private"] = "managed"
    """`managed`: SageMaker's own network, without a VPC. `private`: a VPC without a way out."""
    cidr: Annotated[str, AfterValidator(_network)] = "10.0.0.0/16"
    """Addresses of the VPC; pick others where it is to be joined to further networks."""
    zones: Annotated[int, Field(ge=2, le=3)] = 2
    """Availability zones with a subnet; interface endpoints are paid for in each of them."""


class Storage(_Part):
    """What becomes of data when a stack is deleted."""

    retain: bool = True
    """Keep buckets, key and repositories when their stack goes."""


class Training(_Part):
    """What a training job gets when its request leaves it out, and what it may not go beyond."""

    instance_types: Annotated[list[TrainingInstance], Field(min_length=1, max_length=5)]
    """Instance types in order of preference."""
    other_instance_types: Annotated[list[TrainingInstance], Field(max_length=20)] = []
    """Further instance types that a request may name; jobs run on no others."""
    require_isolation: bool = True
    """Every job runs without a network, so that no code carries data out. `false` lets a request
    for an own image say `isolated: false`, and AWS's images fetch pre-trained weights."""
    volume_gb: Annotated[int, Field(ge=1, le=16384)] = 30
    """Disk of each instance, for data and model."""
    max_runtime_seconds: Annotated[int, Field(ge=60, le=2419200)] = 86400
    """When SageMaker stops a job that has not ended by itself."""
    model_package_groups: Annotated[list[Name], Field(min_length=1)]
    """Groups of the model registry, each the versions of one model."""


class Instances(_Part):
    """Between how many instances an endpoint scales."""

    min: Annotated[int, Field(ge=1, le=100)]
    max: Annotated[int, Field(ge=1, le=100)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max is {self.max}, below min {self.min}; allowed: {self.min} to 100")
        return self


class Endpoint(_Part):
    """One endpoint: where a model answers."""

    kind: Literal["real-time"] = "real-time"
    """Only real-time endpoints for now."""
    instance_type: EndpointInstance
    """Hardware of each instance."""
    instances: Instances
    """Two or more survive the loss of a zone; one needs `governance.single_instance_reason`."""
    invocations_per_instance: Annotated[int, Field(ge=1)] = 600
    """Requests a minute and instance that scaling aims at."""
    data_capture_percent: Annotated[int, Field(ge=0, le=100)] = 0
    """Share of requests whose content is kept in the data bucket under `capture/`."""
    latency_ms: Annotated[int, Field(ge=1, le=60000)] = 1000
    """A slower p99 of the model raises an alarm, and ends a deployment in a rollback."""
    bake_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    """How long a new model serves under watch before the old one goes."""
    model: (
        Annotated[
            str,
            Field(
                pattern=r"^arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:model-package/"
                r"[a-zA-Z0-9](-*[a-zA-Z0-9])*/\d+$"
            ),
        ]
        | None
    ) = None
    """ARN of the model package to serve. With it this file alone decides what is served."""


def _repository(name: str) -> str:
    """A repository that a notebook can reach, which has no way to any other."""
    if not re.fullmatch(r"[\w.-]{1,100}", name) or name.endswith(".git"):
        raise ValueError(
            f"found {name!r}; allowed: the name of a CodeCommit repository of the environment's "
            "account and region, since a notebook has no way to the internet"
        )
    return name


class Notebook(_Part):
    """One notebook instance: where a data scientist works, without internet or root access."""

    instance_type: NotebookInstance
    """Hardware of the instance."""
    volume_gb: Annotated[int, Field(ge=5, le=16384)] = 20
    """Disk for notebooks and data, which outlives a stop."""
    idle_minutes: Annotated[int, Field(ge=5, le=1440)] = 60
    """When an instance stops in which nothing happens, no matter whether a browser shows it."""
    code_repository: Annotated[str, AfterValidator(_repository)] | None = None
    """Name of a CodeCommit repository of the account that is cloned into the notebook."""


class Governance(_Part):
    """Who answers for the environment, and who is told."""

    owner: Annotated[TagText, Field(min_length=1)]
    """Team that answers for it; the tag OwnerTeam."""
    data_classification: Literal["public", "internal", "confidential", "restricted"]
    """The most sensitive data it may hold; the tag DataClassification."""
    alert_email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")] | None = None
    """Where alarms and failed jobs are told; AWS asks the address to confirm."""
    log_retention_days: Literal[
        1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653
    ]
    """How long logs are kept."""
    quota_alert_percent: Annotated[int, Field(ge=1, le=100)] = 80
    """Alarm when so much of a quota is used that the environment's jobs or endpoints need."""
    single_instance_reason: Annotated[str, Field(min_length=20)] | None = None
    """Why endpoints of this environment may have one instance, against SageMaker.4."""


class Delivery(_Part):
    """Which repository on GitHub deploys the environment from its workflow."""

    repository: Annotated[str, Field(pattern=rf"^({_OWNER}/{_REPO}|{_OWNER}@{_ID}/{_REPO}@{_ID})$")]
    """As GitHub's tokens name it: `ORG@ID/REPO@ID`, or `ORG/REPO` if it is older than July 2026."""
    oidc_provider: Literal["create", "existing"] = "create"
    """An account has one identity provider for GitHub: `existing` when it is there already."""


class Environment(_Part):
    """One environment of the platform: where it lives, how big it is and who owns it."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{1,11}$")]
    """Also the file's name, and a part of the name of everything in it."""
    account: Annotated[str, Field(pattern=r"^\d{12}$")]
    """AWS account, in quotes."""
    region: Annotated[str, AfterValidator(_region), Field(json_schema_extra=_all_regions)]
    """AWS region."""
    network: Network = Network()
    storage: Storage = Storage()
    images: Annotated[list[RepositoryName], Field(max_length=100)] = []
    """ECR repositories for images of your own, beside one for each built-in algorithm."""
    training: Training
    endpoints: Annotated[dict[Name, Endpoint], Field(max_length=50)] = {}
    """Endpoints by name."""
    notebooks: Annotated[dict[Name, Notebook], Field(max_length=50)] = {}
    """Notebook instances by name."""
    governance: Governance
    delivery: Delivery | None = None
    """Lets a workflow on GitHub deploy; without it people do, with their own credentials."""
    tags: dict[TagKey, TagText] = {}
    """Tags on everything, beside Environment, DataClassification and OwnerTeam."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [
            *self._names_too_long(),
            *self._names_alike(),
            *self._single_instances(),
            *self._not_of_this_kind(),
            *self._tag_problems(),
            *self._elsewhere(),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _names_too_long(self) -> list[str]:
        names = [
            (f"training.model_package_groups.{index}", name, self.resource_name(name), 63)
            for index, name in enumerate(self.training.model_package_groups)
        ]
        for name in self.endpoints:
            names.append((f"endpoints.{name}", name, self.endpoint_role_name(name), 64))
        names += [
            (f"notebooks.{name}", name, self.resource_name(name), 63) for name in self.notebooks
        ]
        return [
            f"{key}: {name!r} is too long: {full!r} has {len(full)} characters; "
            f"allowed: {len(name) - (len(full) - limit)} for the name, {limit} in all"
            for key, name, full, limit in names
            if len(full) > limit
        ]

    def _names_alike(self) -> Iterator[str]:
        named = (
            ("training.model_package_groups", self.training.model_package_groups),
            ("endpoints", list(self.endpoints)),
            ("notebooks", list(self.notebooks)),
        )
        for key, names in named:
            for earlier, later in _alike(names):
                yield (
                    f"{key}: found {later!r} beside {earlier!r}; allowed: names that differ in "
                    "more than case, since roles and policies of AWS do not tell these apart"
                )

    def _tag_problems(self) -> Iterator[str]:
        allowed = f"allowed: any key but aws:..., {', '.join(TAKEN_TAGS)}"
        taken = {key.lower(): key for key in TAKEN_TAGS}
        for key in self.tags:
            if key.lower().startswith("aws:"):
                yield f"tags.{key}: the prefix aws: is for AWS's own tags; {allowed}"
            if key.lower() in taken:
                yield f"tags.{key}: the platform gives this tag by itself; {allowed}"
        for earlier, later in _alike(list(self.tags)):
            yield (
                f"tags.{later}: found beside {earlier!r}; allowed: keys that differ in more than "
                "case, since IAM and SageMaker take these for one"
            )
        most = _MOST_TAGS - MOST_TAKEN
        if len(self.tags) > most:
            yield (
                f"tags: found {len(self.tags)}; allowed: at most {most}, since a resource of AWS "
                f"has at most {_MOST_TAGS} and the platform takes up to {MOST_TAKEN} of them"
            )

    def _elsewhere(self) -> Iterator[str]:
        """What names another region or account than the environment's."""
        if self.name == _LOCAL:
            for key, found, only in (
                ("account", self.account, _LOCAL_ACCOUNT),
                ("region", self.region, regions.LOCAL),
            ):
                if found != only:
                    yield f"{key}: found {found!r}; allowed: {only!r}, which the local platform is"
        groups = {self.resource_name(one) for one in self.training.model_package_groups}
        for name, endpoint in self.endpoints.items():
            if not endpoint.model:
                continue
            _, _, _, region, account, resource = endpoint.model.split(":", 5)
            group = resource.split("/")[1]
            where = f"endpoints.{name}.model: the package is"
            if region != self.region:
                yield f"{where} in {region}; allowed: packages of {self.region}"
            if account != self.account:
                yield f"{where} in the account {account}; allowed: packages of {self.account}"
            # ARNs of before April 2023 have names in lower case.
            if group.lower() not in {one.lower() for one in groups}:
                yield (
                    f"{where} in the group {group!r}; allowed: {', '.join(sorted(groups))}, as "
                    "training.model_package_groups has them"
                )

    def _single_instances(self) -> list[str]:
        if self.governance.single_instance_reason:
            return []
        return [
            f"endpoints.{name}.instances.min: found 1; allowed: 2 to 100, "
            "or 1 when governance.single_instance_reason says why"
            for name, endpoint in self.endpoints.items()
            if endpoint.instances.min == 1
        ]

    def _not_of_this_kind(self) -> list[str]:
        return [
            f"endpoints.{name}.data_capture_percent: found {endpoint.data_capture_percent}; "
            f"allowed: 0, since a {endpoint.kind} endpoint captures no data"
            for name, endpoint in self.endpoints.items()
            if endpoint.data_capture_percent and not ENDPOINT_KINDS[endpoint.kind].data_capture
        ]

    @classmethod
    def load(cls, name: str, directory: Path = DIRECTORY) -> Self:
        """Read and check `directory/NAME.yaml`.

        Raises:
            InvalidEnvironment: With file, key, what was found and what is allowed, a line each.
        """
        path = directory / f"{name}.yaml"
        known = names(directory)
        if name not in known:
            raise InvalidEnvironment(
                f"environment {name!r} has no file {path}; allowed: {', '.join(known)}"
            )
        try:
            content = yaml_files.read(path)
        except yaml_files.Unreadable as error:
            raise InvalidEnvironment(f"{path}: {error}") from error
        try:
            environment = cls.model_validate(content)
        except ValidationError as error:
            lines = [line for detail in error.errors() for line in wording.lines(detail, cls)]
            raise InvalidEnvironment("\n".join(f"{path}: {line}" for line in lines)) from None
        if environment.name != name:
            raise InvalidEnvironment(
                f"{path}: name: found {environment.name!r}; allowed: {name!r}, as the file is named"
            )
        return environment

    def stack_name(self, part: str) -> str:
        """Name of the stack that holds `part`."""
        return self.resource_name(part)

    def resource_name(self, name: str) -> str:
        """Name of what people type or another system looks up."""
        return f"{PREFIX}-{self.name}-{name}"

    def endpoint_role_name(self, endpoint: str) -> str:
        """Name of the role as which CloudFormation changes `endpoint`'s stack."""
        return self.resource_name(f"{endpoint}-stack")


def names(directory: Path = DIRECTORY) -> list[str]:
    """The environments that have a file."""
    return sorted(path.stem for path in directory.glob("*.yaml"))


def _alike(names: list[str]) -> Iterator[tuple[str, str]]:
    """Each name that differs from an earlier one in case alone, behind that one."""
    seen: dict[str, str] = {}
    for name in names:
        earlier = seen.setdefault(name.lower(), name)
        if earlier != name:
            yield earlier, name
