"""What is acknowledged is on disk; what cannot be written is refused; what is foreign, too."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.emulator.state_file import Delta, NotWritten, Row, RowId, StateFile, StateRefused
from local.emulator.state_rows import Touched, Unreadable, read, write

from .conftest import Server, allow, eventually, free_port, started, zipped

ONCE = Config(retries={"max_attempts": 0})
FUNCTION = "def handler(event, context):\n    print('seen')\n    return event['number'] + 1\n"


@contextmanager
def serving(state: Path, port: int) -> Iterator[Server]:
    server = started(state, port)
    try:
        yield server
    finally:
        kill(server)


def kill(server: Server) -> None:
    if server.process.poll() is None:
        children = psutil.Process(server.process.pid).children(recursive=True)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        for child in children:
            child.kill()


@contextmanager
def restarted(tmp_path: Path, prepare: Callable[[Server], Any]) -> Iterator[tuple[Server, Any]]:
    """A server that was killed after `prepare`, and what that gave."""
    port = free_port()
    with serving(tmp_path, port) as server:
        prepared = prepare(server)
    with serving(tmp_path, port) as server:
        yield server, prepared


def test_objects_come_back_with_versions_markers_and_parts(tmp_path: Path) -> None:
    long, part = random.Random(1).randbytes(300_000), random.Random(2).randbytes(5_500_000)

    def prepare(server: Server) -> tuple[str, str]:
        s3 = server.client("s3")
        s3.create_bucket(Bucket="bucket")
        s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        for body in (long, b"short"):
            s3.put_object(Bucket="bucket", Key="versioned", Body=body)
        s3.put_object(Bucket="bucket", Key="deleted", Body=long)
        s3.delete_object(Bucket="bucket", Key="deleted")
        upload = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
        first = s3.upload_part(
            Bucket="bucket", Key="parts", UploadId=upload, PartNumber=1, Body=part
        )
        return upload, first["ETag"]

    with restarted(tmp_path, prepare) as (server, (upload, first)):
        s3 = server.client("s3")
        assert s3.get_object(Bucket="bucket", Key="versioned")["Body"].read() == b"short"
        old, *_ = (
            one
            for one in s3.list_object_versions(Bucket="bucket", Prefix="versioned")["Versions"]
            if not one["IsLatest"]
        )
        found = s3.get_object(Bucket="bucket", Key="versioned", VersionId=old["VersionId"])
        assert found["Body"].read() == long
        listed = s3.list_object_versions(Bucket="bucket", Prefix="deleted")
        assert listed["DeleteMarkers"][0]["IsLatest"]
        with pytest.raises(ClientError, match="NoSuchKey"):
            s3.get_object(Bucket="bucket", Key="deleted")
        second = s3.upload_part(
            Bucket="bucket", Key="parts", UploadId=upload, PartNumber=2, Body=b"end"
        )
        s3.complete_multipart_upload(
            Bucket="bucket",
            Key="parts",
            UploadId=upload,
            MultipartUpload={
                "Parts": [
                    {"PartNumber": 1, "ETag": first},
                    {"PartNumber": 2, "ETag": second["ETag"]},
                ]
            },
        )
        assert s3.get_object(Bucket="bucket", Key="parts")["Body"].read() == part + b"end"


def test_contents_lie_on_disk_once_and_go_with_their_objects(tmp_path: Path) -> None:
    long = random.Random(3).randbytes(300_000)
    with serving(tmp_path, free_port()) as server:
        s3, bodies = server.client("s3"), tmp_path / "emulator" / "bodies"
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="x", Body=long)
        assert [file.read_bytes() for file in bodies.iterdir()] == [long]
        state = (tmp_path / "emulator" / "state.sqlite-wal").read_bytes()
        assert long[:4096] not in state
        s3.delete_object(Bucket="bucket", Key="x")
        assert [*bodies.iterdir()] == []


def test_keys_functions_logs_and_subscriptions_go_on_working(tmp_path: Path) -> None:
    def prepare(server: Server) -> dict[str, Any]:
        kms = server.client("kms")
        signing = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        role = server.role("f", "lambda.amazonaws.com", allow("logs:*"))
        server.client("lambda").create_function(
            FunctionName="f",
            Runtime="python3.13",
            Handler="index.handler",
            Role=role,
            Code={"ZipFile": zipped(FUNCTION, **{"filler.txt": "x" * 60_000})},
        )
        called = server.client("lambda").invoke(FunctionName="f", Payload=b'{"number": 1}')
        assert called["Payload"].read() == b"2"
        return {
            "signing": signing["KeyId"],
            "key": key,
            "secret": kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"],
        }

    with restarted(tmp_path, prepare) as (server, made):
        kms = server.client("kms")
        kms.sign(KeyId=made["signing"], Message=b"x", SigningAlgorithm="RSASSA_PSS_SHA_256")
        assert kms.decrypt(CiphertextBlob=made["secret"])["Plaintext"] == b"secret"
        called = server.client("lambda").invoke(FunctionName="f", Payload=b'{"number": 41}')
        assert called["Payload"].read() == b"42"
        events = server.client("logs").filter_log_events(logGroupName="/aws/lambda/f")["events"]
        assert sum("seen" in event["message"] for event in events) == 2


def test_an_execution_that_ran_has_failed_and_says_why(tmp_path: Path) -> None:
    definition = {
        "StartAt": "Wait",
        "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}},
    }

    def prepare(server: Server) -> str:
        states = server.client("stepfunctions")
        machine = states.create_state_machine(
            name="m",
            definition=json.dumps(definition),
            roleArn=server.role("m", "states.amazonaws.com", allow("logs:*")),
        )["stateMachineArn"]
        return str(states.start_execution(stateMachineArn=machine)["executionArn"])

    with restarted(tmp_path, prepare) as (server, execution):
        states = server.client("stepfunctions")
        found = eventually(
            lambda: states.describe_execution(executionArn=execution),
            lambda one: one["status"] != "RUNNING",
        )
        assert found["status"] == "FAILED"
        assert found["cause"] == "The local platform was stopped while the execution ran."
        last = states.get_execution_history(executionArn=execution)["events"][-1]
        assert last["type"] == "ExecutionFailed"


def test_scaling_comes_back_and_a_refused_change_of_it_is_none(tmp_path: Path) -> None:
    variant = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/e/variant/main",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    tracking = {
        "TargetValue": 70.0,
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
        },
    }

    def found(server: Server) -> list[Any]:
        scaling = server.client("application-autoscaling")
        return [
            scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"],
            scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"],
        ]

    def prepare(server: Server) -> list[Any]:
        scaling = server.client("application-autoscaling", config=ONCE)
        scaling.register_scalable_target(**variant, MinCapacity=1, MaxCapacity=3)
        scaling.put_scaling_policy(
            **variant,
            PolicyName="p",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=tracking,
        )
        process = psutil.Process(server.process.pid)
        process.rlimit(psutil.RLIMIT_FSIZE, (4096, psutil.RLIM_INFINITY))
        with pytest.raises(ClientError, match="could not write its state"):
            scaling.register_scalable_target(**variant, MinCapacity=1, MaxCapacity=9)
        return found(server)

    port = free_port()
    with serving(tmp_path, port) as server:
        made = prepare(server)
        assert (made[0][0]["MaxCapacity"], made[1][0]["PolicyName"]) == (3, "p")
    with serving(tmp_path, port) as server:
        assert found(server) == made
        scaling = server.client("application-autoscaling")
        scaling.delete_scaling_policy(**variant, PolicyName="p")
        scaling.deregister_scalable_target(**variant)
    with serving(tmp_path, port) as server:
        assert found(server) == [[], []]


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    long, port = random.Random(4).randbytes(300_000), free_port()
    with serving(tmp_path, port) as server:
        ssm, s3 = server.client("ssm", config=ONCE), server.client("s3", config=ONCE)
        iam = server.client("iam", config=ONCE)
        ssm.put_parameter(Name="/kept", Value="1", Type="String")
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="kept", Body=long)
        process = psutil.Process(server.process.pid)
        process.rlimit(psutil.RLIMIT_FSIZE, (4096, psutil.RLIM_INFINITY))
        calls: list[Callable[[], Any]] = [
            lambda: ssm.put_parameter(Name="/more", Value="1", Type="String"),
            lambda: ssm.put_parameter(Name="/kept", Value="2", Type="String", Overwrite=True),
            lambda: ssm.delete_parameter(Name="/kept"),
            lambda: s3.put_object(Bucket="bucket", Key="kept", Body=long[::-1]),
            lambda: s3.put_object(Bucket="bucket", Key="more", Body=b"x"),
            lambda: s3.create_bucket(Bucket="another"),
            lambda: iam.create_user(UserName="more"),
        ]
        for refused in calls:
            with pytest.raises(ClientError, match=r"could not write its state.*and did nothing"):
                refused()
        check_what_was_kept(server, long)
        process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        ssm.put_parameter(Name="/after", Value="1", Type="String")
        ssm.delete_parameter(Name="/after")
    with serving(tmp_path, port) as server:
        check_what_was_kept(server, long)


def check_what_was_kept(server: Server, long: bytes) -> None:
    ssm, s3 = server.client("ssm"), server.client("s3")
    found = ssm.get_parameters_by_path(Path="/")["Parameters"]
    assert [(one["Name"], one["Value"]) for one in found] == [("/kept", "1")]
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["bucket"]
    listed = s3.list_objects_v2(Bucket="bucket")["Contents"]
    assert [one["Key"] for one in listed] == ["kept"]
    assert s3.get_object(Bucket="bucket", Key="kept")["Body"].read() == long
    (only,) = server.client("iam").list_users()["Users"]
    assert only["UserName"] == "smp-administrator"


def damage_the_file(state: Path) -> None:
    path = state / "emulator" / "state.sqlite"
    path.with_name("state.sqlite-wal").unlink(missing_ok=True)
    path.write_bytes(b"no database" * 1000)


def change_the_stamp(state: Path) -> None:
    with closing(sqlite3.connect(state / "emulator" / "state.sqlite")) as database:
        database.execute("UPDATE stamp SET value = '99' WHERE name = 'format'")
        database.commit()


def damage_a_row(state: Path) -> None:
    with closing(sqlite3.connect(state / "emulator" / "state.sqlite")) as database:
        database.execute("UPDATE rows SET value = X'8004' WHERE store = 'ssm._parameters'")
        database.commit()


def remove_a_content(state: Path) -> None:
    for file in (state / "emulator" / "bodies").iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_the_file, "damaged"),
        (change_the_stamp, "written with format 99, and this is format 3"),
        (damage_a_row, "damaged"),
        (remove_a_content, "is missing"),
    ],
)
def test_a_foreign_or_damaged_state_is_refused_and_not_touched(
    tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    port = free_port()
    with serving(tmp_path, port) as server:
        server.client("ssm").put_parameter(Name="/a", Value="1", Type="String")
        server.client("s3").create_bucket(Bucket="bucket")
        server.client("s3").put_object(Bucket="bucket", Key="x", Body=b"x" * 300_000)
    damage(tmp_path)
    found = subprocess.run(
        [sys.executable, "-m", "local.server", "--port", str(port), "--state", str(tmp_path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 4
    assert said in found.stderr
    assert found.stderr.endswith("Begin anew with smp down and then smp up.\n")
    assert (tmp_path / "emulator" / "state.sqlite").exists()


def test_a_row_that_names_foreign_code_is_not_run() -> None:
    with pytest.raises(Unreadable, match=r"posix\.system"):
        read(b"cposix\nsystem\n(S'true'\ntR.")


def test_a_delta_that_is_cut_off_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file, row_id = StateFile(tmp_path), RowId("ssm._parameters", "'a'")
    file.write(Delta({row_id: Row(write(1), ("first",))}, {"first": b"1"}))
    (tmp_path / "bodies" / "second").write_bytes(b"somebody's")
    with pytest.raises(NotWritten):
        file.write(Delta({row_id: Row(write(2), ("second",))}, {"second": b"2"}))
    assert file.row(row_id) == Row(write(1), ("first",))
    assert file.body("first") == b"1"
    file.close()
    # Whatever no row names is removed with the next start.
    (tmp_path / "bodies" / "nobodys").write_bytes(b"")
    file = StateFile(tmp_path)
    assert [one.name for one in (tmp_path / "bodies").iterdir()] == ["first"]
    file.close()


def test_a_state_of_another_emulator_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StateFile(tmp_path).close()
    monkeypatch.setattr("importlib.metadata.version", lambda _: "2.0")
    with pytest.raises(StateRefused, match=r"ministack 1\.5\.\d+, and this is ministack 2\.0"):
        StateFile(tmp_path)


@pytest.mark.parametrize(
    "use",
    [
        lambda d: d["a"],
        lambda d: d.get("a"),
        lambda d: d.__setitem__("a", 2),
        lambda d: d.pop("a"),
        lambda d: d.popitem(),
        lambda d: d.setdefault("a", 3),
        lambda d: d.update(a=3),
        lambda d: d.clear(),
        lambda d: [*d.values()],
        lambda d: [*d.items()],
        lambda d: d.copy(),
        lambda d: d.__delitem__("a"),
    ],
)
def test_a_value_that_was_handed_out_or_changed_is_noted(
    use: Callable[[dict[str, Any]], Any],
) -> None:
    told: list[Touched] = []
    watched = Touched({"a": 1}, told.append, threading.get_ident())
    watched.take()
    told.clear()
    use(watched)
    assert watched.take() == ({"a"}, False)
    assert told == [watched]


def test_of_what_is_only_listed_nothing_is_noted() -> None:
    watched = Touched({"a": 1}, lambda _: None, threading.get_ident(), listing_changes=False)
    watched.take()
    assert [*watched.items(), *watched.values()] == [("a", 1), 1]
    assert watched.take() == (set(), False)


def test_nothing_changes_unnoticed(server: Server) -> None:
    ssm = server.client("ssm")
    ssm.put_parameter(Name="/noticed", Value="1", Type="String", Overwrite=True)
    found = server.get("/_smp/state")
    assert found["failure"] == ""
    assert found["missed"] == []
