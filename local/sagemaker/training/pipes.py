"""Pipe mode: a FIFO for each channel and epoch, which the service fills while a container reads.

The next epoch's FIFO is there from when one is opened, so that a reader that is through with one
finds the next. A reader may close early, or never open: neither holds up anything but its channel.
"""

import contextlib
import errno
import fcntl
import logging
import os
import select
import stat
import threading
from collections.abc import Callable, Generator
from pathlib import Path

_SIZE = 1 << 20
# How often a writer looks whether its FIFO has a reader: soon at first, then rarely.
_FIRST_LOOK, _LAST_LOOK = 0.001, 0.05

_log = logging.getLogger(__name__)


class _Over(Exception):
    """The reader has closed its end, or the pipe is closed."""


class Pipe:
    """The FIFOs of one channel on one host.

    Args:
        folder: where the FIFOs go.
        name: of the channel.
        content: gives what an epoch holds, piece by piece.
        on_failure: hears why an epoch could not be given in full, before its reader sees any end.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        content: Callable[[int], Generator[bytes]],
        on_failure: Callable[[int, Exception], object],
    ) -> None:
        # Held open: the image may put another in its place, or links in the place of its pipes.
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._place = folder
        self._name = name
        self._content = content
        self._on_failure = on_failure
        self._closed = threading.Event()
        self._woken, self._waker = os.pipe()
        self._make(0)
        self._thread = threading.Thread(target=self._run, name=f"pipe-{name}", daemon=True)
        self._thread.start()

    def close(self, timeout: float = 5) -> None:
        """End the writer, whatever its reader does; another call does no harm."""
        if not self._closed.is_set():
            self._closed.set()
            # Never read: its end wakes whoever waits for room in a FIFO.
            os.close(self._waker)
        self._thread.join(timeout)

    def _file(self, epoch: int) -> str:
        return f"{self._name}_{epoch}"

    def _make(self, epoch: int) -> None:
        if os.mkfifo in os.supports_dir_fd:
            os.mkfifo(self._file(epoch), dir_fd=self._folder)
        else:
            # As on macOS.
            os.mkfifo(self._place / self._file(epoch))
        self._let_read(self._file(epoch))

    def _let_read(self, name: str) -> None:
        """Let every user read a pipe: in a container, another one may be who does."""
        if not hasattr(os, "O_PATH"):
            os.chmod(name, 0o644, dir_fd=self._folder, follow_symlinks=False)
            return
        # What stands there by now may be the image's: nothing but a pipe gets other rights.
        pipe = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            if stat.S_ISFIFO(os.fstat(pipe).st_mode):
                Path(f"/proc/self/fd/{pipe}").chmod(0o644)
        finally:
            os.close(pipe)

    def _run(self) -> None:
        epoch = 0
        try:
            while not self._closed.is_set():
                self._serve(epoch)
                epoch += 1
        except _Over:
            pass
        except Exception as error:
            if not self._closed.is_set():
                _log.info("pipe %s ended: %s", self._file(epoch), error)
                self._on_failure(epoch, error)
        finally:
            os.close(self._woken)
            os.close(self._folder)

    def _serve(self, epoch: int) -> None:
        name = self._file(epoch)
        fifo = self._opened(name)
        try:
            self._make(epoch + 1)
            with contextlib.suppress(OSError):
                # A larger buffer means fewer changes between the two processes.
                fcntl.fcntl(fifo, fcntl.F_SETPIPE_SZ, _SIZE)
            with contextlib.closing(self._content(epoch)) as pieces, contextlib.suppress(_Over):
                for piece in pieces:
                    self._write(fifo, piece)
        except Exception as error:
            # Told before the FIFO is closed: its reader must not take the break for the end.
            if not self._closed.is_set():
                self._on_failure(epoch, error)
            raise _Over from error
        finally:
            # Before its end is seen: whoever opens it again must not wait for it for ever.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._folder)
            os.close(fifo)

    def _opened(self, name: str) -> int:
        """Open a FIFO once it has a reader. Waiting within open() could not be ended."""
        look = _FIRST_LOOK
        while not self._closed.wait(look):
            try:
                fifo = os.open(
                    name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=self._folder
                )
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ELOOP):
                    # Its reader has removed it, and so wants no more.
                    raise _Over from None
                look = min(2 * look, _LAST_LOOK)
                continue
            if stat.S_ISFIFO(os.fstat(fifo).st_mode):
                return fifo
            os.close(fifo)
            break
        raise _Over

    def _write(self, fifo: int, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            if self._closed.is_set():
                raise _Over
            try:
                view = view[os.write(fifo, view) :]
            except BlockingIOError:
                waiting = select.poll()
                waiting.register(fifo, select.POLLOUT)
                waiting.register(self._woken, select.POLLIN)
                waiting.poll()
            except BrokenPipeError:
                raise _Over from None
