"""One model server: a process that answers requests, and comes back if it dies."""

import http.client
import logging
import socket
import threading
import time
from collections.abc import Callable

from local.sagemaker.limits import Limits
from local.sagemaker.processes import Running

KEY_HEADER = "X-SageMaker-Caller-Key"
_PINGS_MISSED = 3
_FIRST_PING = 0.02
_SLOWEST_PING = 0.25
# A FailureReason has 1024 characters.
_SHOWN_CHARACTERS = 600

_log = logging.getLogger(__name__)


class ModelServer:
    """A server process on a port of its own, with as many successors as it needs.

    A request is counted in with `enter` and out with `leave`, so that the server is stopped only
    when it has answered all.
    """

    def __init__(
        self,
        launch: Callable[[int], Running],
        limits: Limits,
        *,
        startup: float,
        log_stream_arn: str,
        key: str = "",
        on_given_up: Callable[[str], None],
        last_line: Callable[[], str] = str,
    ) -> None:
        self.port = 0
        self.log_stream_arn = log_stream_arn
        # Without it a server that was given a key answers nobody.
        self.headers = {KEY_HEADER: key} if key else {}
        self._launch = launch
        self._limits = limits
        self._startup = startup
        self._on_given_up = on_given_up
        self._last_line = last_line
        self._ready = False
        self._was_ready = False
        self._problem = ""
        self._settled = threading.Event()
        self._stopping = threading.Event()
        self._process: Running | None = None
        self._requests = threading.Condition()
        self._in_flight = 0
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def start(self) -> None:
        """Start the process; `wait_ready` tells when it serves."""
        self._thread.start()

    def wait_ready(self) -> str:
        """Wait until the server answers its ping; returns what went wrong, or nothing."""
        self._settled.wait()
        return "" if self._was_ready else self._problem or "it was stopped"

    @property
    def ready(self) -> bool:
        """Whether requests can be sent to the server."""
        return self._ready

    def enter(self) -> bool:
        """Count a request in; False when the server takes none."""
        with self._requests:
            if not self._ready:
                return False
            self._in_flight += 1
            return True

    def leave(self) -> None:
        """Count a request out."""
        with self._requests:
            self._in_flight -= 1
            self._requests.notify_all()

    def drain(self, timeout: float) -> None:
        """Take no more requests, and wait until those under way are answered."""
        with self._requests:
            self._ready = False
            self._requests.wait_for(
                lambda: self._in_flight == 0 or self._stopping.is_set(), timeout
            )

    def stop(self, grace: float) -> None:
        """End the process for good, by force when it takes longer than `grace`."""
        self._stopping.set()
        with self._requests:
            self._ready = False
            self._requests.notify_all()
        process = self._process
        if process is not None:
            process.stop(grace)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(grace + 5)

    def kill(self) -> None:
        """End the process as a crash would."""
        process = self._process
        if process is not None:
            process.kill()

    def _supervise(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            served = 0.0
            try:
                served = self._live()
            except Exception as error:
                # Whatever it is, those who wait for this server must hear of it.
                _log.exception("a model server could not be started")
                self._problem = f"it could not be started ({type(error).__name__}: {error})"
            if self._stopping.is_set():
                break
            if served > self._limits.restart_memory:
                failures = 0
            failures += 1
            if self._hopeless(failures):
                self._settled.set()
                if self._was_ready:
                    self._on_given_up(self._problem)
                return
            self._stopping.wait(self._limits.restart_delay * 2 ** (failures - 1))
        self._settled.set()

    def _live(self) -> float:
        """Run one process until it ends or has to; tells for how long it served."""
        port = _free_port()
        self._process = process = self._launch(port)
        try:
            if self._stopping.is_set():
                process.stop(self._limits.server_stop)
            self._problem = self._await_ping(process, port)
            if self._problem:
                return 0.0
            began = time.monotonic()
            self._serve(process, port)
            self._problem = self._problem or self._ended(process)
            return time.monotonic() - began
        finally:
            if not self._stopping.is_set():
                process.kill()
            process.wait()

    def _hopeless(self, failures: int) -> bool:
        """Whether it makes no sense to try again.

        A server that never served gets one more try, since its port may have been taken in the
        moment between being found free and being bound; one that was too slow gets none.
        """
        if self._was_ready:
            return failures > self._limits.restarts
        return failures > 1 or "in time" in self._problem

    def _await_ping(self, process: Running, port: int) -> str:
        until = time.monotonic() + self._startup
        pause = _FIRST_PING
        while not self._stopping.is_set():
            if process.exited.is_set():
                return self._ended(process)
            if time.monotonic() > until:
                return f"it did not answer in time ({self._startup:g} s)"
            if self._ping(port):
                return ""
            process.exited.wait(pause)
            pause = min(pause * 1.3, _SLOWEST_PING)
        return "it was stopped"

    def _ended(self, process: Running) -> str:
        """How a process ended, with the last line that it wrote, which mostly says why."""
        # An end is told when all of the output was read.
        line = self._last_line()[:_SHOWN_CHARACTERS]
        return f"it ended with exit code {process.exit_code}" + (f": {line}" if line else "")

    def _serve(self, process: Running, port: int) -> None:
        self.port = port
        self._was_ready = True
        with self._requests:
            self._ready = not self._stopping.is_set()
        self._settled.set()
        missed = 0
        while not process.exited.wait(self._limits.ping_interval):
            if self._stopping.is_set():
                process.exited.wait(self._limits.server_stop)
                return
            missed = 0 if self._ping(port) else missed + 1
            if missed == _PINGS_MISSED:
                self._problem = f"it missed {missed} pings"
                break
        with self._requests:
            self._ready = False

    def _ping(self, port: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=self._limits.ping)
        try:
            connection.request("GET", "/ping", headers=self.headers)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
