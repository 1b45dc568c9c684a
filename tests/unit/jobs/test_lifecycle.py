import json
from typing import Any, cast

import pytest

from jobs.lifecycle import Lifecycle, SweepFailed
from jobs.table import BUSY_SECONDS, JobTable, TakenError
from tests.unit.jobs.fakes import Killed, SageMaker, Tasks, refusal

NAME = "dev-digits-0"
NOW = 1_000_000
LATER = NOW + BUSY_SECONDS + 1
PARAMETERS: dict[str, Any] = {
    "TrainingJobName": NAME,
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "RoleArn": "role",
    "HyperParameters": {"k": "10"},
    "OutputDataConfig": {"S3OutputPath": "s3://models/jobs"},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


@pytest.fixture
def sagemaker() -> SageMaker:
    return SageMaker()


@pytest.fixture
def tasks() -> Tasks:
    return Tasks(waiting={"token"})


@pytest.fixture
def life(table: JobTable, sagemaker: SageMaker, tasks: Tasks) -> Lifecycle:
    return Lifecycle(table, cast("Any", sagemaker), cast("Any", tasks))


def begin(life: Lifecycle, token: str = "token", now: int = NOW) -> None:
    life.begin(token=token, execution="execution", parameters=PARAMETERS, now=now)


def status(life: Lifecycle) -> str | None:
    job = life.table.get(NAME)
    assert job
    return job.status


def test_a_job_that_completes_completes_its_task(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    begin(life)
    assert status(life) == "training"
    sagemaker.complete(NAME)
    life.settle(NAME, NOW)
    ((token, how, output),) = tasks.answers
    assert (token, how) == ("token", "success")
    assert json.loads(output)["metrics"] == {"validation:merror": 0.03}
    assert json.loads(output)["model_data_url"].endswith("/output/model.tar.gz")
    assert status(life) is None


def test_a_job_that_fails_fails_its_task_with_sagemakers_kind_and_reason(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    begin(life)
    sagemaker.fail(NAME, "ClientError: line 3, column 2: 'x' is no number, exit code: 1")
    life.settle(NAME, NOW)
    assert tasks.answers == [
        ("token", "ClientError", "ClientError: line 3, column 2: 'x' is no number, exit code: 1")
    ]


def test_an_event_while_the_job_runs_changes_nothing(life: Lifecycle, tasks: Tasks) -> None:
    begin(life)
    life.settle(NAME, NOW)
    assert tasks.answers == [] and status(life) == "training"


def test_a_doubled_event_answers_once(life: Lifecycle, sagemaker: SageMaker, tasks: Tasks) -> None:
    begin(life)
    sagemaker.complete(NAME)
    life.settle(NAME, NOW)
    life.settle(NAME, NOW)
    assert len(tasks.answers) == 1


def test_of_two_events_at_the_same_time_one_answers(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    begin(life)
    sagemaker.complete(NAME)
    assert life.table.claim(NAME, "token", NOW)
    life.settle(NAME, NOW)
    assert tasks.answers == []


def test_an_event_of_somebody_elses_job_is_let_pass(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    sagemaker.create_training_job(**PARAMETERS)
    sagemaker.complete(NAME)
    life.settle(NAME, NOW)
    assert tasks.answers == []


def test_a_lost_event_is_made_good_by_the_sweep(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    begin(life)
    sagemaker.complete(NAME)
    assert life.sweep(LATER) == [NAME]
    assert [how for _, how, _ in tasks.answers] == ["success"]
    assert life.sweep(LATER + 1000) == []


def test_the_sweep_leaves_alone_what_somebody_is_at_work_on(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    life.table.put(NAME, token="token", execution="execution", parameters=PARAMETERS, now=NOW)
    assert life.sweep(NOW + 60) == [] and sagemaker.created == []
    begin(life)
    sagemaker.complete(NAME)
    assert life.table.claim(NAME, "token", NOW)
    assert life.sweep(NOW + 60) == [] and tasks.answers == []


def test_a_lost_event_is_made_good_by_the_very_next_sweep(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    begin(life)
    sagemaker.complete(NAME)
    assert life.sweep(NOW) == [NAME] and len(tasks.answers) == 1


def test_killed_before_creating_the_sweep_creates_the_job(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    life.table.put(NAME, token="token", execution="execution", parameters=PARAMETERS, now=NOW)
    life.sweep(LATER)
    assert sagemaker.created == [NAME] and status(life) == "training"
    sagemaker.complete(NAME)
    life.settle(NAME, LATER)
    assert [how for _, how, _ in tasks.answers] == ["success"]


def test_killed_after_creating_a_retry_goes_on_with_the_same_job(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    sagemaker.kill = True
    with pytest.raises(Killed):
        begin(life)
    tasks.waiting = {"second"}
    begin(life, "second")
    assert sagemaker.created == [NAME]
    sagemaker.complete(NAME)
    life.settle(NAME, NOW)
    assert [(token, how) for token, how, _ in tasks.answers] == [("second", "success")]


def test_killed_after_creating_without_a_retry_the_event_still_answers(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    sagemaker.kill = True
    with pytest.raises(Killed):
        begin(life)
    sagemaker.complete(NAME)
    life.settle(NAME, NOW)
    assert [how for _, how, _ in tasks.answers] == ["success"]


def test_a_retry_that_comes_after_the_end_answers_at_once(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    begin(life)
    sagemaker.complete(NAME)
    tasks.waiting = {"second"}
    life.settle(NAME, NOW)
    assert tasks.answers == [] and status(life) is None
    begin(life, "second")
    assert [(token, how) for token, how, _ in tasks.answers] == [("second", "success")]


def test_killed_while_answering_the_sweep_answers(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    begin(life)
    sagemaker.complete(NAME)
    tasks.kill = True
    with pytest.raises(Killed):
        life.settle(NAME, NOW)
    assert status(life) == "answering"
    life.sweep(LATER)
    assert [how for _, how, _ in tasks.answers] == ["success"] and status(life) is None


def test_a_token_that_nobody_waits_for_is_tolerated(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    begin(life)
    tasks.waiting.clear()
    sagemaker.complete(NAME)
    life.settle(NAME, NOW)
    assert status(life) is None


def test_a_job_is_not_created_for_an_execution_that_has_ended(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    life.table.put(NAME, token="token", execution="execution", parameters=PARAMETERS, now=NOW)
    tasks.waiting.clear()
    life.sweep(LATER)
    assert sagemaker.created == [] and status(life) is None


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDeniedException", "User is not authorized to perform: iam:PassRole"),
        ("ResourceLimitExceeded", "The account-level service limit 'ml.m5.xlarge for ...' is 0"),
        ("ValidationException", "No S3 objects found under S3 URL"),
    ],
)
def test_what_sagemaker_refuses_fails_the_task_in_its_words(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks, code: str, message: str
) -> None:
    sagemaker.refuse = refusal(code, message)
    begin(life)
    assert tasks.answers == [("token", code, message)] and status(life) is None


def test_what_passes_by_itself_is_tried_again_by_the_sweep(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    sagemaker.refuse = refusal("ThrottlingException", "Rate exceeded")
    begin(life)
    assert tasks.answers == [] and status(life) == "starting"
    sagemaker.refuse = None
    life.sweep(LATER)
    assert sagemaker.created == [NAME] and status(life) == "training"


def test_a_stranger_of_the_same_name_is_not_taken_for_ones_own(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    sagemaker.create_training_job(**{**PARAMETERS, "HyperParameters": {"k": "2"}})
    begin(life)
    ((_, error, cause),) = tasks.answers
    assert error == "ResourceInUse" and NAME in cause


def test_a_job_that_sagemaker_does_not_know_any_more_fails_its_task(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    begin(life)
    sagemaker.jobs.clear()
    life.sweep(LATER)
    assert [error for _, error, _ in tasks.answers] == ["TrainingJobLost"]


def test_a_task_that_cannot_be_told_now_is_told_by_the_next_sweep(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    begin(life)
    sagemaker.complete(NAME)
    tasks.broken = refusal("AccessDeniedException", "not authorized: states:SendTaskSuccess")
    with pytest.raises(SweepFailed, match="states:SendTaskSuccess"):
        life.sweep(LATER)
    tasks.broken = None
    life.sweep(LATER + BUSY_SECONDS + 2)
    assert [how for _, how, _ in tasks.answers] == ["success"]


def test_one_job_that_fails_the_sweep_does_not_keep_it_from_the_others(
    life: Lifecycle, sagemaker: SageMaker, tasks: Tasks
) -> None:
    begin(life)
    other = {**PARAMETERS, "TrainingJobName": "dev-other-0"}
    tasks.waiting.add("other")
    life.begin(token="other", execution="other", parameters=other, now=NOW)
    sagemaker.complete("dev-other-0")
    sagemaker.jobs[NAME] = {"TrainingJobStatus": "Completed"}
    with pytest.raises(SweepFailed, match=NAME):
        life.sweep(LATER)
    assert [token for token, _, _ in tasks.answers] == ["other"]


def test_another_execution_cannot_take_over_a_jobs_row(life: Lifecycle) -> None:
    begin(life)
    with pytest.raises(TakenError):
        life.begin(token="mine", execution="another", parameters=PARAMETERS, now=NOW)


def test_rows_go_by_themselves_long_after_the_longest_job(table: JobTable) -> None:
    table.put(NAME, token="t", execution="e", parameters=PARAMETERS, now=NOW)
    row = table._dynamodb.get_item(TableName="jobs", Key={"id": {"S": f"job#{NAME}"}})["Item"]
    assert int(row["expires"]["N"]) - NOW > 28 * 24 * 3600
