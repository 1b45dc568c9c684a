"""Weights to begin with: those of an earlier job, or those that the image was built with."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from algorithms.toolkit import archives
from algorithms.toolkit.errors import CustomerError

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job

CHANNEL = "model"
_ARCHIVE = "model.tar.gz"
# Who builds an image may put networks here that were learnt elsewhere.
_PRETRAINED = "SAGEMAKER_PRETRAINED_DIR"


@contextmanager
def earlier(job: Job, name: str) -> Iterator[Path | None]:
    """The file of this name in the artifact of the `model` channel, if the job has that channel.

    Raises:
        CustomerError: The channel holds no such artifact.
    """
    channel = job.channels.get(CHANNEL)
    if channel is None:
        yield None
        return
    if channel.piped:
        raise CustomerError(f"Channel {CHANNEL} is an artifact; give it InputMode File")
    archives = [path for path in channel.files() if path.name.endswith(".tar.gz")]
    if not archives:
        # The platform, or who mounted the folder, has unpacked it.
        yield channel.folder / name
        return
    if len(archives) > 1:
        raise CustomerError(
            f"Channel {CHANNEL} has {len(archives)} archives; let its S3Uri name one {_ARCHIVE}"
        )
    with tempfile.TemporaryDirectory() as folder:
        yield _member(archives[0], channel.title(archives[0]), name, Path(folder))


def _member(archive: Path, title: str, name: str, folder: Path) -> Path:
    """One file of an archive, the only thing of it that is unpacked."""
    try:
        found = archives.extract_one(archive, name, folder)
    except archives.ArchiveError as error:
        raise CustomerError(f"{title} is not a gzipped tar archive of a model: {error}") from None
    if found is None:
        held = ", ".join(archives.names(archive))
        raise CustomerError(
            f"{title} has no file {name}, which this image makes; it holds {held or 'nothing'}"
        )
    return found


def must_match(settings: Mapping[str, Any], found: Mapping[str, Any], names: Any) -> None:
    """Refuse an earlier model whose hyperparameters of these names are not the job's."""
    for name in names:
        if found.get(name) != settings[name]:
            raise CustomerError(
                f"The model of channel {CHANNEL} was trained with {name} = {found.get(name)}, and "
                f"this job has {settings[name]}; they must be the same"
            )


def pretrained(name: str, off: Any) -> dict[str, Any]:
    """The weights of a base network that was learnt elsewhere, under torchvision's names.

    Args:
        name: of the network.
        off: the value of use_pretrained_model that asks for none.

    Raises:
        CustomerError: The image has none.
    """
    path = Path(os.environ.get(_PRETRAINED, "/opt/pretrained")) / f"{name}.safetensors"
    if not path.is_file():
        raise CustomerError(
            f"use_pretrained_model asks for the weights of {name}, which this image does not "
            f"have. Set it to {off} to start without them; or give the model.tar.gz of an earlier "
            f"job as channel {CHANNEL}; or build the image with the file {path}"
        )
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(str(path)))
    except (SafetensorError, OSError) as error:
        raise CustomerError(f"{path} is not a safetensors file: {error}") from None
