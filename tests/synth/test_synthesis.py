"""The templates of every environment, synthesized by the CDK CLI without an account."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from environments.model import Environment, names
from environments.prices import prices
from local.platform import assembly
from local.platform.commands import Commands
from local.platform.home import ENVIRONMENT
from stacks.assembly import stacks
from stacks.idle_cost import ALWAYS, DEPLOYED, RUNNING, Line, lines, priced
from tests.synth.grants import findings

ROOT = Path(__file__).parents[2]
UNPACKED = Path.home() / ".cache" / "aws" / "jsii" / "package-cache"
ENVIRONMENTS = ["dev", "local", "prod", "staging"]
PARTS = ["network", "storage", "images", "governance", "training"]


@pytest.fixture(scope="module")
def synthesize(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Synthesizes as a person does who has never heard of an account, once an environment.

    The local one is what `smp up` made for the tests' platforms, or will deploy: it runs the same
    command of the CLI without an account, see tests/unit/cli/test_assembly.py.
    """
    home = tmp_path_factory.mktemp("home")
    shell = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    shell |= {
        "HOME": str(home),
        # Unpacking the CDK again would take longer than all else here.
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(UNPACKED),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }

    @cache
    def once(environment: str) -> Path:
        if environment == ENVIRONMENT:
            return assembly.make(Commands(), lambda _: None)
        folder = home / environment
        command = [str(ROOT / "node_modules" / ".bin" / "cdk"), "synth", "--quiet", "--strict"]
        command += ["--no-lookups", "-c", f"environment={environment}", "-o", str(folder)]
        result = subprocess.run(
            command, cwd=ROOT, env=shell, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return folder

    return once


def test_every_environment_is_judged_here() -> None:
    assert names() == ENVIRONMENTS


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_synthesizes_strictly_and_without_an_account(
    synthesize: Callable[[str], Path], environment: str
) -> None:
    config = Environment.load(environment)
    parts = [*PARTS, *(f"endpoint-{name}" for name in config.endpoints)]
    parts += ["development"] if config.notebooks else []
    parts += ["delivery"] if config.delivery else []
    written = {path.name for path in synthesize(environment).glob("*.template.json")}
    assert written == {f"sagemaker-platform-{environment}-{part}.template.json" for part in parts}


@pytest.mark.holds("Nor in any environment that is deployed, in a private network or without one.")
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_environment_grants_anything_over_what_is_anothers(
    synthesize: Callable[[str], Path], environment: str
) -> None:
    private = Environment.load(environment).network.mode == "private"
    for name, stack in stacks(synthesize(environment)).items():
        assert findings(stack.template(), private=private) == [], name


def _idle(assembly: Path) -> dict[str, Line]:
    found = lines(((one.template(), one.region) for one in stacks(assembly).values()), prices())
    return {f"{line.what}, {line.when}": line for line in found}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_type_of_resource_is_priced_or_known_to_be_free_at_rest(
    synthesize: Callable[[str], Path], environment: str
) -> None:
    templates = [one.template() for one in stacks(synthesize(environment)).values()]
    types = {one["Type"] for template in templates for one in template["Resources"].values()}
    assert [kind for kind in sorted(types) if not priced(kind, prices())] == []
    assert {line.when for line in _idle(synthesize(environment)).values()} <= {
        ALWAYS,
        DEPLOYED,
        RUNNING,
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_a_shipped_environment_costs_when_idle_is_known_to_the_last_line(
    synthesize: Callable[[str], Path], environment: str
) -> None:
    found = _idle(synthesize(environment)).values()
    assert [line.what for line in found if line.month(prices().hours_per_month) is None] == []


@pytest.mark.parametrize("environment", ["prod", "staging"])
def test_a_private_network_without_notebooks_costs_nothing_by_the_hour(
    synthesize: Callable[[str], Path], environment: str
) -> None:
    found = _idle(synthesize(environment)).values()
    assert "gateway endpoint" in {line.what for line in found}
    assert [line.what for line in found if line.when == ALWAYS and line.unit == "hour"] == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_endpoints_and_notebooks_of_the_file_are_in_its_idle_cost(
    synthesize: Callable[[str], Path], environment: str
) -> None:
    config, found = Environment.load(environment), _idle(synthesize(environment))
    prefix = f"sagemaker-platform-{environment}"
    for name, endpoint in config.endpoints.items():
        line = found[f"endpoint {prefix}-{name}: {endpoint.instance_type}, {DEPLOYED}"]
        assert line.count == endpoint.instances.min
    for name, notebook in config.notebooks.items():
        assert f"notebook {prefix}-{name}: {notebook.instance_type}, {RUNNING}" in found
        volume = found[f"notebook {prefix}-{name}: volume, kept while stopped, {ALWAYS}"]
        assert volume.count == notebook.volume_gb


@pytest.mark.parametrize("environment", ["dev", "prod", "staging"])
def test_a_workflow_may_assume_what_the_cli_deploys_the_assembly_with_and_nothing_else(
    synthesize: Callable[[str], Path], environment: str
) -> None:
    folder = synthesize(environment)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    needed = {
        artifact["properties"]["assumeRoleArn"]
        for artifact in manifest["artifacts"].values()
        if artifact["type"] == "aws:cloudformation:stack"
    }
    for path in folder.glob("*.assets.json"):
        assets = json.loads(path.read_text(encoding="utf-8"))
        for asset in [*assets["files"].values(), *assets.get("dockerImages", {}).values()]:
            needed |= {place["assumeRoleArn"] for place in asset["destinations"].values()}
    (path,) = folder.glob("*-delivery.template.json")
    template = json.loads(path.read_text(encoding="utf-8"))
    (role,) = [r for r in template["Resources"].values() if r["Type"] == "AWS::IAM::Role"]
    (policy,) = role["Properties"]["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    partition = "arn:${AWS::Partition}:"
    assert {arn.replace(partition, "arn:aws:") for arn in needed} == set(statement["Resource"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_cfn_lint_finds_nothing_that_is_not_explained(
    synthesize: Callable[[str], Path], environment: str
) -> None:
    from cfnlint.config import ConfigMixIn  # takes a second, of every worker if it stood above
    from cfnlint.runner import Runner

    templates = sorted(map(str, synthesize(environment).glob("*.template.json")))
    region = Environment.load(environment).region
    rules = ["--config-file", str(ROOT / ".cfnlintrc.yaml"), "--regions", region]
    findings = Runner(ConfigMixIn([*rules, "--", *templates])).run()
    assert [f"{one.filename}: {one.rule.id} {one.message}" for one in findings] == []
