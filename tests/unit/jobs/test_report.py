import json
from typing import Any

from jobs import report

EXECUTION = "arn:aws:states:eu-west-1:111122223333:execution:sagemaker-platform-dev-training:one"
STATE: dict[str, Any] = {
    "execution": EXECUTION,
    "request": {},
    "job": {
        "name": "dev-digits-0",
        "algorithm": "xgboost",
        "s3_prefix": "s3://models/jobs/dev-digits-0/",
    },
    "training": {
        "job_arn": "arn:aws:sagemaker:eu-west-1:111122223333:training-job/dev-digits-0",
        "model_data_url": "s3://models/jobs/dev-digits-0/output/model.tar.gz",
        "metrics": {"validation:merror": 0.03},
        "training_seconds": 12,
        "billable_seconds": 12,
    },
    "package": {"arn": "arn:package/1"},
    "deployment": {"endpoint": "sagemaker-platform-dev-digits", "previous": "none"},
}


def test_a_success_says_what_was_made_and_where_it_lies() -> None:
    message = report.success(STATE, "eu-west-1")
    for fact in (
        STATE["training"]["job_arn"],
        "s3://models/jobs/dev-digits-0/",
        "arn:package/1",
        "validation:merror = 0.03",
        "in service at sagemaker-platform-dev-digits",
        f"https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/{EXECUTION}",
    ):
        assert fact in message.body
    assert message.output["model_package_arn"] == "arn:package/1"


def test_a_job_that_only_trains_names_no_endpoint() -> None:
    state = {key: STATE[key] for key in ("execution", "request", "job", "training")}
    message = report.success(state, "eu-west-1")
    assert "endpoint" not in message.output and "endpoint" not in message.body


def test_a_failure_begins_with_sagemakers_reason() -> None:
    cause = "ClientError: line 3, column 2: 'x' is no number"
    state = {**STATE, "failure": {"Error": "ClientError", "Cause": cause}}
    message = report.failure(state, "eu-west-1")
    assert message.body.splitlines()[0] == f"dev-digits-0 failed: {cause}"
    assert message.subject == "Failed: dev-digits-0: ClientError"
    assert message.output == {"Error": "ClientError", "Cause": cause}


def test_a_functions_error_is_told_as_a_sentence() -> None:
    cause = json.dumps({"errorType": "InvalidRequest", "errorMessage": "algorithm: missing"})
    failure = {"Error": "InvalidRequest", "Cause": cause}
    message = report.failure({"execution": EXECUTION, "failure": failure}, "eu-west-1")
    assert message.output == {"Error": "InvalidRequest", "Cause": "algorithm: missing"}
    assert message.body.startswith("one failed: algorithm: missing")


def test_a_subject_is_what_sns_takes() -> None:
    name = "größe\n" * 40
    state = {**STATE, "job": {**STATE["job"], "name": name}, "failure": {"Error": "E"}}
    subject = report.failure(state, "eu-west-1").subject
    assert len(subject) <= 100 and subject.isascii() and "\n" not in subject


def test_the_console_of_another_partition_is_linked() -> None:
    link = report.console("cn-north-1", EXECUTION.replace("arn:aws:", "arn:aws-cn:"))
    assert link.startswith("https://cn-north-1.console.amazonaws.cn/")
