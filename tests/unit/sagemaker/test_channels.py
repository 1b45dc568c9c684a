"""Every way in which data reach a container: files, pipes, manifests, shuffled and packed."""

import gzip
import io
import json
import struct
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
from types_boto3_s3 import S3Client

from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from local.sagemaker.training import channels
from local.sagemaker.training.channels import Channel
from local.sagemaker.training.content import gunzip
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    TestAws,
    channel,
    finished,
    job_request,
    train,
    until,
)

AUGMENTED = "AugmentedManifestFile"


def _files(bucket: S3Client, name: str) -> dict[str, bytes]:
    body = bucket.get_object(Bucket=BUCKET, Key=f"jobs/{name}/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in tar}


def _piped(
    sagemaker: SageMakerService,
    bucket: S3Client,
    name: str,
    *reads: tuple[str, int],
    **changes: Any,
) -> dict[str, bytes]:
    """Read pipes one after another, and give what each held."""
    request = {
        "AlgorithmSpecification": {
            "TrainingImage": job_request("x")["AlgorithmSpecification"]["TrainingImage"],
            "TrainingInputMode": "Pipe",
        },
        "HyperParameters": {"pipes": json.dumps(reads)},
        **changes,
    }
    job = train(sagemaker, name, **request)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return _files(bucket, name)


def _records(stream: bytes) -> list[bytes]:
    found, start = [], 0
    while start < len(stream):
        magic, length = struct.unpack_from("<II", stream, start)
        assert magic == 0xCED7230A
        found.append(stream[start + 8 : start + 8 + length])
        start += 8 + length + (-length % 4)
    return found


def _source(name: str, data_type: str, uri: str, **source: Any) -> dict[str, Any]:
    made = channel(name, uri, data_type)
    made["DataSource"]["S3DataSource"] |= source
    return made


def test_a_pipe_gives_all_objects_in_their_order_in_each_epoch(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    found = _piped(sagemaker, bucket, "pipe", ("train_0", -1), ("train_1", -1))
    assert found["train_0"] == found["train_1"] == b"1,23,4"
    # Once the end of one is seen, it is gone, and the next is there.
    assert json.loads(found["train_0.beside"]) == ["train_1"]
    assert json.loads(found["train_1.beside"]) == ["train_2"]
    config = json.loads(found["seen-algo-1.json"])["configs"]["inputdataconfig.json"]
    assert config["train"]["TrainingInputMode"] == "Pipe"


def test_a_channel_may_have_another_mode_than_its_job(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    found = _piped(
        sagemaker,
        bucket,
        "both",
        ("train_0", -1),
        InputDataConfig=[
            channel("train", f"s3://{BUCKET}/train/"),
            channel("file", f"s3://{BUCKET}/train/a.csv", InputMode="File"),
        ],
    )
    seen = json.loads(found["seen-algo-1.json"])
    assert seen["files"] == {"file/a.csv": "1,2"}
    modes = {
        name: entry["TrainingInputMode"]
        for name, entry in seen["configs"]["inputdataconfig.json"].items()
    }
    assert modes == {"train": "Pipe", "file": "File"}


def test_fast_files_are_files_that_cannot_be_written(
    sagemaker: SageMakerService, bucket: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: dict[str, int] = {}
    chmod = Path.chmod

    def watched(path: Path, mode: int) -> None:
        modes[path.name] = mode
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", watched)
    job = train(
        sagemaker,
        "fast",
        InputDataConfig=[channel("train", f"s3://{BUCKET}/train/", InputMode="FastFile")],
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    seen = json.loads(_files(bucket, "fast")["seen-algo-1.json"])
    assert seen["files"] == {"train/a.csv": "1,2", "train/deep/b.csv": "3,4"}
    assert seen["configs"]["inputdataconfig.json"]["train"]["TrainingInputMode"] == "FastFile"
    assert modes == {"a.csv": 0o444, "b.csv": 0o444}


def test_a_reader_that_stops_early_gets_the_next_epoch_from_its_begin(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    # Far more than a pipe holds, so that the writer is left in the middle of it.
    bucket.put_object(Bucket=BUCKET, Key="train/a.csv", Body=b"head" + bytes(8_000_000))
    found = _piped(
        sagemaker, bucket, "early", ("train_0", 4), ("train_1", 4), ("train_2", 9_000_000)
    )
    assert found["train_0"] == found["train_1"] == b"head"
    assert len(found["train_2"]) == 8_000_007


def test_a_pipe_that_nobody_opens_or_empties_leaves_no_thread_and_no_descriptor(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="train/a.csv", Body=bytes(8_000_000))
    train(sagemaker, "warm")
    descriptors = len([*Path("/proc/self/fd").iterdir()])
    _piped(sagemaker, bucket, "unopened")
    _piped(sagemaker, bucket, "unemptied", ("train_0", 1))
    assert not [t.name for t in threading.enumerate() if t.name.startswith("pipe-")]
    assert len([*Path("/proc/self/fd").iterdir()]) <= descriptors + 1


def test_a_job_that_waits_for_its_pipe_can_be_stopped(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    request = job_request(
        "held",
        HyperParameters={"pipes": json.dumps([("train_0", 1)]), "sleep": "60"},
        InputDataConfig=[channel("train", f"s3://{BUCKET}/train/", InputMode="Pipe")],
    )
    sagemaker.call("CreateTrainingJob", request)
    until(
        lambda: (
            sagemaker.call("DescribeTrainingJob", {"TrainingJobName": "held"})["SecondaryStatus"]
            == "Training"
        )
    )
    sagemaker.call("StopTrainingJob", {"TrainingJobName": "held"})
    assert finished(sagemaker, "held")["TrainingJobStatus"] == "Stopped"
    assert not [t.name for t in threading.enumerate() if t.name.startswith("pipe-")]


def test_an_object_that_cannot_be_read_fails_the_job_before_its_reader_sees_an_end(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    manifest = [{"prefix": f"s3://{BUCKET}/train/"}, "a.csv", "gone.csv"]
    bucket.put_object(Bucket=BUCKET, Key="list.json", Body=json.dumps(manifest))
    job = train(
        sagemaker,
        "cut",
        HyperParameters={"pipes": json.dumps([("train_0", -1)])},
        InputDataConfig=[
            channel("train", f"s3://{BUCKET}/list.json", "ManifestFile", InputMode="Pipe")
        ],
    )
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(
        "ClientError: Failed to stream data. Channel train, epoch 0: "
    )
    assert f"arn:aws:s3:::{BUCKET}/train/gone.csv" in job["FailureReason"]


def test_an_object_that_the_role_may_not_read_fails_the_stream_with_the_denial(
    sagemaker: SageMakerService, bucket: S3Client, aws: TestAws
) -> None:
    aws.denied.add("s3:GetObject")
    job = train(
        sagemaker,
        "denied",
        HyperParameters={"pipes": json.dumps([("train_0", -1)])},
        InputDataConfig=[channel("train", f"s3://{BUCKET}/train/", InputMode="Pipe")],
    )
    assert "not authorized to perform: s3:GetObject on resource" in job["FailureReason"]


def test_record_wrapping_makes_a_record_of_each_object(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="train/c", Body=b"12345")
    plain = channel("train", f"s3://{BUCKET}/train/", RecordWrapperType="RecordIO")
    found = _piped(sagemaker, bucket, "wrap", ("train_0", -1), InputDataConfig=[plain])
    assert _records(found["train_0"]) == [b"1,2", b"12345", b"3,4"]
    config = json.loads(found["seen-algo-1.json"])["configs"]["inputdataconfig.json"]
    assert config["train"]["RecordWrapperType"] == "RecordIO"


@pytest.mark.parametrize("wrapper", ["None", "RecordIO"])
def test_compressed_objects_are_unpacked_as_they_stream(
    sagemaker: SageMakerService, bucket: S3Client, wrapper: str
) -> None:
    large = bytes(range(256)) * 20_000
    bucket.put_object(Bucket=BUCKET, Key="zip/a", Body=gzip.compress(b"one"))
    # Two members and padding: what appending to a log makes.
    members = gzip.compress(b"two") + gzip.compress(large) + bytes(100)
    bucket.put_object(Bucket=BUCKET, Key="zip/b", Body=members)
    packed = channel(
        "train", f"s3://{BUCKET}/zip/", CompressionType="Gzip", RecordWrapperType=wrapper
    )
    found = _piped(sagemaker, bucket, "zip", ("train_0", -1), InputDataConfig=[packed])
    stream = found["train_0"]
    if wrapper == "RecordIO":
        assert _records(stream) == [b"one", b"two" + large]
    else:
        assert stream == b"onetwo" + large


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"1,2,3", "but is no gzip: "),
        (gzip.compress(b"1,2,3" * 1000)[:-12], "but ends in the middle"),
        (gzip.compress(b"1,2,3")[:-4] + b"\0\0\0\0", "but is no gzip: "),
    ],
    # Archives have their time in them: named by it, the tests of two workers would differ.
    ids=["plain", "cut off", "wrong length"],
)
def test_a_corrupt_archive_fails_the_job_and_names_the_object(
    sagemaker: SageMakerService, bucket: S3Client, body: bytes, words: str
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="zip/a", Body=gzip.compress(b"good"))
    bucket.put_object(Bucket=BUCKET, Key="zip/b", Body=body)
    job = train(
        sagemaker,
        "corrupt",
        HyperParameters={"pipes": json.dumps([("train_0", -1)])},
        InputDataConfig=[
            channel("train", f"s3://{BUCKET}/zip/", InputMode="Pipe", CompressionType="Gzip")
        ],
    )
    assert f"s3://{BUCKET}/zip/b has CompressionType Gzip, {words}" in job["FailureReason"]


def test_unpacking_a_bomb_gives_pieces_of_bounded_size() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert max(len(piece) for piece in gunzip([bomb], "x")) <= 1 << 20


def test_an_augmented_manifest_gives_its_attributes_in_the_order_asked_for(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    lines = [
        {"label": 1, "extra": "x", "image-ref": f"s3://{BUCKET}/train/a.csv"},
        {"image-ref": f"s3://{BUCKET}/train/deep/b.csv", "label": {"class": "ä"}},
    ]
    text = "\n\n".join(json.dumps(line) for line in lines)
    bucket.put_object(Bucket=BUCKET, Key="augmented", Body=text)
    source = _source(
        "train", AUGMENTED, f"s3://{BUCKET}/augmented", AttributeNames=["image-ref", "label"]
    )
    source["RecordWrapperType"] = "RecordIO"
    found = _piped(sagemaker, bucket, "aug", ("train_0", -1), InputDataConfig=[source])
    records = _records(found["train_0"])
    assert records == [b"1,2", b"1", b"3,4", '{"class": "ä"}'.encode()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"label": 1', "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"other": 1}', "has no attribute 'label'; it has: other"),
        ('{"label": 1, "image-ref": "http://x/y"}', "attribute 'image-ref' must be the S3 URI"),
        ('{"label": 1, "image-ref": ["s3://data/b"]}', "attribute 'image-ref' must be the S3 URI"),
        (
            '{"label": 1, "image-ref": "s3://bucket-alone"}',
            "attribute 'image-ref' must be the S3 URI",
        ),
    ],
)
def test_a_broken_line_fails_the_job_naming_file_and_line(
    sagemaker: SageMakerService, bucket: S3Client, line: str, words: str
) -> None:
    good = json.dumps({"label": 1, "image-ref": f"s3://{BUCKET}/train/a.csv"})
    bucket.put_object(Bucket=BUCKET, Key="augmented", Body=f"{good}\n\n{line}\n{good}\n")
    source = _source(
        "train", AUGMENTED, f"s3://{BUCKET}/augmented", AttributeNames=["label", "image-ref"]
    )
    job = train(sagemaker, "broken", InputDataConfig=[{**source, "InputMode": "Pipe"}])
    assert job["TrainingJobStatus"] == "Failed"
    assert (
        f"The augmented manifest s3://{BUCKET}/augmented, line 3: {words}" in job["FailureReason"]
    )


def _channel(**changes: Any) -> Channel:
    made = channel("train", "s3://data/x", InputMode="Pipe", **changes)
    return Channel.of(made, "File")


def test_shuffling_follows_the_seed_and_differs_between_epochs() -> None:
    first, second = _channel(ShuffleConfig={"Seed": 7}), _channel(ShuffleConfig={"Seed": 8})
    orders = [[*first.order(50, host=0, hosts=1, epoch=epoch)] for epoch in (0, 1)]
    assert all(sorted(order) == [*range(50)] for order in orders)
    assert orders[0] != orders[1] != [*range(50)]
    assert orders[0] == [*first.order(50, host=0, hosts=1, epoch=0)]
    assert orders[0] != [*second.order(50, host=0, hosts=1, epoch=0)]
    assert [*_channel().order(5, host=0, hosts=1, epoch=3)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("shuffle", [{}, {"ShuffleConfig": {"Seed": 1}}])
def test_sharding_deals_everything_out_once_in_every_epoch(shuffle: dict[str, Any]) -> None:
    made = _source("train", "S3Prefix", "s3://data/x", S3DataDistributionType="ShardedByS3Key")
    sharded = Channel.of({**made, **shuffle}, "Pipe")
    for epoch in range(3):
        shares = [[*sharded.order(11, host=i, hosts=3, epoch=epoch)] for i in range(3)]
        assert sorted(number for share in shares for number in share) == [*range(11)]
        assert [len(share) for share in shares] == [4, 4, 3]
    assert len(_channel().order(11, host=1, hosts=3)) == 11
    assert sharded.config["S3DistributionType"] == "ShardedByS3Key"


def test_a_shuffled_pipe_holds_the_same_objects_in_another_order(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    for number in range(20):
        bucket.put_object(Bucket=BUCKET, Key=f"many/{number:02}", Body=b"%02d" % number)
    source = channel("train", f"s3://{BUCKET}/many/", ShuffleConfig={"Seed": 1})
    found = _piped(
        sagemaker, bucket, "mixed", ("train_0", -1), ("train_1", -1), InputDataConfig=[source]
    )
    orders = [[found[name][i : i + 2] for i in range(0, 40, 2)] for name in ("train_0", "train_1")]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == [b"%02d" % n for n in range(20)]


def _s3(**changes: Any) -> dict[str, Any]:
    source = {name: changes.pop(name) for name in [*changes] if name[0] != "_"}
    settings = {name[1:]: value for name, value in changes.items()}
    return {**_source("a", "S3Prefix", "s3://data/train", **source), **settings}


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ([channel("..", "s3://data/train")], "names a folder"),
        ([_s3(S3Uri="https://x/y")], "Channel a: .*s3://BUCKET/KEY"),
        ([_s3(S3DataType=AUGMENTED)], "can only be used if the Channel's input mode is Pipe"),
        (
            [_s3(S3DataType=AUGMENTED, AttributeNames=["x"], _InputMode="FastFile")],
            "input mode is Pipe, and it is FastFile",
        ),
        ([_s3(S3DataType=AUGMENTED, _InputMode="Pipe")], "needs 1 to 16 AttributeNames"),
        (
            [
                _s3(
                    S3DataType=AUGMENTED,
                    AttributeNames=["x"],
                    _InputMode="Pipe",
                    _CompressionType="Gzip",
                )
            ],
            "set CompressionType to None",
        ),
        ([_s3(AttributeNames=["x"])], "AttributeNames are for S3DataType AugmentedManifestFile"),
        ([_s3(S3DataType="Converse")], "reads S3Prefix, ManifestFile, AugmentedManifestFile"),
        ([_s3(InstanceGroupNames=["g"])], "instance group g, which ResourceConfig has not"),
        ([_s3(ModelAccessConfig={"AcceptEula": True})], "no use for ModelAccessConfig"),
        ([_s3(HubAccessConfig={"HubContentArn": "x"})], "no use for HubAccessConfig"),
        ([_s3(_CompressionType="Gzip")], "used only in Pipe input mode. In File mode, leave"),
        (
            [_s3(_RecordWrapperType="RecordIO", _InputMode="FastFile")],
            "used only in Pipe input mode. In FastFile mode, leave",
        ),
        (
            [{"ChannelName": "a", "DataSource": {"FileSystemDataSource": {}}}],
            "FileSystemDataSource",
        ),
        ([{"ChannelName": "a", "DataSource": {"DatasetSource": {}}}], "DatasetSource"),
        ([_s3(_InputMode="Pipe"), channel("a_0", "s3://data/train")], "Channel a_0 has the name"),
        ([_s3(), channel("a-manifest", "s3://data/train")], "Channel a-manifest has the name"),
    ],
)
def test_what_aws_or_this_platform_does_not_take_is_refused_by_name(
    documents: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(ServiceError, match=words) as caught:
        channels.check(documents, "File")
    assert caught.value.code == "ValidationException"


def test_a_channel_of_files_may_have_the_name_of_another_ones_epoch() -> None:
    channels.check([_s3(), channel("a_0", "s3://data/train")], "File")


def test_the_container_is_told_what_was_asked_for_and_no_more() -> None:
    assert _channel().config == {
        "TrainingInputMode": "Pipe",
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
    }
    asked = _channel(ContentType="text/csv", CompressionType="Gzip").config
    assert asked["ContentType"] == "text/csv" and asked["CompressionType"] == "Gzip"
