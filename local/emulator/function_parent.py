"""The process that Python functions are forked from; a script, started by `forking`.

It imports boto3 and reads AWS's descriptions of some services once, so that a function neither
waits for that nor holds it alone, as it would in a process of its own. It runs no code of a
function: each has its own process, its own environment and what it imports itself.
"""

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

# What the functions of a training platform call; others read a description when they need it.
SERVICES = (
    "cloudformation",
    "dynamodb",
    "logs",
    "s3",
    "sagemaker",
    "sagemaker-runtime",
    "sns",
    "stepfunctions",
)
_MESSAGE = 16
_ENFORCE = Path(__file__).parents[1] / "confinement" / "enforce.py"


def _module(path: Path) -> Any:
    """A module by its path: nothing of the platform can be imported here."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


enforce = _module(_ENFORCE)


def preload() -> None:
    """Import what clients are made of, and keep what boto3 reads for the first who asks for it."""
    import boto3
    from botocore.loaders import JSONFileLoader

    read: dict[str, Any] = {}
    loaders: Any = JSONFileLoader
    load = loaders.load_file

    def reading(loader: Any, path: str) -> Any:
        read[path] = load(loader, path)
        return read[path]

    def handing(loader: Any, path: str) -> Any:
        # Once: sessions may change what they have read, and must not see each other's changes.
        return read.pop(path) if path in read else load(loader, path)

    loaders.load_file = reading
    session: Any = boto3.session.Session(
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",  # noqa: S106
    )
    for service in SERVICES:
        session.client(service, endpoint_url="http://127.0.0.1:1")
    loaders.load_file = handing
    del session
    # What is never collected is never written to, and stays shared.
    gc.collect()
    gc.freeze()


def next_function(control: socket.socket, packages: str) -> str:
    """Fork for each request; the script to run is given back in the forked process alone."""
    watch, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # The server ends this process by closing its end, also when a terminal interrupts both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(watch, select.POLLIN)
    running: dict[int, int] = {}
    while True:
        ready = {number for number, _ in poll.poll()}
        if watch in ready:
            os.read(watch, 4096)
            _report(running)
        if control.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, _MESSAGE, 5)
        if not message:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            # Read here and not before: what is in the parent's memory, all functions could find.
            with os.fdopen(descriptors[4], "rb") as file:
                file.seek(0)
                request = json.load(file)
            return _become(request, descriptors[:3], packages)
        status = descriptors[3]
        os.write(status, f"{pid}\n".encode())
        running[pid] = status
        for descriptor in (*descriptors[:3], descriptors[4]):
            os.close(descriptor)


def _report(running: dict[int, int]) -> None:
    """Tell the server of each process that has ended."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        descriptor = running.pop(pid)
        with contextlib.suppress(BrokenPipeError):
            os.write(descriptor, f"{status}\n".encode())
        os.close(descriptor)


def _become(request: dict[str, Any], streams: list[int], packages: str) -> str:
    """Turn into the process that the server would have started by itself."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    if request["confinement"]:
        try:
            enforce.confine(request["confinement"])
        except OSError as error:
            sys.stderr.write(f"This function cannot be confined, and is not started: {error}\n")
            sys.stderr.flush()
            os._exit(enforce.CANNOT_CONFINE)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])
    script: str = request["script"]
    sys.argv = [script]
    sys.path.remove(packages)
    importlib.invalidate_caches()
    return script


def main() -> None:
    """Serve requests; the end of a function's script is the end of its process."""
    number, packages = sys.argv[1:]
    sys.path.append(packages)
    preload()
    script = next_function(socket.socket(fileno=int(number)), packages)
    module = ModuleType("__main__")
    module.__file__ = script
    sys.modules["__main__"] = module
    source = Path(script).read_text(encoding="utf-8")
    exec(compile(source, script, "exec"), module.__dict__)  # noqa: S102


if __name__ == "__main__":
    main()
