"""Brings the channels of a training job from S3 to its hosts: as files, or through pipes."""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local.sagemaker import s3
from local.sagemaker.roles import CallFailed
from local.sagemaker.training import content
from local.sagemaker.training.augmented import AugmentedManifest
from local.sagemaker.training.channels import AUGMENTED, Channel
from local.sagemaker.training.cluster import Place
from local.sagemaker.training.objects import Object, of_manifest, of_prefix
from local.sagemaker.training.pipes import Pipe

_AT_ONCE = 16
_READ_ONLY = 0o444
# What a file system says to a name that it cannot give.
_UNNAMEABLE = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


class InputError(Exception):
    """The data of a channel cannot be had; the message says which and why."""


class Inputs:
    """The data of one host of a job.

    Args:
        channels: those of the job that the host gets.
        storage: S3 in the name of the job's role.
        data: the folder /opt/ml/input/data of the host.
        place: of the host among those of its job.
        on_failure: hears of a stream that broke while the job ran; it must end the job.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        storage: s3.Storage,
        data: Path,
        place: Place,
        *,
        on_failure: Callable[[InputError], object],
    ) -> None:
        self._channels = channels
        self._storage = storage
        self._data = data
        self._on_failure = on_failure
        self._place = place
        self._pipes: list[Pipe] = []

    def bring(self) -> None:
        """Download what containers read as files, and begin to offer what they read from pipes.

        FastFile channels are downloaded in full, too: files that are fetched while they are read
        need a file system of their own, for which the local platform has no privilege. What their
        reader sees is the same.

        Raises:
            InputError: when a channel cannot be read or cannot become files.
        """
        wanted: dict[Path, Object] = {}
        contents: dict[str, Callable[[int], Generator[bytes]]] = {}
        for channel in self._channels:
            try:
                if channel.piped:
                    contents[channel.name] = self._streamed(channel)
                else:
                    folder = self._data / channel.name
                    folder.mkdir(parents=True)
                    items = self._listed(channel)
                    for number in self._order(channel, len(items)):
                        wanted[_place(folder, items[number])] = items[number]
            except (CallFailed, ValueError) as error:
                raise InputError(f"Channel {channel.name}: {error}") from error
        self._download(wanted)
        for channel in self._channels:
            if channel.mode == "FastFile":
                for path in (self._data / channel.name).rglob("*"):
                    if path.is_file():
                        path.chmod(_READ_ONLY)
        for name, give in contents.items():
            self._pipes.append(Pipe(self._data, name, give, self._broken(name)))

    def close(self) -> None:
        """End all streams."""
        for pipe in self._pipes:
            pipe.close()

    def _listed(self, channel: Channel) -> list[Object]:
        if channel.data_type == "ManifestFile":
            manifest = self._data / f"{channel.name}-manifest"
            return of_manifest(channel.uri, self._storage, manifest)
        return of_prefix(channel.uri, self._storage)

    def _order(self, channel: Channel, count: int, epoch: int = 0) -> Iterable[int]:
        host, hosts = self._place.share(channel.groups) or (0, 1)
        return channel.order(count, host=host, hosts=hosts, epoch=epoch)

    def _streamed(self, channel: Channel) -> Callable[[int], Generator[bytes]]:
        """Look at what a channel holds, once, and give what makes the stream of an epoch of it."""
        give: Callable[[int], Iterable[bytes | Object]]
        if channel.data_type == AUGMENTED:
            manifest = AugmentedManifest(channel.uri, channel.attributes, self._storage)
            count, give = len(manifest), manifest.parts
        else:
            items = self._listed(channel)
            count, give = len(items), lambda number: [items[number]]

        def parts(epoch: int) -> Iterator[bytes | Object]:
            for number in self._order(channel, count, epoch):
                yield from give(number)

        return lambda epoch: content.stream(
            parts(epoch), self._storage, gzip=channel.gzip, wrapped=channel.wrapped
        )

    def _broken(self, channel: str) -> Callable[[int, Exception], object]:
        def tell(epoch: int, error: Exception) -> None:
            text = f"Failed to stream data. Channel {channel}, epoch {epoch}: {error}"
            self._on_failure(InputError(text))

        return tell

    def _download(self, wanted: dict[Path, Object]) -> None:
        folders = {folder for path in wanted for folder in path.parents}
        for path, item in wanted.items():
            if path in folders:
                raise InputError(
                    f"Cannot download {item.uri}, a previously downloaded file/folder clashes with "
                    "it."
                )

        def fetch(entry: tuple[Path, Object]) -> None:
            path, item = entry
            try:
                self._storage.download(item.bucket, item.key, path)
            except OSError as error:
                if error.errno not in _UNNAMEABLE:
                    raise
                raise InputError(f"{error.strerror}: {item.uri}") from error

        try:
            if len(wanted) == 1:
                fetch(next(iter(wanted.items())))
            else:
                with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
                    for _ in pool.map(fetch, wanted.items()):
                        pass
        except CallFailed as error:
            raise InputError(str(error)) from error


def _place(folder: Path, item: Object) -> Path:
    try:
        return s3.local_path(folder, item.relative)
    except ValueError as error:
        raise ValueError(f"{error} The object is {item.uri}.") from None
