"""What a Python function prints is in the log of the call that printed it, and all of it.

ministack waits some milliseconds for output; on a busy machine that loses lines, or takes them for
the next call's. Here the end of each call is marked in the output itself.
"""

import functools
import queue
import time
from typing import Any

_MARK = "\0end of call "
# How long to wait for the mark of a process that ended, while another holds its output open, and of
# one that closed its output.
_GONE_SECONDS = 1.0
_SILENT_SECONDS = 5.0
_CALL = "            result = handler_fn(event, context)\n"
_MARKED_CALL = """\
            try:
                result = handler_fn(event, context)
            finally:
                _smp_end(_ms_ctx.get("request_id"))
"""
_HELPER = f"""
import os as _smp_os, sys as _smp_sys
_smp_stderr = _smp_sys.stderr
def _smp_end(request):
    for stream in (_smp_sys.stdout, _smp_sys.stderr, _smp_stderr):
        try:
            stream.flush()
        except Exception:
            pass
    try:
        _smp_os.write(2, ({_MARK!r} + str(request) + "\\n").encode())
    except OSError:
        pass
"""


def marking(script: str) -> str:
    """Let ministack's Python worker mark in its output where each call ends.

    Raises:
        RuntimeError: when the script no longer has the line that is replaced.
    """
    if _CALL not in script:
        raise RuntimeError(f"ministack's Python worker no longer holds {_CALL!r}: see {__name__}")
    return _HELPER + script.replace(_CALL, _MARKED_CALL)


def install() -> None:
    """Collect the output of Python functions up to the mark of their call."""
    from ministack.core.lambda_runtime import Worker

    invoke = Worker.invoke
    collect = Worker._drain_stderr_bounded
    collect_at_once = Worker._drain_stderr

    @functools.wraps(invoke)
    def invoked(worker: Any, event: Any, request_id: str, **given: Any) -> Any:
        worker.smp_request = request_id
        return invoke(worker, event, request_id, **given)

    @functools.wraps(collect)
    def collected(worker: Any, *args: Any, **kwargs: Any) -> str:
        if not str(worker.config.get("Runtime", "")).startswith("python"):
            return str(collect(worker, *args, **kwargs))
        return _until_end(worker)

    @functools.wraps(collect_at_once)
    def collected_at_once(worker: Any) -> str:
        lines = collect_at_once(worker).split("\n")
        return "\n".join(line for line in lines if _MARK not in line)

    Worker.invoke = invoked
    Worker._drain_stderr_bounded = collected
    Worker._drain_stderr = collected_at_once


def _until_end(worker: Any) -> str:
    """All lines up to the mark; without one, what there is once no more can come."""
    lines: list[str] = []
    began = time.monotonic()
    while True:
        try:
            line = worker._stderr_queue.get(timeout=0.02)
        except queue.Empty:
            process, reader = worker._proc, worker._stderr_thread
            gone = process is None or process.poll() is not None
            read_all = reader is None or not reader.is_alive()
            waited = time.monotonic() - began
            if (read_all and worker._stderr_queue.empty()) or waited > (
                _GONE_SECONDS if gone else _SILENT_SECONDS
            ):
                return "\n".join(lines)
            continue
        text, marked, request = line.partition(_MARK)
        if text or not marked:
            lines.append(text)
        if request == worker.smp_request:
            return "\n".join(lines)
