"""What a job request may say: the strict model behind docs/schemas/job-request.schema.json."""

from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

_NAME = r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*$"


class InvalidRequest(ValueError):
    """A request that is refused; `problems` holds one sentence for each reason."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )


Scalar = str | int | float | bool
Hyperparameter = Scalar | list[Scalar] | list[list[Scalar]]
TagKey = Annotated[str, Field(pattern=r"^[\w\s.:/=+\-@]+$", max_length=128)]
TagText = Annotated[str, Field(pattern=r"^[\w\s.:/=+\-@]*$", max_length=256)]
Name = Annotated[str, Field(pattern=_NAME, max_length=63)]


class Channel(_Part):
    """One input of the job."""

    s3_uri: Annotated[
        str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+", max_length=1024)
    ]
    """Prefix of the objects, or the manifest: `s3://BUCKET/PREFIX`."""
    content_type: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Media type of the data, such as `text/csv`; what is allowed depends on the algorithm."""
    distribution: Literal["FullyReplicated", "ShardedByS3Key"] = "FullyReplicated"
    """Whether each instance gets all objects or a share of them."""
    data_type: Literal["S3Prefix", "ManifestFile"] = "S3Prefix"
    """Whether `s3_uri` is a prefix or a manifest that lists objects."""
    input_mode: Literal["File", "Pipe", "FastFile"] = "File"
    """How the data reach the algorithm. Only `File` for now."""


class Register(_Part):
    """Into which group the model goes."""

    group: Name
    """Model package group, by its name in the environment file."""
    approval: Literal["Approved", "PendingManualApproval"] = "PendingManualApproval"
    """Whether the model may be deployed at once."""


class Sample(_Part):
    """One request that the model must be able to answer."""

    content_type: Annotated[str, Field(min_length=1, max_length=256)]
    """Media type of the body."""
    body: Annotated[str, Field(min_length=1, max_length=100_000)]
    """What is sent to the endpoint, as text."""


class Deploy(_Part):
    """Where the model goes into service."""

    endpoint: Name
    """Endpoint, by its name in the environment file."""


class JobRequest(_Part):
    """A training job, and what becomes of its model."""

    algorithm: Annotated[str, Field(min_length=1, max_length=63)]
    """One of SageMaker's built-in algorithms, such as `xgboost`."""
    image: Literal["aws", "platform"] = "aws"
    """`aws`: the image that AWS hosts; `platform`: this project's own in ECR."""
    name: Annotated[str, Field(pattern=_NAME, max_length=40)] | None = None
    """What the job is called in lists; the algorithm's name when left out."""
    hyperparameters: Annotated[dict[str, Hyperparameter], Field(max_length=100)] = {}
    """Settings of the algorithm, as numbers or text."""
    channels: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-_]+$", max_length=64)], Channel],
        Field(max_length=20),
    ]
    """Inputs by the name that the algorithm knows them by, such as `train`."""
    instance_types: (
        Annotated[
            list[Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]],
            Field(min_length=1, max_length=5),
        ]
        | None
    ) = None
    """Instance types in order of preference; the environment's when left out."""
    instance_count: Annotated[int, Field(ge=1, le=100)] = 1
    """How many instances train together."""
    volume_gb: Annotated[int, Field(ge=1, le=16384)] | None = None
    """Disk of each instance; the environment's when left out."""
    max_runtime_seconds: Annotated[int, Field(ge=60, le=2419200)] | None = None
    """When SageMaker stops the job; the environment's when left out."""
    spot: bool = False
    """Train on spare capacity, which comes with a later release; only `false` for now."""
    metric_definitions: list[dict[str, str]] | None = None
    """For own images, which come with a later release; refused for now."""
    tags: Annotated[dict[TagKey, TagText], Field(max_length=40)] = {}
    """Tags of the job."""
    register_: Annotated[Register | None, Field(alias="register")] = None
    """Keep the model in the registry; without it the execution ends after training."""
    sample: Sample | None = None
    """One request to the model; deploying needs it."""
    deploy: Deploy | None = None
    """Put the model into service; needs `register` and `sample`."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = []
        if self.deploy and not self.register_:
            problems.append("deploy: found without register; add register with the model's group")
        if self.deploy and self.register_ and self.register_.approval != "Approved":
            problems.append(
                "register.approval: found 'PendingManualApproval' beside deploy; allowed: "
                "'Approved', since SageMaker serves approved models only"
            )
        if self.deploy and not self.sample:
            problems.append("deploy: found without sample; add one request that the model answers")
        problems += [
            f"tags.{key}: the prefix aws: is AWS's own; choose another key"
            for key in self.tags
            if key.lower().startswith("aws:")
        ]
        if self.metric_definitions is not None:
            problems.append(
                "metric_definitions: found, which is for own images and comes with a later "
                "release; leave it out, built-in algorithms have their own"
            )
        if self.spot:
            problems.append("spot: found true, which comes with a later release; allowed: false")
        if problems:
            raise ValueError("\n".join(problems))
        return self


def parse(document: object) -> JobRequest:
    """Read a request.

    Raises:
        InvalidRequest: With key, what was found and what is allowed, a sentence each.
    """
    if not isinstance(document, dict):
        raise InvalidRequest(
            [f"the request is {_kind(document)}; allowed: an object, see docs/examples/digits.json"]
        )
    try:
        return JobRequest.model_validate(document)
    except ValidationError as error:
        lines = [line for detail in error.errors() for line in _lines(detail)]
        raise InvalidRequest(list(dict.fromkeys(lines))) from None


def schema() -> dict[str, Any]:
    """The JSON schema of a request."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **JobRequest.model_json_schema(by_alias=True),
        "title": "Job request",
    }


def _lines(detail: ErrorDetails) -> list[str]:
    """One of pydantic's errors in words about the request."""
    location = [part for part in detail["loc"] if part not in _UNION_BRANCHES]
    key = ".".join(str(part) for part in location if part != "[key]")
    found, context = detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return str(context["error"]).splitlines()
        case "extra_forbidden":
            return [f"{key}: unknown key; {_known_keys(location)}"]
        case "missing":
            return [f"{key}: missing; {_description(location)}"]
        case "literal_error":
            return [f"{key}: found {found!r}; allowed: {context['expected']}"]
        case "string_pattern_mismatch":
            return [f"{key}: found {found!r}; allowed: what matches {context['pattern']}"]
    if key.startswith("hyperparameters."):
        name = location[1]
        return [f"hyperparameters.{name}: found {_kind(found)}; allowed: number, text or list"]
    rule = detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    shown = repr(found) if isinstance(found, str | int | float) else _kind(found)
    return [f"{key}: found {shown}; allowed: {rule}"]


_UNION_BRANCHES = {"str", "int", "float", "bool"} | {
    f"list[union[{','.join(t.__name__ for t in get_args(Scalar))}]]",
    f"list[list[union[{','.join(t.__name__ for t in get_args(Scalar))}]]]",
}


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")


def _model_at(location: list[int | str]) -> type[BaseModel]:
    model: type[BaseModel] = JobRequest
    for part in location:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        if part in fields:
            model = _model_in(fields[str(part)].annotation) or model
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model), None)


def _known_keys(location: list[int | str]) -> str:
    fields = _model_at(location[:-1]).model_fields
    keys = [field.alias or name for name, field in fields.items()]
    near = get_close_matches(str(location[-1]), keys, n=1)
    if near:
        return f"did you mean {near[0]}? Allowed: {', '.join(keys)}"
    return f"allowed: {', '.join(keys)}"


def _description(location: list[int | str]) -> str:
    fields = _model_at(location[:-1]).model_fields
    by_key = {field.alias or name: field for name, field in fields.items()}
    field = by_key.get(str(location[-1]))
    return f"wanted: {field.description}" if field and field.description else "it is required"
