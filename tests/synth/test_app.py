import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAGS = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
EARLIER = '{"version": "55.0.0"}'
NEEDED = ["app.py", "algorithms", "constructs", "environments", "notebooks", "rules", "stacks"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What synthesis reads, without the functions' code, and what it wrote another time."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    (folder / "cdk.out").mkdir()
    (folder / "cdk.out" / "manifest.json").write_text(EARLIER, encoding="utf-8")
    return folder


def _synthesize(
    project: Path, environment: str | None, **more: str
) -> "subprocess.CompletedProcess[str]":
    context = {**FLAGS, **more}
    if environment:
        context["environment"] = environment
    paths = [str(project), str(project / "constructs")]
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=project,
        env={
            **os.environ,
            "CDK_CONTEXT_JSON": json.dumps(context),
            "CDK_OUTDIR": str(project / "cdk.out"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(paths),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def _assert_nothing_written(project: Path) -> None:
    assert sorted(path.name for path in project.iterdir()) == sorted([*NEEDED, "cdk.out"])
    (manifest,) = (project / "cdk.out").iterdir()
    assert manifest.read_text(encoding="utf-8") == EARLIER


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "volume_gb: 100",
            "volum_gb: 100",
            "prod.yaml: training.volum_gb: unknown key; allowed: instance_types, "
            "other_instance_types, require_isolation, volume_gb, "
            "max_runtime_seconds, model_package_groups (did you mean volume_gb?)",
        ),
        (
            "volume_gb: 100",
            "volume_gb: plenty",
            "prod.yaml: training.volume_gb: found 'plenty'; allowed: integer",
        ),
        (
            "instance_type: ml.m5.xlarge",
            "instance_type: ml.trn1n.32xlarge",
            "prod.yaml: endpoints.digits.instance_type: 'ml.trn1n.32xlarge' is no instance type "
            "for endpoint: it exists only for training; allowed: ",
        ),
        (
            "model_package_groups: [digits]",
            "model_package_groups: [digits-of-a-postal-code-on-a-letter-from-abroad]",
            "prod.yaml: training.model_package_groups.0: "
            "'digits-of-a-postal-code-on-a-letter-from-abroad' is too long",
        ),
    ],
    ids=["unknown key", "wrong type", "instance type of another use", "name too long"],
)
def test_a_mistake_in_a_file_ends_synthesis_and_nothing_is_written(
    project: Path, before: str, after: str, message: str
) -> None:
    path = project / "environments" / "prod.yaml"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    result = _synthesize(project, "prod")
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    _assert_nothing_written(project)


@pytest.mark.parametrize("environment", [None, "production"])
def test_an_environment_must_be_named_and_exist(project: Path, environment: str | None) -> None:
    result = _synthesize(project, environment)
    assert result.returncode == 1
    assert "dev, local, prod, staging" in result.stderr
    _assert_nothing_written(project)


def test_functions_that_are_not_staged_are_missed_before_anything_is_written(
    project: Path,
) -> None:
    result = _synthesize(project, "prod")
    assert result.returncode == 1
    assert "build/functions/aws does not exist: run `make functions` first" in result.stderr
    _assert_nothing_written(project)


@pytest.mark.parametrize(
    ("today", "said", "goes_on"),
    [
        ("2030-06-30", "dev.yaml: notebooks: notebook-al2023-v1 ends on 2030-06-30", True),
        ("2030-07-01", "dev.yaml: notebooks: notebook-al2023-v1 ended on 2030-06-30", False),
        ("soon", "the context today is 'soon'; allowed: a date such as 2026-11-30", False),
    ],
    ids=["the-last-day", "past", "no-date"],
)
def test_what_aws_has_closed_ends_synthesis_and_what_it_will_close_is_said(
    project: Path, today: str, said: str, goes_on: bool
) -> None:
    fact = (
        "- name: notebook-al2023-v1\n  kind: notebook-platform\n  until: 2030-06-30\n"
        "  successor: notebook-next\n  source: https://docs.aws.amazon.com/\n"
    )
    with (project / "environments" / "data" / "retired.yaml").open("a") as table:
        table.write(fact)
    result = _synthesize(project, "dev", today=today)
    assert result.returncode == 1
    assert said in result.stderr
    # What is only said does not keep synthesis from its next step.
    assert ("run `make functions` first" in result.stderr) == goes_on
    _assert_nothing_written(project)


@pytest.fixture
def staged(project: Path) -> Path:
    code = project / "build" / "functions" / "aws"
    code.mkdir(parents=True)
    (code / "handler.py").write_text("", encoding="utf-8")
    return project


def _break(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_a_finding_that_nobody_has_acknowledged_ends_synthesis(staged: Path) -> None:
    constructs = staged / "constructs" / "sagemaker_constructs"
    _break(constructs / "buckets.py", "enforce_ssl=True", "enforce_ssl=False")
    _break(
        constructs / "endpoint.py",
        "enable_network_isolation=True",
        "enable_network_isolation=False",
    )
    result = _synthesize(staged, "prod")
    assert result.returncode == 1
    assert "SageMaker_5" in result.stderr
    assert "AwsSolutions-S10" in result.stderr
