"""`cdk bootstrap` and `cdk deploy` against the local endpoint, as they would run against AWS."""

import json
import re
from collections.abc import Mapping

from local.platform.assembly import ASSEMBLY
from local.platform.commands import Commands
from local.platform.credentials import Credentials
from local.platform.home import ACCOUNT, REGION, Home, cdk, tool_environment
from local.platform.progress import Progress

# "NAME |  3/12 | 2:10:31 AM | CREATE_COMPLETE | AWS::S3::Bucket | Data (DataC1B2)"
EVENT = re.compile(
    r"^(?P<stack>[\w-]+) \|\s*(?P<done>\d+)(/(?P<total>\d+))? \|[^|]*\| (?P<status>[A-Z_]+)\s*\|"
    r" (?P<type>[\w:]+)\s*\| (?P<resource>.*)$"
)
DONE = re.compile(r"^\s*✅\s+(?P<stack>[\w-]+)(?P<unchanged> \(no changes\))?")


def bootstrap(
    commands: Commands, home: Home, credentials: Credentials, url: str, progress: Progress
) -> None:
    """Give the account what the CDK CLI deploys through: its roles, bucket and repository."""
    progress.begin("bootstrap")
    try:
        commands.run(
            "bootstrap",
            [*cdk(), "bootstrap", f"aws://{ACCOUNT}/{REGION}"],
            _environment(home, credentials, url),
            remedy=f"The server's own log is {home.log}.",
        )
    except BaseException:
        progress.fail("bootstrap")
        raise
    progress.end("bootstrap")


def stacks() -> list[str]:
    """The names of the stacks of the assembly, in the order of their declaration."""
    manifest = json.loads((ASSEMBLY / "manifest.json").read_text(encoding="utf-8"))
    return [
        artifact.get("properties", {}).get("stackName", name)
        for name, artifact in manifest["artifacts"].items()
        if artifact["type"] == "aws:cloudformation:stack"
    ]


def deploy(
    commands: Commands, home: Home, credentials: Credentials, url: str, progress: Progress
) -> None:
    """Deploy every stack of the assembly; the CLI leaves alone what has not changed."""
    begun: set[str] = set()
    ended: set[str] = set()

    def follow(line: str) -> None:
        if match := EVENT.match(line):
            stack = match["stack"]
            if stack in ended:
                return
            if stack not in begun:
                begun.add(stack)
                progress.begin(stack)
            count = f"{match['done']}/{match['total']}" if match["total"] else match["done"]
            progress.update(stack, f"{count} {match['type']} {match['status']}")
        elif match := DONE.match(line):
            stack = match["stack"]
            if stack not in begun:
                begun.add(stack)
                progress.begin(stack)
            ended.add(stack)
            progress.end(stack, "no changes" if match["unchanged"] else "")

    try:
        commands.run(
            "deploy",
            [
                *cdk(),
                "deploy",
                *("--app", str(ASSEMBLY)),
                "--all",
                *("--require-approval", "never"),
                *("--concurrency", "4"),
                *("--method", "direct"),
                *("--progress", "events"),
            ],
            _environment(home, credentials, url),
            remedy=f"The server's own log is {home.log}. To begin anew: smp down, then smp up",
            on_line=follow,
        )
    except BaseException:
        for stack in begun - ended:
            progress.fail(stack)
        raise


def _environment(home: Home, credentials: Credentials, url: str) -> Mapping[str, str]:
    return (
        tool_environment()
        | credentials.variables(url)
        # The CLI remembers the account of each key that it has seen; these keys live a day.
        | {"CDK_HOME": str(home.temporary / "cdk"), "TMPDIR": str(home.temporary)}
    )
