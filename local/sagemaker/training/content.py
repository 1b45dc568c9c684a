"""What flows through the pipe of a channel: objects one after another, unpacked and wrapped."""

import struct
from collections.abc import Generator, Iterable, Iterator
from tempfile import TemporaryFile

from algorithms.toolkit import archives
from algorithms.toolkit.tar import TarError
from local.sagemaker import s3
from local.sagemaker.training.objects import Object

CHUNK = 1 << 20
_MAGIC = 0xCED7230A
_LENGTH = (1 << 29) - 1


def stream(
    parts: Iterable[bytes | Object], storage: s3.Storage, *, gzip: bool, wrapped: bool
) -> Generator[bytes]:
    """Give parts byte for byte, each as one RecordIO record where they are wrapped.

    Raises:
        CallFailed: when an object cannot be read.
        ValueError: when one is no gzip, or too long for a record; the text names it.
    """
    for part in parts:
        if isinstance(part, bytes):
            yield from _record(len(part), [part], "") if wrapped else [part]
            continue
        with storage.read(part.bucket, part.key) as body:
            if not gzip:
                yield from _record(body.length, body, part.uri) if wrapped else body
            elif wrapped:
                yield from _measured(gunzip(body, part.uri), part.uri)
            else:
                yield from gunzip(body, part.uri)


def gunzip(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Unpack a gzip of one or several members, a bounded piece at a time.

    Raises:
        ValueError: when it is none, or is cut off.
    """
    try:
        yield from archives.gunzip(chunks)
    except TarError as error:
        reason = str(error).removeprefix("it ")
        raise ValueError(f"{name} has CompressionType Gzip, but {reason}.") from None


def _measured(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Wrap what is of unknown length: by way of the disk, since the length comes first."""
    with TemporaryFile() as file:
        length = 0
        for chunk in chunks:
            length += len(chunk)
            if length > _LENGTH:
                # Before the disk fills up with what no record can hold.
                raise ValueError(_too_long(name, f"more than {_LENGTH}"))
            file.write(chunk)
        file.seek(0)
        yield from _record(length, iter(lambda: file.read(CHUNK), b""), name)


def _record(length: int, chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    if length > _LENGTH:
        raise ValueError(_too_long(name, str(length)))
    yield struct.pack("<II", _MAGIC, length)
    yield from chunks
    if length % 4:
        yield bytes(-length % 4)


def _too_long(name: str, length: str) -> str:
    return (
        f"{name} has {length} bytes, more than the {_LENGTH} that a RecordIO record holds: "
        "split it, or leave RecordWrapperType out."
    )
