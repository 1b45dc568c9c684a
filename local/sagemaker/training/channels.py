"""The channels of a training job: what each asks for, and what AWS refuses about them.

Sources: the documentation of `Channel`, `S3DataSource` and `TrainingInputMode` in the API, and the
developer guide on input modes and on augmented manifests.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from local.sagemaker import s3
from local.sagemaker.errors import invalid
from local.sagemaker.training.cluster import ONE_GROUP, Place

AUGMENTED = "AugmentedManifestFile"
_DATA_TYPES = ("S3Prefix", "ManifestFile", AUGMENTED)
_ATTRIBUTES = 16
# Members of S3DataSource that change what a job reads, and so cannot be passed over.
_UNSUPPORTED = ("ModelAccessConfig", "HubAccessConfig")


@dataclass(frozen=True)
class Channel:
    """One channel of a request, with the defaults of AWS."""

    name: str
    mode: str
    data_type: str
    uri: str
    attributes: tuple[str, ...]
    groups: tuple[str, ...]
    sharded: bool
    gzip: bool
    wrapped: bool
    seed: int | None
    content_type: str | None
    compression: str | None

    @classmethod
    def of(cls, document: Mapping[str, Any], default_mode: str) -> Channel:
        """Read the channel of a request that was checked; its own mode overrides the job's."""
        source = document["DataSource"]["S3DataSource"]
        return cls(
            name=document["ChannelName"],
            mode=document.get("InputMode", default_mode),
            data_type=source["S3DataType"],
            uri=source["S3Uri"],
            attributes=tuple(source.get("AttributeNames", ())),
            groups=tuple(source.get("InstanceGroupNames", ())),
            sharded=source.get("S3DataDistributionType") == "ShardedByS3Key",
            gzip=document.get("CompressionType") == "Gzip",
            wrapped=document.get("RecordWrapperType") == "RecordIO",
            seed=document["ShuffleConfig"]["Seed"] if "ShuffleConfig" in document else None,
            content_type=document.get("ContentType"),
            compression=document.get("CompressionType"),
        )

    @property
    def piped(self) -> bool:
        """Whether the channel is streamed."""
        return self.mode == "Pipe"

    @property
    def config(self) -> dict[str, str]:
        """What inputdataconfig.json says of the channel; what was not asked for is absent."""
        found = {
            "TrainingInputMode": self.mode,
            "S3DistributionType": "ShardedByS3Key" if self.sharded else "FullyReplicated",
            "RecordWrapperType": "RecordIO" if self.wrapped else "None",
        }
        if self.content_type is not None:
            found["ContentType"] = self.content_type
        if self.compression is not None:
            found["CompressionType"] = self.compression
        return found

    def order(self, count: int, *, host: int, hosts: int, epoch: int = 0) -> array[int]:
        """Choose which of the things in a channel one of its hosts gets in an epoch, and when.

        All are shuffled before they are dealt out, so that what a host gets may change from epoch
        to epoch. AWS does not say which objects go to which host: here they are dealt out in turn.
        """
        order = array("Q", range(count))
        if self.seed is not None:
            Random(f"{self.seed}/{epoch}").shuffle(order)  # noqa: S311 - it protects nothing
        return order[host::hosts] if self.sharded else order


def of(job: Mapping[str, Any], place: Place) -> list[Channel]:
    """Read those channels of a request that one of its hosts gets."""
    mode = job["AlgorithmSpecification"]["TrainingInputMode"]
    found = [Channel.of(document, mode) for document in job.get("InputDataConfig", [])]
    return [channel for channel in found if place.share(channel.groups)]


def check(
    documents: Sequence[Mapping[str, Any]], default_mode: str, groups: Sequence[str] = (ONE_GROUP,)
) -> None:
    """Refuse what AWS refuses in the channels of a request, and what cannot be done here.

    Raises:
        ServiceError: with the name of the channel.
    """
    names = [document["ChannelName"] for document in documents]
    if len(set(names)) < len(names):
        raise invalid(f"Channel names must differ from one another; they are: {', '.join(names)}.")
    for document in documents:
        _check(document, default_mode, groups)
        name = document["ChannelName"]
        # What lies beside the folders of channels: the pipes and manifests of others.
        piped = document.get("InputMode", default_mode) == "Pipe"
        beside = re.compile(re.escape(name) + (r"(_\d+|-manifest)" if piped else "-manifest"))
        for other in names:
            if beside.fullmatch(other):
                raise invalid(
                    f"Channel {other} has the name of a file that channel {name} needs in "
                    "/opt/ml/input/data: rename one of them."
                )


def _check(document: Mapping[str, Any], default_mode: str, groups: Sequence[str]) -> None:
    name = document["ChannelName"]
    if name in (".", ".."):
        raise invalid(f"A channel cannot be named {name!r}: it names a folder.")
    source = document["DataSource"].get("S3DataSource")
    if not source:
        given = ", ".join(sorted(document["DataSource"])) or "nothing"
        raise invalid(
            f"Channel {name} has {given} for a DataSource. The local platform reads from S3: give "
            "an S3DataSource."
        )
    for member in _UNSUPPORTED:
        if source.get(member):
            raise invalid(f"Channel {name}: the local platform has no use for {member} yet.")
    if source["S3DataType"] not in _DATA_TYPES:
        raise invalid(
            f"Channel {name} has S3DataType {source['S3DataType']}. The local platform reads "
            f"{', '.join(_DATA_TYPES)}."
        )
    for group in source.get("InstanceGroupNames", ()):
        if group not in groups:
            raise invalid(
                f"Channel {name} is for the instance group {group}, which ResourceConfig has not; "
                f"it has: {', '.join(groups)}."
            )
    try:
        s3.parse(source["S3Uri"])
    except ValueError as error:
        raise invalid(f"Channel {name}: {error}") from error
    _check_mode(Channel.of(document, default_mode))


def _check_mode(channel: Channel) -> None:
    name, mode = channel.name, channel.mode
    if channel.data_type == AUGMENTED:
        if not channel.piped:
            raise invalid(
                f"Channel {name}: AugmentedManifestFile can only be used if the Channel's input "
                f"mode is Pipe, and it is {mode}."
            )
        if not 1 <= len(channel.attributes) <= _ATTRIBUTES:
            raise invalid(
                f"Channel {name}: AugmentedManifestFile needs 1 to {_ATTRIBUTES} AttributeNames."
            )
        if channel.gzip:
            raise invalid(
                f"Channel {name}: CompressionType Gzip is for objects, and not for an "
                "AugmentedManifestFile: set CompressionType to None."
            )
    elif channel.attributes:
        raise invalid(
            f"Channel {name}: AttributeNames are for S3DataType AugmentedManifestFile, and not for "
            f"{channel.data_type}."
        )
    for asked, member, value in (
        (channel.gzip, "CompressionType", "Gzip"),
        (channel.wrapped, "RecordWrapperType", "RecordIO"),
    ):
        if asked and not channel.piped:
            raise invalid(
                f"Channel {name} is in {mode} mode and has {member} {value}: {member} is used only "
                f"in Pipe input mode. In {mode} mode, leave this field unset or set it to None."
            )
