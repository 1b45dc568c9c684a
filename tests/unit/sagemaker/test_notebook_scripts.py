"""Lifecycle scripts that fail, for each way in which they can."""

from pathlib import Path

import pytest

from local.sagemaker.errors import ServiceError
from local.sagemaker.limits import Limits
from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.notebooks import alive, create, described, encoded, log, script, settled
from tests.unit.sagemaker.surroundings import (
    LIMITS,
    TestAws,
    TestRuntime,
    confinement,
    told,
    until,
)

REASON = (
    "Notebook Instance Lifecycle Config 'arn:aws:sagemaker:us-east-1:000000000000:"
    "notebook-instance-lifecycle-config/broken' for Notebook Instance 'arn:aws:sagemaker:"
    "us-east-1:000000000000:notebook-instance/one' took longer than 5 minutes. Please check your "
    "CloudWatch logs for more details if your Notebook Instance has Internet access. "
)


def test_a_script_that_fails_fails_the_instance_as_aws_words_it_and_says_why(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    text = "#!/bin/bash\nset -e\necho before\ncat /no/such/file\necho after\n"
    create(sagemaker, "one", LifecycleConfigName=script(sagemaker, "broken", OnCreate=text))
    failed = settled(sagemaker, "one")
    assert failed["NotebookInstanceStatus"] == "Failed"
    assert failed["FailureReason"] == REASON + "(OnCreate ended with exit code 1.)"
    lines = log("one/LifecycleConfigOnCreate")
    assert lines[0] == "before"
    assert "No such file or directory" in lines[1]
    assert "after" not in lines
    detail = told(aws, "NotebookInstanceStatus", "Failed")
    assert detail["FailureReason"] == failed["FailureReason"]


def test_a_script_with_crlf_fails_as_bash_fails_and_the_reason_says_so(
    sagemaker: SageMakerService,
) -> None:
    text = "#!/bin/bash\r\necho hello\r\n"
    create(sagemaker, "one", LifecycleConfigName=script(sagemaker, "broken", OnStart=text))
    reason = settled(sagemaker, "one")["FailureReason"]
    assert reason.startswith(REASON + "(OnStart ended with exit code 126;") or reason.startswith(
        REASON + "(OnStart ended with exit code 127;"
    )
    assert "CRLF" in reason
    assert "dos2unix" in reason
    (line,) = log("one/LifecycleConfigOnStart")
    # The second is how bash 5.2 words the first.
    assert "bad interpreter" in line or "required file not found" in line


def test_an_endless_script_is_ended_with_all_that_it_began(aws: TestAws, tmp_path: Path) -> None:
    limits = Limits(**{**vars(LIMITS), "notebook_script": 0.5, "notebook_stop": 0.2})
    sagemaker = SageMakerService(
        aws,
        tmp_path / "a state",
        runtime=TestRuntime(),
        limits=limits,
        confinement=confinement(tmp_path / "a state"),
    )
    pids = tmp_path / "pids"
    text = (
        "#!/bin/bash\n"
        f"(trap '' TERM; echo $BASHPID >> {pids}; while :; do sleep 1; done) &\n"
        f"setsid bash -c 'echo $$ >> {pids}; sleep 600' &\n"
        f"echo $$ >> {pids}\n"
        "while :; do sleep 1; done\n"
    )
    try:
        create(sagemaker, "one", LifecycleConfigName=script(sagemaker, "broken", OnStart=text))
        failed = settled(sagemaker, "one")
    finally:
        sagemaker.close()
    assert failed["FailureReason"] == REASON + "(OnStart was ended after 0.5 seconds.)"
    begun = [int(pid) for pid in pids.read_text().split()]
    assert len(begun) == 3
    assert not [pid for pid in begun if alive(pid)]


def test_a_role_that_may_write_no_logs_costs_the_instance_its_logs_and_nothing_else(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    aws.denied.add("logs:CreateLogStream")
    text = "#!/bin/bash\necho unheard\nexit 5\n"
    create(sagemaker, "one", LifecycleConfigName=script(sagemaker, "broken", OnStart=text))
    assert "OnStart ended with exit code 5" in settled(sagemaker, "one")["FailureReason"]


def test_an_instance_that_starts_refuses_to_stop_as_aws_does(
    sagemaker: SageMakerService, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    text = f"#!/bin/bash\nwhile [ ! -e {gate} ]; do sleep 0.05; done\nexit 3\n"
    create(sagemaker, "one", LifecycleConfigName=script(sagemaker, "broken", OnStart=text))
    arn = described(sagemaker, "one")["NotebookInstanceArn"]
    with pytest.raises(ServiceError) as refused:
        sagemaker.call("StopNotebookInstance", {"NotebookInstanceName": "one"})
    assert refused.value.code == "ValidationException"
    assert refused.value.message == (
        "Status (Pending) not in ([InService]). Unable to transition to (Stopping) for Notebook "
        f"Instance ({arn})."
    )
    # The script was not troubled, and its end is the instance's.
    assert described(sagemaker, "one")["NotebookInstanceStatus"] == "Pending"
    gate.touch()
    assert "exit code 3" in settled(sagemaker, "one")["FailureReason"]


def test_a_script_that_breaks_jupyterlab_fails_the_instance_and_says_where_to_look(
    sagemaker: SageMakerService,
) -> None:
    text = "#!/bin/bash\necho 'raise SystemExit(3)' > $HOME/.jupyter/jupyter_server_config.py\n"
    create(sagemaker, "one", LifecycleConfigName=script(sagemaker, "broken", OnStart=text))
    reason = settled(sagemaker, "one")["FailureReason"]
    assert reason == (
        "JupyterLab ended with exit code 3 before it answered. See its log: one/jupyter.log in "
        "/aws/sagemaker/NotebookInstances."
    )


def test_a_platform_that_closes_during_on_start_ends_the_script_and_starts_it_anew(
    aws: TestAws, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    wait = f"if [ $(wc -l < {pids}) = 1 ]; then sleep 600; fi"
    text = f"#!/bin/bash\necho $$ >> {pids}\n{wait}\nexit 4\n"

    def service() -> SageMakerService:
        return SageMakerService(
            aws,
            tmp_path / "state",
            runtime=TestRuntime(),
            limits=LIMITS,
            confinement=confinement(tmp_path / "state"),
        )

    first = service()
    create(first, "one", LifecycleConfigName=script(first, "broken", OnStart=text))
    until(lambda: pids.exists() and pids.read_text())
    first.close()
    assert not alive(int(pids.read_text().split()[0]))
    second = service()
    try:
        assert described(second, "one")["NotebookInstanceStatus"] == "Pending"
        second.start()
        assert "OnStart ended with exit code 4" in settled(second, "one")["FailureReason"]
    finally:
        second.close()


def test_on_create_that_was_cut_off_fails_the_instance_and_never_runs_again(
    aws: TestAws, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    text = f"#!/bin/bash\necho once >> {ran}\nsleep 600\n"

    def service() -> SageMakerService:
        return SageMakerService(
            aws,
            tmp_path / "state",
            runtime=TestRuntime(),
            limits=LIMITS,
            confinement=confinement(tmp_path / "state"),
        )

    first = service()
    create(first, "one", LifecycleConfigName=script(first, "cut", OnCreate=text))
    until(lambda: ran.exists() and ran.read_text())
    first.close()
    second = service()
    try:
        second.start()
        failed = settled(second, "one")
    finally:
        second.close()
    assert failed["NotebookInstanceStatus"] == "Failed"
    assert "stopped while OnCreate ran" in failed["FailureReason"]
    assert ran.read_text() == "once\n"


def test_a_script_over_the_size_is_refused_as_aws_refuses_it(sagemaker: SageMakerService) -> None:
    longest = 16_384 // 4 * 3
    script(sagemaker, "fits", OnStart="#" * longest)
    with pytest.raises(ServiceError) as refused:
        script(sagemaker, "over", OnStart="#" * (longest + 1))
    assert "at 'onStart.1.member.content' failed to satisfy constraint" in refused.value.message
    assert "Member must have length less than or equal to 16384" in refused.value.message
    with pytest.raises(ServiceError):
        sagemaker.call(
            "DescribeNotebookInstanceLifecycleConfig",
            {"NotebookInstanceLifecycleConfigName": "over"},
        )


def test_a_script_that_is_no_base64_is_refused(sagemaker: SageMakerService) -> None:
    with pytest.raises(ServiceError, match="OnCreate is not base64"):
        sagemaker.call(
            "CreateNotebookInstanceLifecycleConfig",
            {
                "NotebookInstanceLifecycleConfigName": "plain",
                "OnCreate": [{"Content": "#!/bin/bash"}],
            },
        )


def test_configs_are_described_listed_updated_and_deleted(sagemaker: SageMakerService) -> None:
    script(sagemaker, "a-first", OnStart="exit 0")
    script(sagemaker, "b-second", OnCreate="exit 0")
    name = {"NotebookInstanceLifecycleConfigName": "a-first"}
    sagemaker.call("UpdateNotebookInstanceLifecycleConfig", {**name, "OnCreate": encoded("exit 1")})
    found = sagemaker.call("DescribeNotebookInstanceLifecycleConfig", name)
    assert found["OnCreate"] == encoded("exit 1")
    assert found["OnStart"] == []
    listed = sagemaker.call(
        "ListNotebookInstanceLifecycleConfigs", {"SortBy": "Name", "SortOrder": "Descending"}
    )["NotebookInstanceLifecycleConfigs"]
    names = [entry["NotebookInstanceLifecycleConfigName"] for entry in listed]
    assert names == ["b-second", "a-first"]
    sagemaker.call("DeleteNotebookInstanceLifecycleConfig", name)
    arn = found["NotebookInstanceLifecycleConfigArn"]
    for verb in ("Describe", "Update", "Delete"):
        with pytest.raises(ServiceError) as missing:
            sagemaker.call(f"{verb}NotebookInstanceLifecycleConfig", name)
        assert missing.value.message == (
            f"Unable to {verb.lower()} Notebook Instance Lifecycle Config '{arn}'. "
            "(Details: Notebook Instance Lifecycle Config does not exist.)"
        )
    with pytest.raises(ServiceError, match="already exists"):
        script(sagemaker, "b-second", OnCreate="exit 0")
