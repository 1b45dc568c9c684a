import importlib
import json
import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from ministack.core import lambda_runtime
from ministack.core.lambda_runtime import _PYTHON_WORKER_SCRIPT, Worker

from local.emulator import function_output, functions
from local.emulator.functions import python_worker

from .conftest import ACCOUNT, Server, allow, eventually, zipped

LOGS = allow("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
SEES = """
import importlib, os, sys
def handler(event, context):
    print("line of", event["module"])
    importlib.import_module(event["module"])
    return {"endpoint": os.environ["AWS_ENDPOINT_URL"], "auth": os.environ.get("AUTH")}
"""


def made(
    server: Server,
    name: str,
    source: str,
    *statements: dict[str, Any],
    others: dict[str, str] | None = None,
) -> Any:
    role = server.role(name, "lambda.amazonaws.com", *statements)
    server.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="index.handler",
        Role=role,
        Code={"ZipFile": zipped(source, **(others or {}))},
    )

    def invoke(**event: Any) -> Any:
        answer = server.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
        return json.load(answer["Payload"])

    return invoke


def test_a_function_sees_boto3_and_the_endpoint_and_nothing_else_of_this_environment(
    server: Server,
) -> None:
    invoke = made(server, "fn-sees", SEES, LOGS)
    assert invoke(module="boto3") == {"endpoint": server.url, "auth": None}
    failed = invoke(module="pydantic")
    assert failed["errorType"] == "ModuleNotFoundError"
    assert failed["stackTrace"]


def test_a_missing_import_at_start_reads_as_on_aws(server: Server) -> None:
    invoke = made(server, "fn-import", "import pydantic\ndef handler(e, c): pass\n", LOGS)
    failed = invoke()
    assert failed["errorType"] == "Runtime.ImportModuleError"
    assert failed["errorMessage"] == "Unable to import module 'index': No module named 'pydantic'"


def test_a_function_logs_only_when_its_role_may(server: Server) -> None:
    logs = server.client("logs")

    def groups(name: str) -> int:
        found = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")
        return len(found["logGroups"])

    made(server, "fn-loud", SEES, LOGS)(module="json")
    eventually(lambda: groups("fn-loud"), lambda n: n == 1)
    events = logs.filter_log_events(logGroupName="/aws/lambda/fn-loud")["events"]
    assert any("line of json" in event["message"] for event in events)
    made(server, "fn-mute", SEES, allow("s3:GetObject"))(module="json")
    assert groups("fn-mute") == 0


PRINTS = """
import os, sys
def handler(event, context):
    for number in range(event["lines"]):
        print(event["call"], number, "x" * 500)
    sys.stderr.write(event["call"] + " unended")
    if event["dies"]:
        sys.stderr.flush()
        os._exit(1)
"""


def test_all_that_a_call_prints_is_in_its_own_log(server: Server) -> None:
    name = "fn-prints"
    invoke = made(server, name, PRINTS, LOGS)
    # More than is read while ministack would wait for it.
    for call, lines, dies in (("first", 5000, False), ("second", 3, False), ("third", 3, True)):
        invoke(call=call, lines=lines, dies=dies)
    logs = server.client("logs")
    group = f"/aws/lambda/{name}"
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    found: dict[str, list[str]] = {}
    for page in pages:
        for event in page["events"]:
            found.setdefault(event["logStreamName"], []).append(event["message"])
    said = {
        lines[1].split()[0]: [line for line in lines if not re.match("START|END|REPORT", line)]
        for lines in found.values()
    }
    assert said.keys() == {"first", "second", "third"}
    for call, lines in (("first", 5000), ("second", 3), ("third", 3)):
        printed = [f"{call} {number} {'x' * 500}" for number in range(lines)]
        assert said[call][: lines + 1] == [*printed, f"{call} unended"]
    assert [len(said[call]) for call in ("first", "second")] == [5001, 4]


@pytest.mark.parametrize("others", [{}, {"six.py": ""}], ids=["forked", "of its own"])
def test_output_that_is_no_text_is_in_the_log_and_so_is_what_follows(
    server: Server, others: dict[str, str]
) -> None:
    name = f"fn-bytes-{len(others)}"
    source = """
import os
def handler(event, context):
    os.write(2, b"no \\xff text\\n")
    print("text")
"""
    made(server, name, source, LOGS, others=others)()
    events = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert [event["message"] for event in events][1:3] == ["no \ufffd text", "text"]


def test_a_call_waits_for_its_output_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("invoke", "_drain_stderr_bounded", "_drain_stderr"):
        monkeypatch.setattr(Worker, name, getattr(Worker, name))
    function_output.install()
    worker = Worker("f", {"Runtime": "python3.13"}, b"")
    worker.smp_request = "2"
    worker._proc = SimpleNamespace(poll=lambda: None)
    marks = [f"{function_output._MARK}{request}" for request in (1, 2)]

    def read() -> None:
        # Longer than ministack waits at all.
        time.sleep(0.3)
        for line in (marks[0], "late", marks[1], "of the next call"):
            worker._stderr_queue.put(line)

    worker._stderr_thread = threading.Thread(target=read)
    worker._stderr_thread.start()
    assert worker._drain_stderr_bounded() == "late"
    assert worker._drain_stderr_bounded() == "of the next call"


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        ("os._exit(3)", "Runtime exited with error: exit status 3"),
        ("os._exit(0)", "Runtime exited without providing a reason"),
    ],
    ids=["killed", "exit 3", "exit 0"],
)
@pytest.mark.parametrize("when", ["at start", "at work"])
def test_a_function_that_dies_without_an_answer_reads_as_on_aws(
    server: Server, end: str, words: str, when: str
) -> None:
    source = f"import os, signal\n{end}\n"
    if when == "at work":
        source = f"import os, signal\ndef handler(event, context):\n    {end}\n"
    failed = made(server, f"fn-dies-{uuid4().hex[:8]}", source, LOGS)()
    assert failed["errorType"] == "Runtime.ExitError"
    assert re.fullmatch(f"RequestId: [0-9a-f-]{{36}} Error: {words}", failed["errorMessage"])
    assert failed.keys() == {"errorType", "errorMessage"}


def test_workers_end_when_they_are_idle_too_long_also_a_functions_only_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = {"FunctionArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f"}
    made = [Worker("f", config, b"") for _ in range(3)]
    idle, fresh, busy = made
    now = time.time()
    idle.last_used, fresh.last_used, busy.last_used = now - 400, now - 200, now - 400
    busy.in_use = True
    pools = {"one": [idle], "two": [fresh, busy]}
    monkeypatch.setattr(lambda_runtime, "_workers", pools)
    assert functions.end_idle(300) == 1
    assert pools == {"two": [fresh, busy]}


def test_a_function_that_ships_boto3_or_shadows_the_standard_library_gets_its_own(
    server: Server,
) -> None:
    source = "import boto3, os\ndef handler(event, context): return [boto3.__file__, os.getppid()]"
    shared = made(server, "fn-shared", source, LOGS)()
    assert "runtime/boto3" in shared[0]
    own = made(server, "fn-own", source, LOGS, others={"boto3.py": "", "json.py": "raise"})()
    assert own[0].endswith("code/boto3.py")
    assert own[1] == server.process.pid


CALLS = """
import boto3
def handler(event, context):
    boto3.client("sagemaker").create_model_package_group(ModelPackageGroupName=event["group"])
    return "answered"
"""


def test_the_fault_kills_the_one_worker_that_called_after_its_call_took_effect(
    server: Server,
) -> None:
    invoke = made(server, "fn-killed", CALLS, LOGS, allow("sagemaker:*"))
    assert invoke(group="before") == "answered"
    server.post("/_smp/faults", {"kill_caller": {"CreateModelPackageGroup": 1}})
    failed = invoke(group="killed")
    assert failed["errorType"] == "Runtime.ExitError"
    assert failed["errorMessage"].endswith("signal: killed")
    sagemaker = server.client("sagemaker")
    assert sagemaker.describe_model_package_group(ModelPackageGroupName="killed")
    assert invoke(group="after") == "answered"


def test_the_fault_that_kills_callers_tells_one_that_is_no_function(server: Server) -> None:
    server.post("/_smp/faults", {"kill_caller": {"CreateModelPackageGroup": 1}})
    sagemaker = server.client("sagemaker", config=Config(retries={"total_max_attempts": 1}))
    with pytest.raises(ClientError, match="this caller is no function"):
        sagemaker.create_model_package_group(ModelPackageGroupName="plain")


def test_a_worker_script_that_moved_is_noticed() -> None:
    assert "errorType" in python_worker(_PYTHON_WORKER_SCRIPT, Path("/packages"))
    with pytest.raises(RuntimeError, match="no longer holds"):
        python_worker("def run(): ...", Path("/packages"))


def test_whatever_starts_a_process_is_known() -> None:
    package = Path(lambda_runtime.__file__).parents[1]
    starts = re.compile(
        r"subprocess\.(Popen|run|call|check_\w+)\(|create_subprocess|os\.(exec|spawn)"
    )
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if starts.search(path.read_text(encoding="utf-8"))
    }
    confined = {
        "core/lambda_runtime.py",
        "core/node_pool.py",
        "services/glue.py",
        "services/lambda_svc.py",
    }
    # Scripts of whoever starts the server, and openssl: they run no caller's code.
    own = {"app.py", "core/tls.py"}
    assert found == confined | own
    for name in confined:
        module = importlib.import_module(f"ministack.{name.removesuffix('.py').replace('/', '.')}")
        assert hasattr(module, "subprocess")
