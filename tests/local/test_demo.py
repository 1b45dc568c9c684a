import json
from pathlib import Path
from typing import Any

import pytest

from tests.local.conftest import LocalPlatform


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
    stack = platform.client("cloudformation").describe_stacks(
        StackName=platform.parameter("endpoints/digits/stack-name")
    )["Stacks"][0]
    in_service = {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}
    assert in_service["ModelPackageArn"] == second["package"]


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
    stack = platform.client("cloudformation").describe_stacks(
        StackName=platform.parameter("endpoints/digits/stack-name")
    )["Stacks"][0]
    in_service = {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}
    assert in_service["ModelPackageArn"] == runs[0]["package"]


def test_deploying_a_group_puts_its_newest_package_into_service(
    platform: LocalPlatform, runs: list[dict[str, Any]]
) -> None:
    for _ in range(2):  # the second time there is nothing to do, which is no failure
        result = platform.smp("deploy", "digits", "digits")
        assert result.returncode == 0, result.stderr
    assert "in service already" in result.stderr
    stack = platform.client("cloudformation").describe_stacks(
        StackName=platform.parameter("endpoints/digits/stack-name")
    )["Stacks"][0]
    in_service = {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}
    assert in_service["ModelPackageArn"] == runs[-1]["package"]


def test_train_prints_what_the_workflow_gives_out(
    platform: LocalPlatform, runs: list[dict[str, Any]]
) -> None:
    result = platform.smp("train", "docs/examples/digits.json")
    assert result.returncode == 0, result.stderr
    assert "validation:merror" in result.stderr
    assert json.loads(result.stdout)["endpoint"] == "sagemaker-platform-local-digits"
