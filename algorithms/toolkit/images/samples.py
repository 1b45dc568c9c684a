"""The images of a channel with what is said of them: read when needed, and never held all at once.

They come from files beside one another, from image RecordIO, or through a pipe: image RecordIO, or
an augmented manifest, of which each line gives the records of its attributes one after another.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.images import imagerecord, pixels
from algorithms.toolkit.job import Channel

if TYPE_CHECKING:
    from algorithms.toolkit.peers import Peers

# What a piped channel is shuffled in, in bytes of encoded images.
WINDOW_BYTES = 64 * 1024 * 1024
_READ_BYTES = 1 << 20
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG")


@dataclass(frozen=True)
class Sample:
    """An encoded image, and what is said of it.

    Args:
        image: a JPEG or PNG file.
        label: the numbers of an image record, or the bytes of a file or attribute.
        place: the file, or channel and record, for error messages.
    """

    image: bytes
    label: Any
    place: str


class Samples(ABC):
    """The samples of one channel that belong to this host."""

    @abstractmethod
    def ordered(self) -> Iterator[Sample]:
        """All of them in their order."""

    @abstractmethod
    def shuffled(self, random: np.random.Generator) -> Iterator[Sample]:
        """All of them in a new order."""


class Filed(Samples):
    """Samples that are each read from files when their turn comes."""

    def __init__(self, entries: Sequence[Callable[[], Sample]]) -> None:
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    def ordered(self) -> Iterator[Sample]:
        """All of them in their order."""
        for entry in self._entries:
            yield entry()

    def shuffled(self, random: np.random.Generator) -> Iterator[Sample]:
        """All of them in an order in which every one is as likely as another."""
        for number in random.permutation(len(self._entries)):
            yield self._entries[number]()


class Piped(Samples):
    """Samples that come through a pipe; every pass over them is an epoch of the channel.

    Args:
        channel: in Pipe mode.
        rank: of this host, which takes only its share where all get the same.
        hosts: how many there are.
    """

    def __init__(self, channel: Channel, rank: int = 0, hosts: int = 1) -> None:
        self._channel = channel
        self._rank, self._hosts = (0, 1) if channel.sharded else (rank, hosts)
        self._epoch = 0

    def ordered(self) -> Iterator[Sample]:
        """The samples of the next epoch as they come."""
        name = f"{self._channel.name}, epoch {self._epoch}"
        stream = self._channel.pipe(self._epoch)
        self._epoch += 1
        with stream, io.BufferedReader(stream, _READ_BYTES) as buffered:  # type: ignore[type-var]
            number = -1
            for number, sample in enumerate(_streamed(buffered, name)):
                if number % self._hosts == self._rank:
                    yield sample
        if number < 0:
            raise CustomerError(f"No data in channel {name}")

    def shuffled(self, random: np.random.Generator) -> Iterator[Sample]:
        """The samples of the next epoch, in a new order within windows of bounded size.

        What is more than a window apart stays apart: ShuffleConfig mixes the objects of a channel.
        """
        window: list[Sample] = []
        held = 0
        for sample in self.ordered():
            window.append(sample)
            held += len(sample.image) + (len(sample.label) if sample.label is not None else 0)
            if held >= WINDOW_BYTES:
                yield from (window[place] for place in random.permutation(len(window)))
                window, held = [], 0
        yield from (window[place] for place in random.permutation(len(window)))


def channel_samples(
    channel: Channel,
    beside: Channel | None,
    beside_name: str,
    peers: Peers,
    entries: Callable[[Channel], Sequence[Callable[[], Sample]]],
) -> Samples:
    """The part that is this host's of a channel of image RecordIO, or of image files.

    Args:
        channel: that of the images.
        beside: that of what is said of image files, if the job has it.
        beside_name: what it is called.
        peers: the hosts of the job.
        entries: the samples of image files, by the channel beside them.

    Raises:
        CustomerError: The content type or the mode is not supported, or a channel is missing.
    """
    name, hosts = channel.name, len(peers.hosts)
    default = pixels.ANY if beside else imagerecord.CONTENT_TYPE
    kind = channel.content_type.name if channel.content_type else default
    if kind == imagerecord.CONTENT_TYPE:
        if channel.piped:
            return Piped(channel, peers.rank, hosts)
        return Filed(share(recorded(channel), channel, peers.rank, hosts))
    if kind not in pixels.CONTENT_TYPES:
        allowed = ", ".join((imagerecord.CONTENT_TYPE, *pixels.CONTENT_TYPES))
        raise CustomerError(
            f"Content type '{kind}' of channel '{name}' is not supported; {allowed} are allowed"
        )
    if channel.piped or (beside and beside.piped):
        raise CustomerError(
            f"Channel {name} has content type '{kind}', which cannot be read in Pipe mode; use "
            f"File mode, or {imagerecord.CONTENT_TYPE}"
        )
    if beside is None:
        raise CustomerError(f"Missing required channel: {beside_name}, for images in {name}")
    return Filed(share(entries(beside), channel, peers.rank, hosts))


def share(entries: Sequence[Any], channel: Channel, rank: int, hosts: int) -> Sequence[Any]:
    """The part of a channel's entries that is this host's: all where the platform shared them."""
    if channel.sharded or hosts == 1:
        return entries
    if len(entries) < hosts:
        raise CustomerError(
            f"Channel {channel.name} has {len(entries)} images for {hosts} hosts; use fewer hosts"
        )
    return entries[rank::hosts]


def recorded(channel: Channel) -> list[Callable[[], Sample]]:
    """The samples of the .rec files of a channel."""
    found: list[Callable[[], Sample]] = []
    for path in channel.files():
        if path.suffix in {".lst", ".idx"}:
            continue
        title = channel.title(path)
        with path.open("rb") as stream:
            for number, (start, _) in enumerate(imagerecord.messages(stream, title), 1):
                found.append(_record(path, start, f"{title}, record {number}"))
    if not found:
        raise CustomerError(f"No image records in channel {channel.name}; make them with im2rec")
    return found


def _record(path: Path, start: int, place: str) -> Callable[[], Sample]:
    def read() -> Sample:
        with path.open("rb") as stream:
            stream.seek(start)
            _, message = next(imagerecord.messages(stream, place))
        return _of_record(message, place)

    return read


def _of_record(message: bytes, place: str) -> Sample:
    record = imagerecord.unpack(message, place)
    return Sample(record.image, record.labels, place)


def _streamed(stream: Any, name: str) -> Iterator[Sample]:
    """The samples of an epoch, of whichever of the two forms it is."""
    waiting: bytes | None = None
    augmented: bool | None = None
    for number, (_, message) in enumerate(imagerecord.messages(stream, name), 1):
        place = f"{name}, record {number}"
        if augmented is None:
            augmented = message.startswith(_SIGNATURES)
        if not augmented:
            yield _of_record(message, place)
        elif waiting is None:
            if not message.startswith(_SIGNATURES):
                raise FormatError(
                    f"{place}: not a JPEG or PNG image; AttributeNames must name the image first "
                    "and then what is said of it"
                )
            waiting = message
        else:
            yield Sample(waiting, message, place)
            waiting = None
    if waiting is not None:
        raise FormatError(f"{name}: the last image has nothing said of it; give two AttributeNames")
