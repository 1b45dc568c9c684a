import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.platform.home import Home
from local.sagemaker.notebooks import volumes
from tests.platform import SMP, Deployed, LocalPlatform, another, free_port, run_smp


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "home"
    yield made
    run_smp(made, ["down", "--yes"], 60)


def processes_of(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            near = [*process.cmdline(), process.cwd(), *process.environ().values()]
        except psutil.Error:
            continue
        if any(str(home) in text for text in near):
            found.append(process)
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come about"
        time.sleep(0.05)


def test_up_refuses_a_taken_port_and_names_who_holds_it(home: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        result = run_smp(home, ["up", "--port", str(port)], 30)
    assert result.returncode == 1
    assert f"Port {port} is taken by" in result.stderr
    assert f"process {os.getpid()}" in result.stderr
    assert "smp up --port" in result.stderr
    assert "Traceback" not in result.stderr
    assert not home.exists()


def test_commands_say_that_no_platform_runs(home: Path) -> None:
    for command in (["status"], ["env"], ["invoke", "digits", "--body", "1"]):
        result = run_smp(home, command, 30)
        assert result.returncode == 1
        assert "smp up" in result.stderr
    assert run_smp(home, ["down"], 30).returncode == 0


def test_ctrl_c_during_up_leaves_nothing(home: Path) -> None:
    process = subprocess.Popen(
        [SMP, "up", "--port", str(free_port())],
        env={**os.environ, "SMP_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: (home / "credentials.json").exists())
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Interrupted" in said
    assert processes_of(home) == []
    assert not home.exists()


def test_a_server_that_dies_during_up_is_told_with_its_log(home: Path) -> None:
    process = subprocess.Popen(
        [SMP, "up", "--port", str(free_port())],
        env={**os.environ, "SMP_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for((home / "server.json").exists)
    os.kill(json.loads((home / "server.json").read_text())["pid"], signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Failed:" in said
    assert "server.log" in said
    assert "Traceback" not in said
    assert processes_of(home) == []


def test_stop_keeps_everything_for_the_next_up_and_down_removes_every_file(
    deployed: Deployed, tmp_path: Path
) -> None:
    with another(deployed, tmp_path) as own:
        home = own.home
        assert (home / "credentials.json").stat().st_mode & 0o077 == 0
        key = (home / "credentials.json").read_text()
        stopped = run_smp(home, ["stop"], 60)
        assert stopped.returncode == 0, stopped.stderr
        assert processes_of(home) == []
        assert "smp up" in run_smp(home, ["status"], 30).stderr
        assert run_smp(home, ["stop"], 60).stderr == "No platform runs here.\n"
        # The server's own log is there to be read without it.
        assert run_smp(home, ["logs"], 30).returncode == 0
        again = run_smp(home, ["up", "--json"])
        assert again.returncode == 0, again.stderr
        assert "sagemaker-platform-local" not in again.stderr, "nothing was left to deploy"
        assert json.loads(again.stdout)["url"] == own.endpoint_url
        assert (home / "credentials.json").read_text() == key
        stacks = json.loads(run_smp(home, ["status", "--json"], 60).stdout)["stacks"]
        assert {one["status"] for one in stacks} == {"CREATE_COMPLETE"}
        assert processes_of(home)
        assert run_smp(home, ["down", "--yes"], 60).returncode == 0
        assert processes_of(home) == []
        assert not home.exists()


def test_a_second_up_finds_the_first_and_deploys_nothing(platform: LocalPlatform) -> None:
    before = json.loads((platform.home / "server.json").read_text())
    result = platform.smp("up")
    assert result.returncode == 0, result.stderr
    assert "found and brought up to date" in result.stderr
    assert "sagemaker-platform-local-network" not in result.stderr
    assert json.loads((platform.home / "server.json").read_text()) == before


def test_up_with_another_port_says_where_the_platform_is(platform: LocalPlatform) -> None:
    result = platform.smp("up", "--port", "4599")
    assert result.returncode == 1
    assert "runs already" in result.stderr
    assert "smp down" in result.stderr


def test_the_printed_environment_points_a_shell_at_the_platform(platform: LocalPlatform) -> None:
    shell = platform.smp("env").stdout
    ask = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    code = f"{shell}\n{shlex.quote(sys.executable)} -c {shlex.quote(ask)}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    answer = subprocess.check_output(["sh", "-c", code], text=True, env=clean)
    assert answer.strip() == "arn:aws:iam::000000000000:user/smp-administrator"
    document = json.loads(platform.smp("env", "--format", "json").stdout)
    assert document["AWS_ENDPOINT_URL"] == platform.endpoint_url
    assert f"set -gx AWS_REGION {document['AWS_REGION']};" in (
        platform.smp("env", "--format", "fish").stdout
    )


def test_status_shows_the_server_and_every_stack(platform: LocalPlatform) -> None:
    result = platform.smp("status")
    assert result.returncode == 0, result.stderr
    assert platform.endpoint_url in result.stdout
    for part in ("network", "storage", "images", "governance", "training", "endpoint-digits"):
        assert f"sagemaker-platform-local-{part}" in result.stdout


# What a shell may have left over of other accounts and of the office.
LEFT_OVER = {
    **dict.fromkeys(("AWS_PROFILE", "AWS_DEFAULT_PROFILE"), "name-that-is-not-in-the-config"),
    **dict.fromkeys(("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"), "left-over-from-sso"),
    **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"),
    **dict.fromkeys(("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SAGEMAKER"), "http://127.0.0.1:9"),
    **dict.fromkeys(
        (
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
            "AWS_USE_FIPS_ENDPOINT",
            "AWS_USE_DUALSTACK_ENDPOINT",
        ),
        "true",
    ),
    "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z",
    "AWS_CA_BUNDLE": "/nonsense",
    "AWS_CONFIG_FILE": __file__,
    "AWS_SHARED_CREDENTIALS_FILE": __file__,
}


def test_what_the_shell_has_left_over_hinders_neither_smp_nor_a_shell_that_takes_its_output_in(
    platform: LocalPlatform,
) -> None:
    kept = {name: value for name, value in os.environ.items() if name.upper() != "NO_PROXY"}
    given = kept | LEFT_OVER | {"SMP_HOME": str(platform.home)}
    ask = "import boto3; boto3.client('sagemaker').list_training_jobs(); print('answered')"
    code = f"""
        {shlex.quote(str(SMP))} status --json && {shlex.quote(str(SMP))} quota --json >&2
        eval "$({shlex.quote(str(SMP))} env)"
        {shlex.quote(sys.executable)} -c {shlex.quote(ask)} >&2
    """
    said = subprocess.run(
        ["sh", "-ec", code], capture_output=True, text=True, env=given, check=False
    )
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["url"] == platform.endpoint_url
    assert said.stderr.endswith("answered\n")


def test_status_for_programs_has_what_the_page_says_and_the_costs(platform: LocalPlatform) -> None:
    document = json.loads(platform.smp("status", "--json").stdout)
    shape = {"account", "confinement", "endpoints", "home", "memory_bytes", "notebooks"}
    shape |= {"prices_as_of", "process", "processes", "region", "stacks", "started"}
    shape |= {"training_jobs", "unknown_prices", "url", "usd_per_hour"}
    assert document.keys() == shape
    (workbench,) = (one for one in document["notebooks"] if one["name"].endswith("-workbench"))
    assert workbench["owner"] == "ml-platform"
    assert workbench["created"].endswith("Z")
    # 0.05 an hour while it runs, and 20 GB at 0.14 a month.
    volume = 20 * 0.14 / 730
    running = workbench["status"] == "InService"
    assert workbench["usd_per_hour"] == pytest.approx(volume + (0.05 if running else 0), abs=1e-5)
    page = (Path(__file__).parents[2] / "docs" / "smp.md").read_text()
    for name in (*shape, *workbench):
        assert f"`{name}`" in page, name


def test_the_volume_of_a_notebook_is_where_smp_down_looks(platform: LocalPlatform) -> None:
    name = platform.parameter("notebooks/workbench/name")
    home = Home(platform.home)
    mine = home.notebooks / name / "home" / "SageMaker" / "mine-of-the-cli.txt"
    mine.write_text("work")
    try:
        assert mine.name in volumes.changed(home.notebooks)[name]
    finally:
        mine.unlink()


def test_what_is_piped_has_each_row_on_a_line_of_its_own(platform: LocalPlatform) -> None:
    quotas = json.loads(platform.smp("quota", "--all", "--json").stdout)
    lines = platform.smp("quota", "--all").stdout.splitlines()
    assert len(lines) == 1 + len(quotas)
    longest = max((one["name"] for one in quotas), key=len)
    assert sum(longest in line for line in lines) >= 1
    assert max(map(len, lines)) > 80


def test_invoke_of_an_endpoint_that_is_not_there_says_so(platform: LocalPlatform) -> None:
    result = platform.smp("invoke", "nothing", "--body", "1,2")
    assert result.returncode == 1
    assert "sagemaker-platform-local-nothing" in result.stderr
    assert "smp status" in result.stderr
    assert "Traceback" not in result.stderr


def test_deploying_to_an_endpoint_that_is_not_there_names_those_that_are(
    platform: LocalPlatform,
) -> None:
    arn = "arn:aws:sagemaker:us-east-1:000000000000:model-package/digits/1"
    result = platform.smp("deploy", arn, "nothing")
    assert result.returncode == 1
    assert "has no endpoint nothing; it has digits" in result.stderr


def test_a_request_that_is_refused_is_told_with_the_reason(
    platform: LocalPlatform, tmp_path: Path
) -> None:
    request = tmp_path / "request.json"
    channels = {"train": {"s3_uri": "s3://{data_bucket}/nothing/"}}
    request.write_text(json.dumps({"algorithm": "xgbost", "channels": channels}))
    result = platform.smp("train", str(request))
    assert result.returncode == 1
    assert "xgboost" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_request_that_is_no_json_names_the_place(platform: LocalPlatform, tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text('{"algorithm": }')
    result = platform.smp("train", str(request))
    assert result.returncode == 1
    assert "line 1 column 15" in result.stderr


def test_logs_of_an_unknown_name_say_where_names_are(platform: LocalPlatform) -> None:
    result = platform.smp("logs", "no-such-job")
    assert result.returncode == 1
    assert "smp status" in result.stderr
