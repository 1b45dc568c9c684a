import re
from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from algorithms import catalog
from jobs.compile import compile_job, has_local_storage, locations
from jobs.request import InvalidRequest, parse
from jobs.settings import Platform
from tests.unit.jobs.requests import REQUESTS, complete, request

EXECUTION = "arn:aws:states:eu-west-1:111122223333:execution:sagemaker-platform-dev-training:one"
STARTED = "2026-01-01T00:00:00Z"
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
REGIONS = ("eu-west-1", "us-east-1", "ap-southeast-2", "cn-north-1")

_MODEL = botocore.session.get_session().get_service_model("sagemaker")


def compiled(platform: Platform, document: dict[str, Any]) -> dict[str, Any]:
    return compile_job(platform, parse(document), execution=EXECUTION, started=STARTED)


def parameters(platform: Platform, document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compiled(platform, document)["parameters"]
    return found


def refused(platform: Platform, document: dict[str, Any]) -> str:
    with pytest.raises(InvalidRequest) as error:
        compiled(platform, document)
    return str(error.value)


def assert_valid(operation: str, given: dict[str, Any]) -> None:
    """As SageMaker's own model has it, patterns and enumerations included."""
    shape = _MODEL.operation_model(operation).input_shape
    assert shape is not None
    report = ParamValidator().validate(given, shape)
    assert not report.has_errors(), report.generate_report()
    assert not list(broken(given, shape, operation))


def broken(value: Any, shape: Any, path: str) -> Any:
    """What botocore leaves to the service: patterns, lengths and enumerations."""
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from broken(member, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        assert len(value) <= shape.metadata.get("max", 10**6), path
        for index, member in enumerate(value):
            yield from broken(member, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, member in value.items():
            yield from broken(key, shape.key, f"{path}.{key}")
            yield from broken(member, shape.value, f"{path}.{key}")
    elif shape.type_name == "string":
        if getattr(shape, "enum", None) and value not in shape.enum:
            yield f"{path}: {value!r} is none of {shape.enum}"
        pattern = shape.metadata.get("pattern")
        if pattern and "\\p" not in pattern and not re.fullmatch(pattern, value):
            yield f"{path}: {value!r} does not match {pattern}"
        if len(value) > shape.metadata.get("max", 10**9):
            yield f"{path}: {value!r} is too long"


def test_there_is_a_request_for_every_algorithm() -> None:
    assert sorted(REQUESTS) == sorted(catalog.names())


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_a_request_compiles_to_what_sagemaker_takes_or_is_refused(
    platform: Platform, name: str, region: str
) -> None:
    there = replace(platform, region=region)
    if region not in catalog.algorithm(name).regions:
        assert region in refused(there, request(name))
        return
    given = parameters(there, request(name))
    assert_valid("CreateTrainingJob", given)
    image = given["AlgorithmSpecification"]["TrainingImage"]
    assert f".dkr.ecr.{region}.amazonaws.com" in image
    assert catalog.resolve_image(image) == name
    assert "MetricDefinitions" not in given["AlgorithmSpecification"]
    assert all(isinstance(value, str) for value in given["HyperParameters"].values())


def test_a_region_without_the_image_is_refused_and_those_with_it_are_named(
    platform: Platform,
) -> None:
    text = refused(replace(platform, region="xx-nowhere-1"), request("lda"))
    assert "'xx-nowhere-1'" in text and "eu-west-1" in text


def test_the_platforms_own_image_is_in_this_environments_registry(platform: Platform) -> None:
    given = parameters(platform, request("kmeans", image="platform"))
    image = given["AlgorithmSpecification"]["TrainingImage"]
    assert image.startswith(f"{platform.image_registry}/kmeans:")
    assert catalog.resolve_image(image) == "kmeans"


def test_every_job_is_encrypted_and_isolated(platform: Platform) -> None:
    given = parameters(platform, request())
    assert given["EnableNetworkIsolation"] is True
    assert given["EnableInterContainerTrafficEncryption"] is True
    assert given["OutputDataConfig"] == {
        "S3OutputPath": "s3://models/jobs",
        "KmsKeyId": platform.key_arn,
    }
    assert given["ResourceConfig"]["VolumeKmsKeyId"] == platform.key_arn


def test_instances_with_their_own_disks_get_no_key(platform: Platform) -> None:
    given = parameters(platform, request(instance_types=["ml.g4dn.xlarge"]))
    assert "VolumeKmsKeyId" not in given["ResourceConfig"]
    assert has_local_storage("ml.p4d.24xlarge") and has_local_storage("ml.m5d.large")
    assert not has_local_storage("ml.m5.large") and not has_local_storage("ml.p3.2xlarge")


def test_a_container_that_fetches_weights_keeps_its_network(platform: Platform) -> None:
    document = request("image-classification")
    assert parameters(platform, document)["EnableNetworkIsolation"] is True
    document["hyperparameters"]["use_pretrained_model"] = 1
    assert parameters(platform, document)["EnableNetworkIsolation"] is False


@pytest.fixture
def strict(platform: Platform) -> Platform:
    return replace(platform, defaults=replace(platform.defaults, require_isolation=True))


def test_where_isolation_is_required_nothing_gets_a_network(strict: Platform) -> None:
    assert parameters(strict, own())["EnableNetworkIsolation"] is True
    said = refused(strict, own(isolated=False))
    assert "isolated: found false" in said and "training.require_isolation" in said
    document = request("image-classification")
    document["hyperparameters"]["use_pretrained_model"] = 1
    assert "use_pretrained_model: found 1" in refused(strict, document)


def test_weights_that_an_image_brings_need_no_network(strict: Platform) -> None:
    document = request("image-classification", image="platform")
    document["hyperparameters"]["use_pretrained_model"] = 1
    assert parameters(strict, document)["EnableNetworkIsolation"] is True


def test_a_request_chooses_among_the_instance_types_of_the_environment(platform: Platform) -> None:
    for allowed in ("ml.m5.2xlarge", "ml.g4dn.xlarge"):
        given = parameters(platform, request(instance_types=[allowed]))
        assert given["ResourceConfig"]["InstanceType"] == allowed
    said = refused(platform, request(instance_types=["ml.m5.xlarge", "ml.p4d.24xlarge"]))
    assert "instance_types.1: found 'ml.p4d.24xlarge'; allowed: ml.m5.xlarge, " in said
    assert "training.other_instance_types" in said


def test_a_private_network_takes_every_job_in(platform: Platform) -> None:
    assert "VpcConfig" not in parameters(platform, request())
    private = replace(platform, subnets=("subnet-1", "subnet-2"), security_groups=("sg-1",))
    assert parameters(private, request())["VpcConfig"] == {
        "Subnets": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": ["sg-1"],
    }


def test_a_private_network_does_not_lead_to_the_weights_of_aws(platform: Platform) -> None:
    private = replace(platform, subnets=("subnet-1",), security_groups=("sg-1",))
    document = request("image-classification")
    document["hyperparameters"]["use_pretrained_model"] = 1
    with pytest.raises(InvalidRequest, match="use_pretrained_model: found 1"):
        parameters(private, document)
    assert parameters(private, {**document, "image": "platform"})["VpcConfig"]


def test_what_a_request_leaves_out_the_environment_gives(platform: Platform) -> None:
    given = parameters(platform, request())
    assert given["ResourceConfig"]["InstanceType"] == "ml.m5.xlarge"
    assert given["ResourceConfig"]["VolumeSizeInGB"] == 30
    assert given["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}


def test_one_execution_gives_one_name_and_another_start_another(platform: Platform) -> None:
    document, names = parse(request(name="a" * 40)), set()
    longest = replace(platform, environment_name="e" * 12)
    for started in (STARTED, STARTED, "2027-01-01T00:00:00Z"):
        job = compile_job(longest, document, execution=EXECUTION, started=started)
        assert NAME.fullmatch(job["name"]) and len(job["name"]) == 63
        names.add(job["name"])
    assert len(names) == 2


def test_the_job_says_which_execution_made_it(platform: Platform) -> None:
    tags = parameters(platform, request(tags={"team": "vision"}))["Tags"]
    assert {"Key": "sagemaker-platform:execution", "Value": EXECUTION} in tags
    assert {"Key": "team", "Value": "vision"} in tags


def test_an_unknown_algorithm_is_refused_with_the_nearest(platform: Platform) -> None:
    assert "xgboost" in refused(platform, {**request(), "algorithm": "xgbost"})


def test_an_unknown_hyperparameter_is_refused_with_the_nearest(platform: Platform) -> None:
    document = request()
    document["hyperparameters"]["num_rounds"] = 3
    assert "num_round" in refused(platform, document)


def test_a_hyperparameter_out_of_range_is_refused_with_the_range(platform: Platform) -> None:
    document = request()
    document["hyperparameters"]["eta"] = 7
    text = refused(platform, document)
    assert "eta" in text and "7" in text and "1" in text


def test_a_missing_channel_is_refused(platform: Platform) -> None:
    document = request()
    del document["channels"]["train"]
    assert "train is missing" in refused(platform, document)


def test_a_content_type_that_the_algorithm_does_not_read_is_refused(platform: Platform) -> None:
    document = request()
    document["channels"]["train"]["content_type"] = "image/png"
    assert "'image/png'" in refused(platform, document)


def test_a_channel_says_how_its_data_come(platform: Platform) -> None:
    document = request("kmeans")
    document["channels"]["train"] |= {
        "data_type": "AugmentedManifestFile",
        "attribute_names": ["values", "label"],
        "input_mode": "Pipe",
        "record_wrapper": "RecordIO",
        "compression": "Gzip",
        "shuffle_seed": 7,
    }
    (channel,) = parameters(platform, document)["InputDataConfig"]
    assert channel["DataSource"]["S3DataSource"]["S3DataType"] == "AugmentedManifestFile"
    assert channel["DataSource"]["S3DataSource"]["AttributeNames"] == ["values", "label"]
    assert channel["InputMode"] == "Pipe"
    assert channel["RecordWrapperType"] == "RecordIO"
    assert channel["CompressionType"] == "Gzip"
    assert channel["ShuffleConfig"] == {"Seed": 7}


def test_a_mode_that_the_algorithm_does_not_read_is_refused(platform: Platform) -> None:
    document = request("ipinsights")
    document["channels"]["train"]["input_mode"] = "Pipe"
    text = refused(platform, document)
    assert "input mode 'Pipe'" in text and "ipinsights takes File" in text


def test_spot_keeps_checkpoints_beside_the_model_and_waits_twice_as_long(
    platform: Platform,
) -> None:
    given = parameters(platform, request(spot=True))
    assert given["EnableManagedSpotTraining"] is True
    assert given["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 3600,
        "MaxWaitTimeInSeconds": 7200,
    }
    name = given["TrainingJobName"]
    assert given["CheckpointConfig"] == {"S3Uri": f"s3://models/jobs/{name}/checkpoints"}
    given = parameters(platform, request(spot=True, max_wait_seconds=4000))
    assert given["StoppingCondition"]["MaxWaitTimeInSeconds"] == 4000


def test_spot_for_what_starts_anew_is_refused_above_an_hour(platform: Platform) -> None:
    text = refused(platform, request("kmeans", spot=True))
    assert text.startswith("max_wait_seconds: 7200 for kmeans") and "3600" in text
    short = request("kmeans", spot=True, max_runtime_seconds=1800)
    assert parameters(platform, short)["StoppingCondition"]["MaxWaitTimeInSeconds"] == 3600


def own(**changes: Any) -> dict[str, Any]:
    data = {"training": {"s3_uri": "s3://data/train/", "content_type": "text/csv"}}
    return {"image": "forest:3", "channels": data, **changes}


def test_an_own_image_is_taken_from_the_environments_registry_as_it_is(platform: Platform) -> None:
    numbers = [{"name": "score", "regex": "score: ([0-9.]+)"}]
    document = own(metric_definitions=numbers, hyperparameters={"depth": 3, "kind": "tall"})
    job = compiled(platform, document)
    given = job["parameters"]
    assert_valid("CreateTrainingJob", given)
    assert given["AlgorithmSpecification"] == {
        "TrainingImage": f"{platform.image_registry}/forest:3",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "score", "Regex": "score: ([0-9.]+)"}],
    }
    assert given["HyperParameters"] == {"depth": "3", "kind": "tall"}
    assert given["EnableNetworkIsolation"] is True
    assert job["algorithm"] == "forest:3" and job["name"].startswith("dev-forest-")
    assert parameters(platform, own(isolated=False))["EnableNetworkIsolation"] is False


def test_a_script_comes_as_a_channel_so_that_it_needs_no_network(platform: Platform) -> None:
    source = "s3://data/sources/0a1b/sourcedir.tar.gz"
    document = own(source=source, entry_point="train.py", hyperparameters={"kind": "tall"})
    given = parameters(platform, document)
    assert_valid("CreateTrainingJob", given)
    assert given["HyperParameters"] == {
        "kind": '"tall"',
        "sagemaker_program": '"train.py"',
        "sagemaker_submit_directory": '"/opt/ml/input/data/code/sourcedir.tar.gz"',
    }
    code = given["InputDataConfig"][-1]
    assert code["ChannelName"] == "code"
    assert code["DataSource"]["S3DataSource"]["S3Uri"] == "s3://data/sources/0a1b/"
    assert [location.key for location in locations(parse(document))] == [
        "channels.training.s3_uri",
        "source",
    ]


def test_a_gpu_where_none_can_be_used_is_refused(platform: Platform) -> None:
    assert "CPU" in refused(platform, request("lda", instance_types=["ml.p3.2xlarge"]))


def test_an_unknown_group_is_refused_with_those_that_exist(platform: Platform) -> None:
    document = complete(register={"group": "digit", "approval": "Approved"})
    text = refused(platform, document)
    assert "did you mean digits?" in text and "environment file" in text


def test_an_unknown_endpoint_is_refused_with_those_that_exist(platform: Platform) -> None:
    assert "digits, pinned" in refused(platform, complete(deploy={"endpoint": "x"}))


def test_an_endpoint_that_its_file_decides_is_refused(platform: Platform) -> None:
    text = refused(platform, complete(deploy={"endpoint": "pinned"}))
    assert "has model: in the environment file" in text


def test_all_problems_are_told_at_once(platform: Platform) -> None:
    document = complete(deploy={"endpoint": "pinned"})
    document["hyperparameters"]["nonsense"] = 1
    del document["channels"]["train"]
    assert len(refused(platform, document).splitlines()) == 3


def test_a_job_ends_when_its_request_says_and_else_when_the_environment_does(
    platform: Platform,
) -> None:
    given = parameters(platform, request(max_runtime_seconds=1800))
    assert given["StoppingCondition"] == {"MaxRuntimeInSeconds": 1800}
    default = platform.defaults.max_runtime_seconds
    given = parameters(platform, request())
    assert given["StoppingCondition"] == {"MaxRuntimeInSeconds": default}


def test_what_later_states_need_is_there_only_when_it_is_wanted(platform: Platform) -> None:
    plain = compiled(platform, request())
    assert "register" not in plain and "deploy" not in plain
    job = compiled(platform, complete())
    assert job["register"]["group"] == "sagemaker-platform-dev-digits"
    assert job["deploy"] == {
        "endpoint": "sagemaker-platform-dev-digits",
        "stack": "sagemaker-platform-dev-endpoint-digits",
    }
    assert job["request"]["sample"]["body"] == "0,1,2"


def test_the_normalized_request_is_a_request_again(platform: Platform) -> None:
    job = compiled(platform, complete())
    again = compiled(platform, job["request"])
    assert again["parameters"] == job["parameters"]


def test_locations_are_split_into_bucket_and_prefix() -> None:
    found = locations(parse(request("kmeans")))
    assert [(one.bucket, one.prefix) for one in found] == [("data", "train/")]
