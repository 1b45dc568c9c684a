import json
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from types_boto3_s3 import S3Client

from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from local.sagemaker.training.artifacts import pack
from local.sagemaker.training.cluster import cluster
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    REGION,
    channel,
    content,
    finished,
    job_request,
    train,
    until,
)

TWO = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 5}
GROUPS = {
    "VolumeSizeInGB": 5,
    "InstanceGroups": [
        {"InstanceGroupName": "wide", "InstanceType": "ml.m5.xlarge", "InstanceCount": 2},
        {"InstanceGroupName": "deep", "InstanceType": "ml.m5.large", "InstanceCount": 1},
    ],
}


def _seen(bucket: S3Client, job: dict[str, Any], host: str) -> Any:
    return json.loads(content(bucket, job)[f"seen-{host}.json"])


def _running(sagemaker: SageMakerService, name: str, **hyperparameters: str) -> None:
    """Start a job of two hosts, and wait until both of them run."""
    sagemaker.call(
        "CreateTrainingJob",
        job_request(name, ResourceConfig=TWO, HyperParameters={"sleep": "60", **hyperparameters}),
    )
    logs = boto3.client("logs", region_name=REGION)

    def hosts() -> bool:
        try:
            events = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return False
        said = [e["logStreamName"] for e in events if e["message"] == "sleeping"]
        return len(set(said)) == 2

    until(hosts)


def test_each_host_is_told_its_name_and_those_of_all(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    job = train(sagemaker, "pair", ResourceConfig=TWO)
    assert job["TrainingJobStatus"] == "Completed", job
    assert "InstanceGroups" not in job["ResourceConfig"]
    interfaces = [name for _, name in socket.if_nameindex()]
    for host in ("algo-1", "algo-2"):
        seen = _seen(bucket, job, host)
        config = seen["configs"]["resourceconfig.json"]
        assert config["network_interface_name"] in interfaces
        assert config == {
            "current_host": host,
            "current_instance_type": "ml.m5.xlarge",
            "current_group_name": "homogeneousCluster",
            "hosts": ["algo-1", "algo-2"],
            "instance_groups": [
                {
                    "instance_group_name": "homogeneousCluster",
                    "instance_type": "ml.m5.xlarge",
                    "hosts": ["algo-1", "algo-2"],
                }
            ],
            "network_interface_name": config["network_interface_name"],
        }
        assert seen["files"] == {"train/a.csv": "1,2", "train/deep/b.csv": "3,4"}
        assert Path(seen["environment"]["SAGEMAKER_BASE_DIR"]).name == host


def test_the_addresses_of_hosts_are_their_own_and_can_be_listened_on(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    job = train(sagemaker, "addresses", ResourceConfig=TWO)
    told = [_seen(bucket, job, h)["environment"]["SAGEMAKER_HOST_ADDRESSES"] for h in ("algo-1",)]
    addresses = json.loads(told[0])
    assert sorted(addresses) == ["algo-1", "algo-2"]
    with socket.socket() as one, socket.socket() as two:
        one.bind((addresses["algo-1"], 0))
        two.bind((addresses["algo-2"], one.getsockname()[1]))


def test_hosts_share_the_cores_of_the_machine(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    job = train(sagemaker, "cores", ResourceConfig=TWO)
    threads = int(_seen(bucket, job, "algo-1")["environment"]["OMP_NUM_THREADS"])
    assert threads == max((os.cpu_count() or 1) // 2, 1)
    own = train(sagemaker, "own", ResourceConfig=TWO, Environment={"OMP_NUM_THREADS": "3"})
    assert _seen(bucket, own, "algo-2")["environment"]["OMP_NUM_THREADS"] == "3"


def test_each_host_writes_its_own_log_stream_and_metrics(sagemaker: SageMakerService) -> None:
    lines = {
        "algo-1.print": json.dumps(["one", "loss=2"]),
        "algo-2.print": json.dumps(["two", "loss=3"]),
    }
    job = train(sagemaker, "streams", ResourceConfig=TWO, HyperParameters=lines)
    logs = boto3.client("logs", region_name=REGION)
    group = "/aws/sagemaker/TrainingJobs"
    said = {}
    for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
        name = stream["logStreamName"]
        assert re.fullmatch(r"streams/algo-[12]-\d{10}", name)
        events = logs.get_log_events(logGroupName=group, logStreamName=name)["events"]
        said[name.rpartition("-")[0]] = [event["message"] for event in events]
    assert said == {"streams/algo-1": ["one", "loss=2"], "streams/algo-2": ["two", "loss=3"]}
    cloudwatch = boto3.client("cloudwatch", region_name=REGION)
    found = cloudwatch.list_metrics(Namespace="/aws/sagemaker/TrainingJobs")["Metrics"]
    assert sorted(metric["Dimensions"][0]["Value"] for metric in found) == [
        "streams",
        "streams/algo-1",
        "streams/algo-2",
    ]
    (metric,) = job["FinalMetricDataList"]
    assert metric["Value"] in (2, 3)


def test_the_model_is_what_all_hosts_wrote(sagemaker: SageMakerService, bucket: S3Client) -> None:
    weights = {"algo-1.weights": "first", "algo-2.weights": "second", "algo-2.output": "only here"}
    job = train(sagemaker, "merged", ResourceConfig=TWO, HyperParameters=weights)
    model = content(bucket, job)
    assert {"seen-algo-1.json", "seen-algo-2.json"} < set(model)
    assert model["weights"] == "first"
    assert content(bucket, job, "output.tar.gz") == {"report.txt": "only here"}


@pytest.mark.parametrize(
    ("dying", "words"),
    [
        ({"algo-2.signal": "9", "algo-1.sleep": "60"}, "on algo-2 was ended by SIGKILL, exit"),
        (
            {"algo-2.exit": "3", "algo-2.failure": "no rows", "algo-1.sleep": "60"},
            "AlgorithmError: no rows, exit code: 3",
        ),
    ],
)
def test_a_host_that_dies_fails_the_job_and_ends_the_others_whose_logs_are_kept(
    sagemaker: SageMakerService, bucket: S3Client, dying: dict[str, str], words: str
) -> None:
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    said = {"algo-1.print": '["alive"]', "algo-2.after": "algo-1", **dying}
    job = train(sagemaker, "one-dies", ResourceConfig=TWO, HyperParameters=said)
    assert job["TrainingJobStatus"] == "Failed"
    assert words in job["FailureReason"]
    until(lambda: {p.pid for p in psutil.Process().children(recursive=True)} <= before)
    logs = boto3.client("logs", region_name=REGION)
    events = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs")["events"]
    assert ("alive", True) in [
        (event["message"], "algo-1" in event["logStreamName"]) for event in events
    ]
    assert "seen-algo-1.json" in content(bucket, job)


def test_stopping_a_job_stops_every_host_and_keeps_what_all_wrote(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    _running(sagemaker, "stopped", **{"algo-2.on_term": "-1", "algo-1.on_term": "0"})
    sagemaker.call("StopTrainingJob", {"TrainingJobName": "stopped"})
    job = finished(sagemaker, "stopped")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert {"seen-algo-1.json", "seen-algo-2.json"} < set(content(bucket, job))


def test_instance_groups_name_their_hosts_and_get_the_channels_that_name_them(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    deep = channel("deep", f"s3://{BUCKET}/train/a.csv")
    deep["DataSource"]["S3DataSource"]["InstanceGroupNames"] = ["deep"]
    job = train(
        sagemaker,
        "groups",
        ResourceConfig=GROUPS,
        InputDataConfig=[channel("train", f"s3://{BUCKET}/train/"), deep],
    )
    assert job["TrainingJobStatus"] == "Completed", job
    third = _seen(bucket, job, "algo-3")
    assert third["configs"]["resourceconfig.json"]["current_group_name"] == "deep"
    assert third["configs"]["resourceconfig.json"]["current_instance_type"] == "ml.m5.large"
    assert [
        group["hosts"] for group in third["configs"]["resourceconfig.json"]["instance_groups"]
    ] == [["algo-1", "algo-2"], ["algo-3"]]
    assert "deep/a.csv" in third["files"]
    first = _seen(bucket, job, "algo-1")
    assert "deep" not in first["configs"]["inputdataconfig.json"]
    assert "deep/a.csv" not in first["files"]


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({**GROUPS, "InstanceCount": 1}, "leave InstanceCount out"),
        ({**GROUPS, "InstanceGroups": [GROUPS["InstanceGroups"][0]] * 2}, "wide, wide"),  # type: ignore[index]
        ({"VolumeSizeInGB": 5}, "needs InstanceType, or InstanceGroups"),
    ],
)
def test_instances_that_contradict_one_another_are_refused(
    sagemaker: SageMakerService, resources: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError, match=words):
        sagemaker.call("CreateTrainingJob", job_request("refused", ResourceConfig=resources))


def test_sharded_objects_are_dealt_out_to_the_hosts(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    sharded = channel("train", f"s3://{BUCKET}/train/")
    sharded["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    job = train(sagemaker, "shards", ResourceConfig=TWO, InputDataConfig=[sharded])
    got = [_seen(bucket, job, host)["files"] for host in ("algo-1", "algo-2")]
    assert got == [{"train/a.csv": "1,2"}, {"train/deep/b.csv": "3,4"}]


def test_a_channel_for_a_group_that_is_not_there_is_refused(sagemaker: SageMakerService) -> None:
    lost = channel("train", f"s3://{BUCKET}/train/")
    lost["DataSource"]["S3DataSource"]["InstanceGroupNames"] = ["none"]
    with pytest.raises(ServiceError, match="group none, which ResourceConfig has not"):
        sagemaker.call("CreateTrainingJob", job_request("refused", InputDataConfig=[lost]))


def test_a_share_is_counted_among_the_hosts_of_the_named_groups() -> None:
    places = cluster(GROUPS).places()
    assert [place.share() for place in places] == [(0, 3), (1, 3), (2, 3)]
    assert [place.share(["deep"]) for place in places] == [None, None, (0, 1)]
    assert [place.share(["wide"]) for place in places] == [(0, 2), (1, 2), None]


def test_hosts_whose_files_clash_with_anothers_folders_still_make_an_archive(
    tmp_path: Path,
) -> None:
    (tmp_path / "a" / "x").mkdir(parents=True)
    (tmp_path / "a" / "x" / "y").write_text("1")
    (tmp_path / "a" / "z").write_text("2")
    (tmp_path / "b" / "z").mkdir(parents=True)
    (tmp_path / "b" / "z" / "inside").write_text("3")
    (tmp_path / "b" / "x").write_text("4")
    pack([tmp_path / "a", tmp_path / "b"], "", tmp_path / "out.tar.gz")
    names = subprocess.run(
        ["tar", "tzf", tmp_path / "out.tar.gz"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert names == ["x/", "x/y", "z"]
