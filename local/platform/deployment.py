"""`cdk bootstrap` and `cdk deploy` against the local endpoint, as they would run against AWS."""

import re
from collections.abc import Mapping
from pathlib import Path

from local.platform.commands import Commands
from local.platform.credentials import Credentials
from local.platform.errors import PlatformError
from local.platform.home import ACCOUNT, REGION, Home, cdk, tool_environment
from local.platform.progress import Progress
from local.platform.record import MARK

# "NAME |  3/12 | 2:10:31 AM | CREATE_COMPLETE | AWS::S3::Bucket | Data (DataC1B2)"
EVENT = re.compile(
    r"^(?P<stack>[\w-]+) \|\s*(?P<done>\d+)(/(?P<total>\d+))? \|[^|]*\| (?P<status>[A-Z_]+)\s*\|"
    r" (?P<type>[\w:]+)\s*\| (?P<resource>.*)$"
)
BEGIN = re.compile(r"^(?P<stack>[\w-]+): deploying\.\.\.")
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
            # Away from cdk.json: with it, the CLI would synthesize the app first.
            folder=home.temporary,
        )
    except BaseException:
        progress.fail("bootstrap")
        raise
    progress.end("bootstrap")


def deploy(
    commands: Commands,
    home: Home,
    credentials: Credentials,
    url: str,
    assembly: Path,
    progress: Progress,
) -> None:
    """Deploy every stack of the assembly; the CLI leaves alone what has not changed."""
    shown = _Shown(progress)
    try:
        commands.run(
            "deploy",
            [
                *cdk(),
                "deploy",
                *("--app", str(assembly)),
                "--all",
                *("--require-approval", "never"),
                *("--concurrency", "4"),
                *("--method", "direct"),
                *("--progress", "events"),
            ],
            _environment(home, credentials, url),
            remedy=f"The server's own log is {home.log}. To begin anew: smp down, then smp up",
            on_line=shown.follow,
        )
    except PlatformError as error:
        raise PlatformError(
            error.step, "\n".join(shown.failures) or error.why, error.remedy
        ) from None
    finally:
        shown.fail_the_rest()


class _Shown:
    """What of the CLI's output has been shown: stacks begun and ended, resources that failed."""

    def __init__(self, progress: Progress) -> None:
        self.failures: list[str] = []
        self._progress = progress
        self._begun: set[str] = set()
        self._ended: set[str] = set()

    def follow(self, line: str) -> None:
        """Take in one line of the CLI."""
        if match := BEGIN.match(line):
            self._begin(match["stack"])
        elif match := EVENT.match(line):
            self._event(match)
        elif match := DONE.match(line):
            self._begin(match["stack"])
            self._ended.add(match["stack"])
            self._progress.end(match["stack"], "no changes" if match["unchanged"] else "")

    def fail_the_rest(self) -> None:
        """Show the stacks that never ended as failed; none is left after a success."""
        for stack in sorted(self._begun - self._ended):
            self._progress.fail(stack)

    def _begin(self, stack: str) -> None:
        if stack not in self._begun:
            self._begun.add(stack)
            self._progress.begin(stack)

    def _event(self, match: re.Match[str]) -> None:
        stack = match["stack"]
        if stack in self._ended:
            return
        self._begin(stack)
        count = f"{match['done']}/{match['total']}" if match["total"] else match["done"]
        self._progress.update(stack, f"{count} {match['type']} {match['status']}")
        said = f"{stack}: {match['type']} {match['resource']}"
        cancelled = "cancelled" in match["resource"].lower()
        if match["status"].endswith("_FAILED") and not cancelled and said not in self.failures:
            self.failures.append(said)


def _environment(home: Home, credentials: Credentials, url: str) -> Mapping[str, str]:
    return (
        tool_environment()
        | credentials.variables(url)
        # By it, the next `smp up` finds a CLI that outlived a killed one.
        | {MARK: str(home.path)}
        # The CLI remembers the account of each key that it has seen; these keys live a day.
        | {"CDK_HOME": str(home.temporary / "cdk"), "TMPDIR": str(home.temporary)}
    )
