"""What a job request may say: the strict model behind docs/schemas/job-request.schema.json."""

import copy
import re
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

_NAME = r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*$"
_REPOSITORY = r"[a-z0-9]+([._-][a-z0-9]+)*"
_IMAGE = rf"^(aws|platform|{_REPOSITORY}(:[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[0-9a-f]{{64}}))$"
# SageMaker's training toolkit looks for an archive of this name in the channel of its code.
_SOURCE = (
    r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/(notebooks/[A-Za-z0-9-]+/)?sources/[A-Za-z0-9._-]+/"
    r"sourcedir\.tar\.gz$"
)
_SCRIPT = r"^[A-Za-z0-9_][A-Za-z0-9._/-]*\.(py|sh)$"
CODE_CHANNEL = "code"


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
    data_type: Literal["S3Prefix", "ManifestFile", "AugmentedManifestFile"] = "S3Prefix"
    """Whether `s3_uri` is a prefix, a manifest that lists objects, or one with labels in it."""
    attribute_names: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=256)]],
            Field(min_length=1, max_length=16),
        ]
        | None
    ) = None
    """For an augmented manifest: which attributes of each line are data, in order."""
    input_mode: Literal["File", "Pipe", "FastFile"] = "File"
    """How the data reach the algorithm; which modes are allowed depends on the algorithm."""
    record_wrapper: Literal["None", "RecordIO"] = "None"
    """`RecordIO` wraps each object in a record, in Pipe mode."""
    compression: Literal["None", "Gzip"] = "None"
    """How the objects are compressed, for Pipe mode to undo."""
    shuffle_seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Shuffles the objects anew for each epoch, the same way for the same seed."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        augmented = self.data_type == "AugmentedManifestFile"
        if augmented and not self.attribute_names:
            raise ValueError("attribute_names is missing; an augmented manifest needs them")
        if self.attribute_names and not augmented:
            raise ValueError(
                f"attribute_names found beside data_type {self.data_type!r}; allowed only beside "
                "'AugmentedManifestFile'"
            )
        for name in ("record_wrapper", "compression"):
            if getattr(self, name) != "None" and self.input_mode != "Pipe":
                raise ValueError(
                    f"{name} found beside input_mode {self.input_mode!r}; allowed only beside "
                    "'Pipe'"
                )
        return self


class MetricDefinition(_Part):
    """One number in the log of an own image."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    """What the metric is called."""
    regex: Annotated[str, Field(min_length=1, max_length=500)]
    """Finds the number, as its first group."""

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        try:
            groups = re.compile(self.regex).groups
        except re.error as error:
            raise ValueError(f"regex is no regular expression: {error}") from None
        if not groups:
            raise ValueError("regex has no group: put the number in parentheses")
        return self


class Provenance(_Part):
    """Where a request comes from, as whoever sent it says; nothing here proves it."""

    submitted_by: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Who sent it, such as the ARN of the sender."""
    repository: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Repository of the code."""
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")] | None = None
    """Commit of the code in git."""
    modified: bool = False
    """Whether files differed from that commit."""


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

    algorithm: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """One of SageMaker's built-in algorithms, such as `xgboost`; left out for an own image."""
    image: Annotated[str, Field(pattern=_IMAGE, max_length=255)] = "aws"
    """`aws`: the image that AWS hosts; `platform`: this project's own; or REPOSITORY:TAG of own."""
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
    """Train on spare capacity, which AWS may take back; checkpoints are kept beside the model."""
    max_wait_seconds: Annotated[int, Field(ge=60, le=2419200)] | None = None
    """For spot: when SageMaker gives up, waiting included; twice the run time when left out."""
    metric_definitions: Annotated[list[MetricDefinition], Field(max_length=40)] | None = None
    """For own images: the numbers that their log holds. Built-in algorithms have their own."""
    isolated: bool = True
    """For own images: whether the container reaches no network, not even AWS's services."""
    source: Annotated[str, Field(pattern=_SOURCE, max_length=1024)] | None = None
    """Archive of the code in the data bucket, kept beside the model; `smp train --source` packs."""
    entry_point: Annotated[str, Field(pattern=_SCRIPT, max_length=256)] | None = None
    """For own images with SageMaker's training toolkit: which script of `source` to run."""
    provenance: Provenance | None = None
    """Where the request comes from; ends up in the registry beside the model."""
    tags: Annotated[dict[TagKey, TagText], Field(max_length=40)] = {}
    """Tags of the job."""
    register_: Annotated[Register | None, Field(alias="register")] = None
    """Keep the model in the registry; without it the execution ends after training."""
    sample: Sample | None = None
    """One request to the model; deploying needs it."""
    deploy: Deploy | None = None
    """Put the model into service; needs `register` and `sample`."""

    def inconsistencies(self) -> list[str]:
        """What does not fit together, a sentence each."""
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
        return [*problems, *self._own_image_problems(), *self._spot_problems()]

    @property
    def own_image(self) -> bool:
        """Whether it names an image of the environment's own repositories."""
        return self.image not in ("aws", "platform")

    def _own_image_problems(self) -> list[str]:
        if not self.own_image:
            if self.algorithm is None:
                return [
                    "algorithm: missing; wanted: one of SageMaker's built-in algorithms, such as "
                    "'xgboost', or an own image under image"
                ]
            only = {
                "metric_definitions": self.metric_definitions is not None,
                "isolated": not self.isolated,
                "entry_point": self.entry_point is not None,
            }
            return [
                f"{key}: found beside the algorithm {self.algorithm!r}; allowed only with an own "
                "image, since a built-in algorithm brings its own"
                for key, found in only.items()
                if found
            ]
        problems = []
        if self.algorithm is not None:
            problems.append(
                f"algorithm: found {self.algorithm!r} beside the own image {self.image!r}; leave "
                "one of them out"
            )
        if self.entry_point and not self.source:
            problems.append("entry_point: found without source; add the archive that it lies in")
        if self.source and CODE_CHANNEL in self.channels:
            problems.append(
                f"channels.{CODE_CHANNEL}: found beside source, which comes by a channel of this "
                "name; choose another name"
            )
        return problems

    def _spot_problems(self) -> list[str]:
        if self.max_wait_seconds is None:
            return []
        if not self.spot:
            return ["max_wait_seconds: found without spot; allowed only when spot is true"]
        if self.max_runtime_seconds and self.max_wait_seconds < self.max_runtime_seconds:
            return [
                f"max_wait_seconds: found {self.max_wait_seconds}; allowed: at least "
                f"max_runtime_seconds, which is {self.max_runtime_seconds}"
            ]
        return []


def parse(document: object) -> JobRequest:
    """Read a request.

    Raises:
        InvalidRequest: With key, what was found and what is allowed, a sentence each.
    """
    found = read(document)
    if found.request is None or found.problems:
        raise InvalidRequest(found.problems)
    return found.request


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read of a document."""

    request: JobRequest | None
    """The request without its wrong keys, so that the rest can be checked; None without any."""
    problems: list[str]
    """One sentence for each reason to refuse the document."""
    left_out: list[tuple[str, ...]] = field(default_factory=list)
    """The wrong keys that `request` is without."""

    def concerns_left_out(self, problem: str) -> bool:
        """Whether a further problem is but a consequence of a key that was left out."""
        return any(
            problem.startswith((f"{'.'.join(key)}:", f"{'.'.join(key)}."))
            # The catalogue's sentences name a hyperparameter or a channel alone.
            or (len(key) > 1 and re.search(rf"\b{re.escape(key[1])}\b", problem))
            for key in self.left_out
        )


def read(document: object) -> Reading:
    """Read a request with all that is wrong with its form."""
    if not isinstance(document, dict):
        wanted = "allowed: an object, see docs/examples/digits.json"
        return Reading(None, [f"the request is {_kind(document)}; {wanted}"])
    rest: dict[str, Any] = copy.deepcopy(document)
    problems: list[str] = []
    left_out: list[tuple[str, ...]] = []
    while True:
        try:
            request = JobRequest.model_validate(rest)
        except ValidationError as error:
            details = error.errors()
        else:
            found = Reading(request, list(dict.fromkeys(problems)), left_out)
            new = [one for one in request.inconsistencies() if not found.concerns_left_out(one)]
            return replace(found, problems=[*found.problems, *new])
        for detail in details:
            so_far = Reading(None, [], left_out)
            problems += [one for one in _lines(detail) if not so_far.concerns_left_out(one)]
        keys = {_to_leave_out(rest, detail) for detail in details}
        if () in keys:
            return Reading(None, list(dict.fromkeys(problems)))
        for key in keys:
            _leave_out(rest, key)
        left_out += keys


def _to_leave_out(document: dict[str, Any], detail: ErrorDetails) -> tuple[str, ...]:
    """The key without which the document may be right; none where there is none such."""
    missing = detail["type"] == "missing"
    location = list(detail["loc"][:-1] if missing else detail["loc"])
    key: list[str] = []
    value: Any = document
    for part in location:
        if not isinstance(value, dict) or part not in value:
            break
        key.append(str(part))
        value = value[part]
    return tuple(key)


def _leave_out(document: dict[str, Any], key: tuple[str, ...]) -> None:
    *parents, last = key
    for parent in parents:
        document = document.get(parent, {})
    document.pop(last, None)


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
            told = str(context["error"]).splitlines()
            return [f"{key}: {line}" if key else line for line in told]
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
