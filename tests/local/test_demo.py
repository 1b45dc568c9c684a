import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.local import samples
from tests.local.support import ended, heard
from tests.platform import LocalPlatform


def served(platform: LocalPlatform) -> str:
    """The package that the endpoint's stack names."""
    stack = platform.client("cloudformation").describe_stacks(
        StackName=platform.parameter("endpoints/digits/stack-name")
    )["Stacks"][0]
    return str(
        {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}["ModelPackageArn"]
    )


@pytest.fixture(scope="module")
def runs(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    reports = []
    for number in (1, 2):
        path = tmp_path_factory.mktemp("demo") / f"{number}.json"
        result = platform.smp("demo", "--report", str(path))
        assert result.returncode == 0, result.stderr
        reports.append({**json.loads(path.read_text()), "screen": result.stdout})
    return reports


def test_the_endpoint_names_held_out_digits(runs: list[dict[str, Any]]) -> None:
    for run in runs:
        assert run["answers"]["count"] == 360
        assert run["answers"]["accuracy"] >= 0.95
        assert 0 < run["answers"]["p50_ms"] <= run["answers"]["p99_ms"]


def test_a_second_run_makes_a_new_job_and_puts_its_model_into_service(
    platform: LocalPlatform, runs: list[dict[str, Any]]
) -> None:
    first, second = runs
    assert first["job"] != second["job"]
    assert first["package"] != second["package"]
    assert first["endpoint"] == second["endpoint"]
    assert served(platform) == second["package"]


def test_model_request_metrics_and_sample_lie_under_the_jobs_prefix(
    platform: LocalPlatform, runs: list[dict[str, Any]]
) -> None:
    models = platform.parameter("storage/models-bucket")
    for run in runs:
        prefix = f"s3://{models}/jobs/{run['job']}/"
        names = {uri.removeprefix(prefix) for uri in run["objects"]}
        assert {"request.json", "output/model.tar.gz", "metrics.json", "sample"} <= names


def test_the_package_in_service_carries_the_jobs_model_and_metrics(
    platform: LocalPlatform, runs: list[dict[str, Any]]
) -> None:
    run = runs[-1]
    package = platform.client("sagemaker").describe_model_package(ModelPackageName=run["package"])
    model = package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    assert model.endswith(f"/jobs/{run['job']}/output/model.tar.gz")
    assert package["ModelPackageStatus"] == "Completed"
    assert package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].endswith("metrics.json")
    assert run["metrics"]


def test_held_out_digits_are_in_no_training_data(
    platform: LocalPlatform, runs: list[dict[str, Any]]
) -> None:
    from local.cli import digits

    parts = digits.load()
    trained_on = set()
    for uri in runs[-1]["data"]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        text = platform.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        trained_on |= {line.partition(",")[2] for line in text.splitlines()}
    assert len(trained_on) == 1437
    assert not trained_on & set(parts.held_out)


def test_the_last_screen_says_where_things_are_what_they_cost_and_how_to_end_them(
    runs: list[dict[str, Any]],
) -> None:
    run = runs[-1]
    for word in (run["package"], run["endpoint"], run["execution"], *run["objects"]):
        assert word in run["screen"]
    assert "an hour" in run["screen"]
    assert "smp down" in run["screen"]


def test_the_log_of_the_demos_job_is_readable_by_its_name(
    platform: LocalPlatform, runs: list[dict[str, Any]]
) -> None:
    result = platform.smp("logs", runs[-1]["job"])
    assert result.returncode == 0
    assert "\tvalidation-merror:0." in result.stdout


def test_invoke_prints_the_endpoints_answer_and_nothing_else(
    platform: LocalPlatform, runs: list[dict[str, Any]], tmp_path: Path
) -> None:
    from local.cli import digits

    parts = digits.load()
    body = tmp_path / "row.csv"
    body.write_text(parts.held_out[0])
    result = platform.smp("invoke", "digits", "--body", f"@{body}")
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) in range(10)
    assert result.stderr == ""


def test_deploying_an_older_package_puts_it_back_into_service(
    platform: LocalPlatform, runs: list[dict[str, Any]]
) -> None:
    result = platform.smp("deploy", runs[0]["package"], "digits")
    assert result.returncode == 0, result.stderr
    assert served(platform) == runs[0]["package"]


def test_deploying_a_group_puts_its_newest_package_into_service(
    platform: LocalPlatform, runs: list[dict[str, Any]]
) -> None:
    for _ in range(2):  # the second time there is nothing to do, which is no failure
        result = platform.smp("deploy", "digits", "digits")
        assert result.returncode == 0, result.stderr
    assert "in service already" in result.stderr
    assert served(platform) == runs[-1]["package"]


def test_train_prints_what_the_workflow_gives_out(
    platform: LocalPlatform, runs: list[dict[str, Any]]
) -> None:
    result = platform.smp("train", "docs/examples/digits.json")
    assert result.returncode == 0, result.stderr
    assert "validation:merror" in result.stderr
    assert json.loads(result.stdout)["endpoint"] == "sagemaker-platform-local-digits"


def test_the_shipped_request_of_kmeans_runs_as_it_is(
    platform: LocalPlatform, runs: list[dict[str, Any]]
) -> None:
    result = platform.smp("train", "docs/examples/kmeans.json")
    assert result.returncode == 0, result.stderr
    assert "train:msd" in result.stderr


def main_job(platform: LocalPlatform, **changes: Any) -> dict[str, Any]:
    """Run the demo's request with changes to its end."""
    from local.cli import digits

    request = {
        "algorithm": "xgboost",
        "hyperparameters": {"num_round": 2, "objective": "multi:softmax", "num_class": 10},
        "channels": {
            "train": {
                "s3_uri": f"s3://{platform.parameter('storage/data-bucket')}/digits/train/",
                "content_type": "text/csv",
            }
        },
        "register": {"group": "digits", "approval": "Approved"},
        "sample": {"content_type": "text/csv", "body": digits.load().held_out[0]},
        "deploy": {"endpoint": "digits"},
    }
    execution = platform.client("stepfunctions").start_execution(
        stateMachineArn=platform.parameter("training/state-machine-arn"),
        input=json.dumps(request | changes),
    )["executionArn"]
    return ended(platform, execution)


def test_a_model_that_does_not_answer_its_sample_gives_way_to_the_last_good_one(
    platform: LocalPlatform, runs: list[dict[str, Any]]
) -> None:
    before = served(platform)
    result = main_job(platform, sample={"content_type": "text/csv", "body": "1,2,3"})
    assert result["status"] == "FAILED"
    assert "64" in result["cause"] and "3" in result["cause"]
    assert served(platform) == before
    row = platform.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="sagemaker-platform-local-digits",
        ContentType="text/csv",
        Body=",".join(["0"] * 64),
    )
    assert float(row["Body"].read()) in range(10)


def test_a_model_that_cannot_be_loaded_is_rolled_back_by_cloudformation_with_its_reason(
    platform: LocalPlatform, runs: list[dict[str, Any]]
) -> None:
    before = served(platform)
    # Somebody spoils the artifact between registration and deployment.
    other = next(run for run in runs if run["package"] != before)
    models = platform.parameter("storage/models-bucket")
    key = f"jobs/{other['job']}/output/model.tar.gz"
    good = platform.client("s3").get_object(Bucket=models, Key=key)["Body"].read()
    platform.client("s3").put_object(Bucket=models, Key=key, Body=b"no archive")
    try:
        result = platform.smp("deploy", other["package"], "digits")
    finally:
        platform.client("s3").put_object(Bucket=models, Key=key, Body=good)
    assert result.returncode == 1
    assert "archive" in result.stderr
    assert served(platform) == before


def test_a_deployment_over_the_endpoints_quota_is_told_and_leaves_what_serves(
    platform: LocalPlatform, runs: list[dict[str, Any]], alerts: str
) -> None:
    quota, before = "ml.m5.large for endpoint usage", served(platform)
    # Nobody else may find so little allowed.
    platform.faults({})
    try:
        assert platform.smp("quota", "set", quota, "1").returncode == 0
        result = main_job(platform)
    finally:
        platform.smp("quota", "set", quota, "256")
    assert result["status"] == "FAILED"
    assert f"The account-level service limit '{quota}' is 1 Instances" in result["cause"]
    assert served(platform) == before
    message = heard(platform, alerts, "Quota hit", quota)["Message"]
    assert "asked by: sagemaker-platform-local-digits, for 1 Instances" in message
    assert "--quota-code L-" in message


def test_the_sample_deploys_asks_and_tells_how_to_end_the_endpoint(
    platform: LocalPlatform,
) -> None:
    with samples.desk(platform) as desk:
        accuracy, package, command = desk.run(
            "4_deploy_and_invoke.ipynb", "[accuracy, result['model_package_arn'], end]"
        )
    assert accuracy >= 0.95
    assert served(platform) == package
    assert samples.left(platform, "deploy-and-invoke", "local-deploy") == []

    # What the sample says ends the endpoint, by whoever may change its stack.
    said = re.search(r"--stack-name (\S+) .*ParameterKey=(\S+),ParameterValue=(\S+)", command)
    assert said
    stack, key, value = said.groups()
    cloudformation = platform.client("cloudformation")
    cloudformation.update_stack(
        StackName=stack,
        UsePreviousTemplate=True,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value}],
    )
    cloudformation.get_waiter("stack_update_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    endpoints = platform.client("sagemaker").list_endpoints()["Endpoints"]
    assert "sagemaker-platform-local-digits" not in {one["EndpointName"] for one in endpoints}
