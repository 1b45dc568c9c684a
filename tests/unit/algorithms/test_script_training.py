"""Training scripts as processes, by the contract of SageMaker's training toolkit."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import algorithms
from algorithms.scripts import environment
from algorithms.scripts.code import CodeError, check_requirements, fetch, inside
from tests.unit.sagemaker.surroundings import archive

START = Path(str(algorithms.__file__)).with_name("start.py")
REPORT = """
import json, os, sys
with open(os.path.join(os.environ["SM_MODEL_DIR"], "report.json"), "w") as file:
    told = {"arguments": sys.argv[1:], "folder": os.getcwd(), "variables": dict(os.environ)}
    json.dump(told, file)
"""
Base = Callable[..., Path]


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """A job's folder, as the platform lays it out, with a script."""

    def made(
        script: str = REPORT,
        program: str = "fit.py",
        hyperparameters: Mapping[str, Any] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> Path:
        code, config = tmp_path / "input/data/code", tmp_path / "input/config"
        for folder in (code, config, tmp_path / "model", tmp_path / "output/data"):
            folder.mkdir(parents=True)
        (code / "sourcedir.tar.gz").write_bytes(archive({program: script, **(files or {})}))
        given = {
            "sagemaker_program": program,
            "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz",
            **(hyperparameters or {}),
        }
        texts = {name: json.dumps(value) for name, value in given.items()}
        channel = {"TrainingInputMode": "File"}
        group = {"instance_group_name": "g", "instance_type": "ml.m5.large", "hosts": ["algo-1"]}
        for name, document in {
            "hyperparameters": texts,
            "inputdataconfig": {"train": channel, "code": channel},
            "resourceconfig": {
                "current_host": "algo-1",
                "hosts": ["algo-1"],
                "current_instance_type": "ml.m5.large",
                "current_group_name": "g",
                "instance_groups": [group],
                "network_interface_name": "lo",
            },
        }.items():
            (config / f"{name}.json").write_text(json.dumps(document))
        return tmp_path

    return made


def start(base: Path, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-I", "-u", str(START), "train"],
        env={
            "PATH": os.environ["PATH"],
            "SCRIPT_FRAMEWORK": "scikit-learn",
            "SAGEMAKER_BASE_DIR": str(base),
            "TRAINING_JOB_NAME": "job",
            **variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def train(base: Path, **variables: str) -> tuple[int, str]:
    process = start(base, **variables)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def failure(base: Path) -> str:
    return (base / "output/failure").read_text()


def test_a_script_gets_its_hyperparameters_as_arguments_and_what_the_toolkit_tells(
    base: Base,
) -> None:
    folder = base(
        hyperparameters={
            "rate": 0.5,
            "layers": [1, 2],
            "b": True,
            "name": "a b",
            "sagemaker_job_name": "job",
            "sagemaker_mpi_enabled": False,
        }
    )
    code, output = train(folder, OWN="of the request", SCRIPT_IMAGE_VERSION="0.23-1")
    assert code == 0, output
    report = json.loads((folder / "model/report.json").read_text())
    assert report["arguments"] == [
        *("-b", "True", "--layers", "[1, 2]", "--name", "a b", "--rate", "0.5"),
    ]
    assert report["folder"] == str(folder / "code")
    told = report["variables"]
    for name, value in {
        "SM_MODEL_DIR": folder / "model",
        "SM_CHANNEL_TRAIN": folder / "input/data/train",
        "SM_CHANNELS": '["code","train"]',
        "SM_OUTPUT_DATA_DIR": folder / "output/data",
        "SM_OUTPUT_DIR": folder / "output",
        "SM_INPUT_DIR": folder / "input",
        "SM_INPUT_CONFIG_DIR": folder / "input/config",
        "SM_HPS": '{"b":true,"layers":[1,2],"name":"a b","rate":0.5}',
        "SM_HP_RATE": "0.5",
        "SM_HP_NAME": "a b",
        "SM_HOSTS": '["algo-1"]',
        "SM_CURRENT_HOST": "algo-1",
        "SM_CURRENT_INSTANCE_TYPE": "ml.m5.large",
        "SM_CURRENT_INSTANCE_GROUP": "g",
        "SM_NETWORK_INTERFACE_NAME": "lo",
        "SM_NUM_GPUS": str(environment.gpu_count()),
        "SM_NUM_CPUS": str(os.cpu_count()),
        "SM_LOG_LEVEL": "20",
        "SM_USER_ENTRY_POINT": "fit.py",
        "SM_MODULE_NAME": "fit",
        "SM_FRAMEWORK_PARAMS": '{"sagemaker_mpi_enabled":false}',
        "SM_USER_ARGS": '["-b","True","--layers","[1, 2]","--name","a b","--rate","0.5"]',
        "OWN": "of the request",
        "TRAINING_JOB_NAME": "job",
        "PYTHONPATH": folder / "code",
    }.items():
        assert told[name] == str(value), name
    assert json.loads(told["SM_TRAINING_ENV"])["job_name"] == "job"
    assert "SCRIPT_FRAMEWORK" not in told
    assert "The image has scikit-learn 0.23-1; scikit-learn 1." in output


def test_a_script_that_raises_fails_the_job_with_its_error_and_command(base: Base) -> None:
    script = "import os, sys\nprint('begun')\nos.mkdir('x')\nraise ValueError('no rows in a.csv')"
    folder = base(script, hyperparameters={"rate": 1})
    code, output = train(folder)
    assert code == 1
    assert failure(folder) == (
        'ExecuteUserScriptError:\nExitCode 1\nErrorMessage "ValueError: no rows in a.csv"\n'
        'Command "python fit.py --rate 1"'
    )
    assert "begun" in output
    assert "Traceback (most recent call last)" in output


@pytest.mark.parametrize(
    ("script", "exit_code", "message"),
    [
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('no data')", 1, "no data"),
        ("import argparse; argparse.ArgumentParser(prog='fit.py').parse_args()", 2,
         "fit.py: error: unrecognized arguments: --rate 1"),
        ("import os; os.kill(os.getpid(), 9)", 137, ""),
    ],
    ids=["code", "sentence", "arguments", "killed"],
)  # fmt: skip
def test_how_a_script_ended_is_told(base: Base, script: str, exit_code: int, message: str) -> None:
    folder = base(script, hyperparameters={"rate": 1})
    assert train(folder)[0] == 1
    assert f'ExitCode {exit_code}\nErrorMessage "{message}"' in failure(folder)


def test_a_script_that_says_itself_why_it_fails_is_heard(base: Base) -> None:
    script = """
import os, sys
with open(os.path.join(os.environ["SM_OUTPUT_DIR"], "failure"), "w") as file:
    file.write("too few rows")
sys.exit(1)
"""
    folder = base(script)
    assert train(folder)[0] == 1
    assert failure(folder) == "too few rows"


def test_a_command_runs_in_the_folder_of_the_code(base: Base) -> None:
    folder = base('#!/bin/sh\necho "$1 $2" > "$SM_MODEL_DIR/said"', "fit.sh", {"rate": 1})
    code, output = train(folder)
    assert code == 0, output
    assert (folder / "model/said").read_text() == "--rate 1\n"


def test_a_package_runs_as_a_module_without_being_installed(base: Base) -> None:
    folder = base(REPORT, "fit.py", {"rate": 1}, {"setup.py": "raise SystemExit(9)"})
    code, output = train(folder)
    assert code == 0, output
    assert json.loads((folder / "model/report.json").read_text())["arguments"] == ["--rate", "1"]


def test_a_program_that_the_code_does_not_hold_is_named_with_what_it_holds(base: Base) -> None:
    folder = base(REPORT, "other.py", {"sagemaker_program": "fit.py"})
    assert train(folder)[0] == 1
    assert failure(folder).startswith("Framework Error: \nsagemaker_program is 'fit.py', which")
    assert "it holds other.py" in failure(folder)


def test_an_isolated_job_is_told_that_its_code_cannot_come_from_s3(base: Base) -> None:
    folder = base(hyperparameters={"sagemaker_submit_directory": "s3://bucket/a/sourcedir.tar.gz"})
    assert train(folder)[0] == 1
    assert "network isolation leaves a container no way to S3" in failure(folder)


def test_an_archive_that_leaves_its_folder_is_refused(base: Base) -> None:
    folder = base(files={"../escaped.py": ""})
    assert train(folder)[0] == 1
    assert "would leave" in failure(folder)
    assert not (folder / "escaped.py").exists()


def test_a_script_that_is_asked_to_end_may_save_what_it_has(base: Base) -> None:
    script = """
import os, pathlib, signal, sys, time
def end(number, frame):
    (pathlib.Path(os.environ["SM_MODEL_DIR"]) / "saved").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(600)
"""
    folder = base(script)
    process = start(folder)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready"):
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (folder / "model/saved").exists()


def test_requirements_that_are_installed_are_met_and_others_named(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# of the script\nnumpy>=1.20  # any\nxgboost\nnumpy<1; python_version<'3'\n")
    check_requirements(tmp_path)
    file.write_text("numpy<1\nno-such-package==1\n-r more.txt\n")
    with pytest.raises(CodeError) as caught:
        check_requirements(tmp_path)
    sentence = str(caught.value)
    for part in (
        "numpy<1 (",
        "is installed)",
        "no-such-package==1 (not installed)",
        "'-r more.txt'",
    ):
        assert part in sentence


def test_requirements_that_are_not_met_fail_the_job(base: Base) -> None:
    folder = base(files={"requirements.txt": "no-such-package"})
    assert train(folder)[0] == 1
    assert failure(folder).startswith(
        'InstallRequirementsError:\nExitCode 1\nErrorMessage "requirements.txt asks for '
        "no-such-package (not installed)."
    )
    assert not (folder / "model/report.json").exists()


def test_paths_of_the_container_mean_the_folder_of_the_job() -> None:
    base = Path("/job")
    assert inside("/opt/ml/model/code", base) == base / "model/code"
    assert inside("file:///opt/ml", base) == base
    assert inside("/opt/mlx", base) == Path("/opt/mlx")


def test_a_folder_as_submitted_directory_is_copied(tmp_path: Path) -> None:
    source = tmp_path / "input/data/code"
    source.mkdir(parents=True)
    (source / "fit.py").write_text("")
    fetch("/opt/ml/input/data/code", tmp_path / "code", tmp_path)
    assert (tmp_path / "code/fit.py").exists()
    with pytest.raises(CodeError, match="which is not there"):
        fetch("/opt/ml/input/data/none", tmp_path / "code", tmp_path)
