"""What SageMaker takes in the members of the requests that the workflow makes. No AWS in here.

SageMaker checks each request by itself, so what CreateModelPackage refuses is refused after the
training has been paid for. A job request is therefore checked against both before anything begins.
The rules are those of SageMaker's own service model, by the path of the member: `[]` is what a list
holds, `{key}` and `{}` are the keys and the values of a map.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_ANY = ".*"
_SOME = ".+"
_URI = "(https|s3)://([^/]+)/?(.*)"
_KEY = "[a-zA-Z0-9:/_-]*"
_NETWORK = "[-0-9a-zA-Z]+"
_TAG = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)"
_PROPERTY = r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)"
_DESCRIPTION = r"[\p{L}\p{M}\p{Z}\p{S}\p{N}\p{P}]*"
_GROUP = (
    r"(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*\/)?"
    r"([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)"
)
_WORDS = {
    _ANY: "without line breaks",
    _SOME: "without line breaks",
    r"[\S]+": "without white space",
    _TAG: "letters, digits, spaces and _ . : / = + - @",
    _PROPERTY: "letters, digits, spaces and _ . : / = + - @",
    _DESCRIPTION: "printable characters",
}
# What stands for the characters of a category of Unicode when texts are compared by category, and
# the characters of ASCII in it.
_STAND_INS = {"L": "a", "M": "\ue001", "N": "0", "P": "\ue002", "S": "\ue003", "Z": " "}
_ASCII = {
    "L": "a-zA-Z",
    "M": "",
    "N": "0-9",
    "P": r"!-#%-*,-/:;?@\[-\]_{}",
    "S": r"$+<->^`|~",
    "Z": "",
}
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Text:
    """A text of so many characters that match a pattern as a whole."""

    pattern: str
    most: int
    least: int = 0

    def takes(self, value: object) -> bool:
        """Whether SageMaker takes the value."""
        text = str(value)
        return self.least <= len(text) <= self.most and _matches(self.pattern, text)

    def __str__(self) -> str:
        """What is allowed, in words."""
        words = _WORDS.get(self.pattern, f"what matches {self.pattern}")
        return f"{self.least} to {self.most} characters, {words}"


@dataclass(frozen=True, slots=True)
class Count:
    """A list or a map of so many entries."""

    most: int
    least: int = 0

    def takes(self, value: Any) -> bool:  # noqa: ANN401 - a list or a map of anything
        """Whether SageMaker takes as many."""
        return self.least <= len(value) <= self.most

    def __str__(self) -> str:
        """What is allowed, in words."""
        return f"{self.least} to {self.most} entries"


Rule = Text | Count

CREATE_TRAINING_JOB: Mapping[str, Rule] = {
    "TrainingJobName": Text("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", 63, 1),
    "AlgorithmSpecification.TrainingImage": Text(_ANY, 255),
    "AlgorithmSpecification.MetricDefinitions": Count(40),
    "AlgorithmSpecification.MetricDefinitions[].Name": Text(_SOME, 255, 1),
    "AlgorithmSpecification.MetricDefinitions[].Regex": Text(_SOME, 500, 1),
    "RoleArn": Text(r"arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+", 2048, 20),
    "HyperParameters": Count(100),
    "HyperParameters{key}": Text(_ANY, 256),
    "HyperParameters{}": Text(_ANY, 2500),
    "InputDataConfig": Count(20, 1),
    "InputDataConfig[].ChannelName": Text(r"[A-Za-z0-9\.\-_]+", 64, 1),
    "InputDataConfig[].ContentType": Text(_ANY, 256),
    "InputDataConfig[].DataSource.S3DataSource.S3Uri": Text(_URI, 1024),
    "InputDataConfig[].DataSource.S3DataSource.AttributeNames": Count(16),
    "InputDataConfig[].DataSource.S3DataSource.AttributeNames[]": Text(_SOME, 256, 1),
    "OutputDataConfig.S3OutputPath": Text(_URI, 1024),
    "OutputDataConfig.KmsKeyId": Text(_KEY, 2048),
    "ResourceConfig.VolumeKmsKeyId": Text(_KEY, 2048),
    "CheckpointConfig.S3Uri": Text(_URI, 1024),
    "VpcConfig.Subnets": Count(16, 1),
    "VpcConfig.Subnets[]": Text(_NETWORK, 32),
    "VpcConfig.SecurityGroupIds": Count(5, 1),
    "VpcConfig.SecurityGroupIds[]": Text(_NETWORK, 32),
    "Tags": Count(50),
    "Tags[].Key": Text(_TAG, 128, 1),
    "Tags[].Value": Text(_TAG, 256),
}
_PROPERTY_VALUE = Text(_PROPERTY, 256, 1)
CREATE_MODEL_PACKAGE: Mapping[str, Rule] = {
    "ModelPackageGroupName": Text(_GROUP, 170, 1),
    "ModelPackageDescription": Text(_DESCRIPTION, 1024),
    "InferenceSpecification.Containers": Count(15, 1),
    "InferenceSpecification.Containers[].Image": Text(r"[\S]+", 255),
    "InferenceSpecification.Containers[].ModelDataUrl": Text(_URI, 1024),
    "InferenceSpecification.SupportedContentTypes[]": Text(_ANY, 256),
    "InferenceSpecification.SupportedResponseMIMETypes[]": Text(r"[-\w]+\/.+", 1024),
    "ModelMetrics.ModelQuality.Statistics.ContentType": Text(_ANY, 256),
    "ModelMetrics.ModelQuality.Statistics.S3Uri": Text(_URI, 1024),
    "MetadataProperties.GeneratedBy": Text(_ANY, 1024),
    "MetadataProperties.CommitId": Text(_ANY, 1024),
    "MetadataProperties.Repository": Text(_ANY, 1024),
    "CustomerMetadataProperties": Count(50, 1),
    "CustomerMetadataProperties{key}": Text(_PROPERTY, 128, 1),
    "CustomerMetadataProperties{}": _PROPERTY_VALUE,
    "ClientToken": Text("[a-zA-Z0-9-]+", 36, 1),
    "SamplePayloadUrl": Text(_URI, 1024),
}


@dataclass(frozen=True, slots=True)
class Violation:
    """A member that SageMaker would refuse."""

    path: tuple[str | int, ...]
    """The member: names of structures and maps, numbers within lists."""
    value: Any
    rule: Rule

    def __str__(self) -> str:
        """What was found and what is allowed."""
        if isinstance(self.value, str):
            cut = f"... ({len(self.value)} characters)" if len(self.value) > _SHOWN else ""
            shown = f"{self.value[:_SHOWN]!r}{cut}"
        else:
            shown = f"{len(self.value)} entries"
        return f"found {shown}; allowed: {self.rule}"


def violations(rules: Mapping[str, Rule], parameters: Mapping[str, Any]) -> Iterator[Violation]:
    """Every member of an operation's parameters that its rules do not take."""
    for name, value in parameters.items():
        yield from _below(rules, value, name, (name,))


def property_text(text: str) -> str:
    """A text as a property of a model package takes it: other characters become `_`."""
    taken = "".join(one if _matches(_PROPERTY, one) else "_" for one in text)
    return taken[: _PROPERTY_VALUE.most]


def _below(
    rules: Mapping[str, Rule],
    value: Any,  # noqa: ANN401 - any member of a request
    name: str,
    path: tuple[str | int, ...],
) -> Iterator[Violation]:
    rule = rules.get(name)
    if rule is not None and not rule.takes(value):
        yield Violation(path, value, rule)
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _below(rules, item, f"{name}[]", (*path, index))
    elif isinstance(value, Mapping) and f"{name}{{key}}" in rules:
        for key, item in value.items():
            yield from _below(rules, key, f"{name}{{key}}", (*path, key))
            yield from _below(rules, item, f"{name}{{}}", (*path, key))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _below(rules, item, f"{name}.{key}", (*path, key))


def _matches(pattern: str, text: str) -> bool:
    if r"\p{" not in pattern:
        return re.fullmatch(pattern, text) is not None
    # Python's re knows no categories of Unicode, so one character of each stands for all of them.
    for category, stand_in in _STAND_INS.items():
        pattern = pattern.replace(rf"\p{{{category}}}", stand_in + _ASCII[category])
    return re.fullmatch(pattern, "".join(map(_stand_in, text))) is not None


def _stand_in(character: str) -> str:
    if character.isascii():
        return character
    return _STAND_INS.get(unicodedata.category(character)[0], "\x7f")
