"""CloudWatch log streams, written as the lines come, in the name of a role."""

import queue
import threading
import time
from collections.abc import Callable

from botocore.exceptions import ClientError

from local.sagemaker.arns import Arns
from local.sagemaker.roles import CALL_ERRORS, CallFailed, Role

_BATCH_SECONDS = 0.25
_BATCH_EVENTS = 10_000
_BATCH_BYTES = 1_000_000
_EVENT_OVERHEAD = 26


class LogStream:
    """One stream; what cannot be written is told to `on_failure`, once."""

    def __init__(
        self,
        role: Role,
        arns: Arns,
        *,
        group: str,
        stream: str,
        on_failure: Callable[[CallFailed], None],
    ) -> None:
        self._role = role
        self._group = group
        self._stream = stream
        self._on_failure = on_failure
        self._group_arn = f"arn:aws:logs:{arns.region}:{arns.account}:log-group:{group}"
        self.arn = f"{self._group_arn}:log-stream:{stream}"
        self._lines: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None

    def open(self) -> None:
        """Make the group and the stream; what is there already is used.

        Raises:
            CallFailed: when the role may not.
        """
        client = self._role.client("logs")
        for action, resource, create, names in (
            (
                "logs:CreateLogGroup",
                self._group_arn,
                client.create_log_group,
                {"logGroupName": self._group},
            ),
            (
                "logs:CreateLogStream",
                self.arn,
                client.create_log_stream,
                {"logGroupName": self._group, "logStreamName": self._stream},
            ),
        ):
            try:
                create(**names)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                    raise self._role.failure(error, action, resource) from error
            except CALL_ERRORS as error:
                raise self._role.failure(error, action, resource) from error
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def add(self, line: str) -> None:
        """Write a line, soon; one for a stream that is not open is lost."""
        if self._writer is not None and line.strip():
            self._lines.put((int(time.time() * 1000), line))

    def close(self) -> None:
        """Write what is left; returns when it is written."""
        if self._writer is not None:
            self._lines.put(None)
            self._writer.join()
            self._writer = None

    def _write(self) -> None:
        failed = False
        last = False
        carried: tuple[int, str] | None = None
        while not last or carried:
            batch, carried, last = self._batch(carried, last)
            if failed or not batch:
                continue
            try:
                self._role.client("logs").put_log_events(
                    logGroupName=self._group,
                    logStreamName=self._stream,
                    logEvents=[{"timestamp": at, "message": line} for at, line in batch],
                )
            except Exception as error:
                # Whatever it is: a writer that ended here would leave a job without its log, and
                # nobody would hear of it.
                failed = True
                self._on_failure(self._role.failure(error, "logs:PutLogEvents", self.arn))

    def _batch(
        self, carried: tuple[int, str] | None, last: bool
    ) -> tuple[list[tuple[int, str]], tuple[int, str] | None, bool]:
        """Wait for a line, then take what comes within a moment, up to CloudWatch's limits."""
        batch: list[tuple[int, str]] = []
        size, until = 0, 0.0
        while True:
            if carried is not None:
                item: tuple[int, str] | None = carried
                carried = None
            elif last:
                return batch, None, True
            else:
                try:
                    wait = None if not batch else max(until - time.monotonic(), 0.0)
                    item = self._lines.get(timeout=wait)
                except queue.Empty:
                    return batch, None, False
            if item is None:
                last = True
                continue
            cost = len(item[1].encode()) + _EVENT_OVERHEAD
            if batch and (size + cost > _BATCH_BYTES or len(batch) == _BATCH_EVENTS):
                return batch, item, last
            if not batch:
                until = time.monotonic() + _BATCH_SECONDS
            batch.append(item)
            size += cost
