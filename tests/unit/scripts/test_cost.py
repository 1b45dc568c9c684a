import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
KEY = {"Type": "AWS::KMS::Key"}
NAT = {"Type": "AWS::EC2::NatGateway"}
PROVISIONED = {"Type": "AWS::DynamoDB::Table", "Properties": {"BillingMode": "PROVISIONED"}}
UNCOUNTED = {
    "Type": "AWS::EC2::VPCEndpoint",
    "Properties": {"VpcEndpointType": "Interface", "SubnetIds": {"Ref": "Subnets"}},
}


def _assembly(folder: Path, region: str, **resources: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "one.json").write_text(json.dumps({"Resources": resources}), encoding="utf-8")
    artifact = {
        "type": "aws:cloudformation:stack",
        "environment": f"aws://111122223333/{region}",
        "properties": {"templateFile": "one.json"},
    }
    manifest = {"artifacts": {"one": artifact, "assets": {"type": "cdk:asset-manifest"}}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def _cost(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "scripts" / "cost.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_lines_total_and_how_many_are_unknown_are_printed(tmp_path: Path) -> None:
    folder = _assembly(tmp_path / "dev", "eu-north-1", A=KEY, B=KEY, C=NAT)
    shown = [" ".join(line.split()) for line in _cost(folder).stdout.strip().splitlines()]
    assert shown[0].startswith("dev in eu-north-1: cost when idle, prices of 20")
    assert shown[2:] == [
        "always:",
        "KMS key 2 1.000 /month 2.00",
        "NAT gateway 1 unknown (us-east-1: 0.045 /hour) unknown (us-east-1: 32.85)",
        "known, without 1 of 2 lines 2.00",
        "NAT gateway: regions.eu-north-1.nat_gateway_hour is missing; fill it with:"
        " .venv/bin/python scripts/fill_price.py regions.eu-north-1.nat_gateway_hour",
    ]


def test_every_unknown_line_says_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    queue = {"Type": "AWS::SQS::Queue"}
    folder = _assembly(tmp_path / "dev", "us-east-1", A=queue, B=PROVISIONED, C=UNCOUNTED)
    shown = _cost(folder).stdout
    assert (
        "AWS::SQS::Queue: not judged: free_at_rest.AWS::SQS::Queue is missing; fill it with:"
        " .venv/bin/python scripts/fill_price.py free_at_rest.AWS::SQS::Queue --because" in shown
    )
    assert "PROVISIONED: no key of the table prices it; judge it in stacks/idle_cost.py" in shown
    assert "by zone: the template does not say how many" in shown


def test_a_price_that_was_inferred_is_marked_and_explained(tmp_path: Path) -> None:
    config = {
        "Type": "AWS::SageMaker::EndpointConfig",
        "Properties": {
            "ProductionVariants": [
                {"VariantName": "A", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
            ]
        },
    }
    shown = _cost(_assembly(tmp_path / "dev", "eu-west-1", A=config)).stdout
    assert "0.128 /hour (inferred)" in shown
    assert "endpoint A: ml.m5.large: inferred, its price in Studio" in shown


def test_a_total_of_nothing_known_is_unknown_and_not_zero(tmp_path: Path) -> None:
    result = _cost(_assembly(tmp_path / "dev", "eu-north-1", A=NAT))
    assert "  nothing known" in result.stdout
    assert result.stdout.splitlines()[4].split() == ["nothing", "known", "unknown"]


def test_an_environment_without_anything_paid_costs_nothing(tmp_path: Path) -> None:
    result = _cost(_assembly(tmp_path / "dev", "eu-north-1"))
    assert result.stdout.split()[-4:] == ["all", "of", "it", "0.00"]


def test_a_pull_request_sees_the_totals_before_and_after(tmp_path: Path) -> None:
    base = _assembly(tmp_path / "base" / "dev", "us-east-1", A=KEY)
    head = _assembly(tmp_path / "head" / "dev", "us-east-1", A=KEY, B=KEY)
    text = _cost("--markdown", "--base", base, head).stdout
    assert text.startswith("### dev in us-east-1")
    assert "| KMS key | 2 | 1.000 /month | 2.00 |" in text
    assert "| **all of it** | | | **2.00 (before: 1.00)** |" in text


def test_a_new_environment_has_no_total_before(tmp_path: Path) -> None:
    head = _assembly(tmp_path / "dev", "us-east-1", A=KEY)
    result = _cost("--base", tmp_path / "nothing", head)
    assert result.returncode == 0
    assert "before" not in result.stdout


def test_what_is_no_assembly_is_refused(tmp_path: Path) -> None:
    result = _cost(tmp_path)
    assert result.returncode == 1
    assert "is no cloud assembly" in result.stderr
    assert "Traceback" not in result.stderr
