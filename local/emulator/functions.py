"""Functions run isolated, fail with their own error type, and log with their own role."""

import functools
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import psutil

from local.confinement import Confinement, offered
from local.emulator import confined, forking, function_output, identity, unpacked
from local.emulator.environment import ACCOUNT, REGION, Settings

SERVICE = "lambda.amazonaws.com"

# What AWS's own runtime brings; a function must ship everything else.
RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3")
RUNTIME_MODULES = ("six",)
_last = threading.local()
# The last process of each worker; ministack forgets it once it has died.
_processes: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
_logger = logging.getLogger("smp.functions")

_PRELUDE = """
import sys as _smp_sys
_smp_sys.path.append({packages!r})
"""
_INIT_FAILED = '_real_stdout.write(json.dumps({"status": "error", "error": str(e)}) + "\\n")'
_INIT_FAILED_TYPED = (
    '_real_stdout.write(json.dumps({"status": "error", "error": _smp_init_error(module_name, e)})'
    ' + "\\n"); traceback.print_exc()'
)
_FAILED = '"error": str(e), "trace": traceback.format_exc()}'
_FAILED_TYPED = (
    '"error": str(e), "errorType": type(e).__name__, "stackTrace": '
    'traceback.format_tb(e.__traceback__), "trace": traceback.format_exc()}'
)
_HELPERS = """
def _smp_init_error(module, error):
    import json
    kind, text = type(error).__name__, str(error)
    if isinstance(error, ImportError):
        kind, text = "Runtime.ImportModuleError", f"Unable to import module '{module}': {text}"
    elif isinstance(error, AttributeError) and "has no attribute" in text:
        kind, text = "Runtime.HandlerNotFound", text
    elif isinstance(error, SyntaxError):
        kind = "Runtime.UserCodeSyntaxError"
    return json.dumps({"errorType": kind, "errorMessage": text})
"""
_INIT_PREFIX = "Worker init failed: "
# What ministack says when a process ended before it answered, as it started or later.
_DIED = ("Worker process died", "Worker process exited immediately", "[Errno 32]")


def install(settings: Settings) -> None:
    """Replace the Python worker and everything that describes its failures."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    function_output.install()
    packages = _runtime_packages(settings.state / "runtime")
    detect = lambda_runtime._detect_runtime_binary
    run = lambda_runtime.Worker.invoke
    spawn = lambda_runtime.Worker._spawn
    warm = lambda_svc._execute_function_warm
    emit = lambda_svc._emit_lambda_logs
    reap_surplus = lambda_runtime.reap_idle_workers
    script = python_worker(lambda_runtime._PYTHON_WORKER_SCRIPT, packages)

    @functools.wraps(detect)
    def detected(runtime: str) -> tuple[str, str]:
        return (sys.executable, script) if runtime.startswith("python") else detect(runtime)

    @functools.wraps(spawn)
    def spawned(worker: Any) -> None:
        try:
            spawn(worker)
        finally:
            _processes[worker] = worker._proc

    @functools.wraps(run)
    def ran(worker: Any, *args: Any, **kwargs: Any) -> Any:
        _last.worker = worker
        _last.answer = run(worker, *args, **kwargs)
        return _last.answer

    @functools.wraps(warm)
    def executed(func: Any, event: Any, request_id: str) -> Any:
        _last.answer = _last.worker = None
        outcome = warm(func, event, request_id)
        process = _processes.get(_last.worker) if _last.worker is not None else None
        return _described(outcome, _last.answer, process, request_id)

    @functools.wraps(emit)
    def emitted(func: Any, request_id: str, log_text: str, *args: Any, **kwargs: Any) -> None:
        config = func.get("config") or func
        reason = log_refusal(config)
        if reason:
            _logger.info("%s does not log: %s", config.get("FunctionName"), reason)
            return
        emit(func, request_id, log_text, *args, **kwargs)

    @functools.wraps(reap_surplus)
    def reaped(*args: Any, **kwargs: Any) -> int:
        return int(reap_surplus(*args, **kwargs)) + end_idle(lambda_runtime._LOCAL_WORKER_TTL)

    lambda_svc.reap_idle_workers = reaped
    lambda_runtime._detect_runtime_binary = detected
    lambda_runtime.Worker._spawn = spawned
    lambda_runtime.Worker.invoke = ran
    parent = forking.Parent(packages) if forking.POSSIBLE else None
    if parent is not None:
        parent.start()
    confinement = Confinement(offered(), settings.state.parent, reads=[Path(packages)])
    confined.install(confined.Starter(confinement, parent, (*RUNTIME_PACKAGES, *RUNTIME_MODULES)))
    unpacked.install(confinement.offer)
    lambda_svc._execute_function_warm = executed
    lambda_svc._emit_lambda_logs = emitted


def python_worker(script: str, packages: Path) -> str:
    """The worker's script with AWS's packages behind the function's, and typed failures.

    Raises:
        RuntimeError: when the script no longer has the lines that are replaced.
    """
    for line in (_INIT_FAILED, _FAILED):
        if line not in script:
            raise RuntimeError(
                f"ministack's Python worker no longer holds {line!r}: see {__name__}"
            )
    return (
        _PRELUDE.format(packages=str(packages))
        + _HELPERS
        + function_output.marking(script)
        .replace(_INIT_FAILED, _INIT_FAILED_TYPED)
        .replace(_FAILED, _FAILED_TYPED)
    )


def _runtime_packages(folder: Path) -> Path:
    """A folder with links to what AWS's Python runtime ships, and nothing else of this one."""
    import importlib.util

    folder.mkdir(parents=True, exist_ok=True)
    for name in (*RUNTIME_PACKAGES, *RUNTIME_MODULES):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise RuntimeError(f"{name} is not installed beside ministack")
        origin = Path(spec.origin)
        source = origin.parent if name in RUNTIME_PACKAGES else origin
        link = folder / source.name
        if link.is_symlink():
            link.unlink()
        link.symlink_to(source)
    return folder


def _described(
    outcome: dict[str, Any], answer: Any, process: Any, request_id: str
) -> dict[str, Any]:
    """A failure as AWS's runtime describes it."""
    import json

    body = outcome.get("body")
    if not outcome.get("error") or not isinstance(body, dict):
        return outcome
    message = str(body.get("errorMessage", ""))
    if message.startswith(_INIT_PREFIX):
        body = json.loads(message.removeprefix(_INIT_PREFIX))
        return {
            **outcome,
            "body": {**body, "requestId": request_id, "stackTrace": []},
            "log": f"[ERROR] {body['errorType']}: {body['errorMessage']}",
        }
    if message.startswith(_DIED) and not (answer or {}).get("errorType"):
        message = f"RequestId: {request_id} Error: {_ending(process)}"
        return {
            **outcome,
            "body": {"errorType": "Runtime.ExitError", "errorMessage": message},
            "log": f"{outcome.get('log', '')}\n{message}\nRuntime.ExitError".lstrip(),
        }
    if isinstance(answer, dict) and answer.get("errorType"):
        body = {
            **body,
            "errorType": answer["errorType"],
            "requestId": request_id,
            "stackTrace": answer.get("stackTrace", []),
        }
    return {**outcome, "body": body}


def _ending(process: Any) -> str:
    """How a process ended, as AWS tells it."""
    code = process.poll() if process is not None else None
    if not code:
        return "Runtime exited without providing a reason"
    if code < 0:
        return f"Runtime exited with error: signal: {str(signal.strsignal(-code)).lower()}"
    return f"Runtime exited with error: exit status {code}"


def end_idle(seconds: float) -> int:
    """End the workers that nothing asked for so long, also a function's only one; how many."""
    from ministack.core import lambda_runtime

    pools, since = lambda_runtime._workers, time.time() - seconds
    with lambda_runtime._lock:
        idle = [
            worker
            for pool in pools.values()
            for worker in pool
            if not worker.in_use and worker.last_used < since
        ]
        for key in [*pools]:
            pools[key] = [worker for worker in pools[key] if worker not in idle]
            if not pools[key]:
                del pools[key]
    lambda_runtime.kill_workers(idle)
    return len(idle)


def kill_caller(port: int) -> bool:
    """Kill the function whose connection comes from this port of the host; whether there is one."""
    for process in _at_work():
        try:
            ports = {found.laddr.port for found in psutil.Process(process.pid).net_connections()}
        except psutil.Error:
            continue
        if port in ports:
            process.kill()
            return True
    return False


def _at_work() -> Iterator[Any]:
    """The processes of functions that are being called."""
    from ministack.core import lambda_runtime

    with lambda_runtime._lock:
        workers = [one for pool in lambda_runtime._workers.values() for one in pool if one.in_use]
    for worker in workers:
        process = worker._proc
        if process is not None and process.poll() is None:
            yield process


def log_refusal(config: Mapping[str, Any]) -> str:
    """Why a function's role may not write its log; empty when it may.

    On AWS the function runs all the same, and its output is lost.
    """
    from ministack.services import cloudwatch_logs

    name = config.get("FunctionName", "")
    group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"
    try:
        key, _, _ = identity.session(str(config.get("Role", "")), SERVICE, str(name)[:64])
        if group not in cloudwatch_logs._log_groups:
            identity.authorize(key, "logs:CreateLogGroup", f"{arn}:*")
        identity.authorize(key, "logs:CreateLogStream", f"{arn}:log-stream:new")
        identity.authorize(key, "logs:PutLogEvents", f"{arn}:log-stream:new")
    except (identity.Denied, identity.NotAssumable) as error:
        return str(error)
    return ""
