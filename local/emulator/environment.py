"""The settings that ministack reads once, while it is imported."""

import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from local import shell

ACCOUNT = "000000000000"
REGION = "us-east-1"
HOST = "127.0.0.1"
# Of this process alone: what it starts inherits its environment, and not its variables.
ROOT_ACCESS_KEY = f"AKIA{secrets.token_hex(8).upper()}"
ROOT_SECRET_KEY = secrets.token_urlsafe(30)


@dataclass(frozen=True)
class Settings:
    """What one run of the emulator is told."""

    port: int
    state: Path
    wait_scale: float = 1.0
    record_trail: bool = False
    log_level: str = "WARNING"
    # Where the user's Docker is, for containers of jobs and endpoints.
    docker: str = ""
    # Where the administrator's key is, or is to be written.
    credentials: Path = Path("credentials.json")
    # Listens on the port already, where whoever starts this has claimed it.
    listener: socket.socket | None = None
    # By it, this process proves to who started it that it is the one that answers.
    secret: str = field(default="", repr=False)

    @property
    def endpoint_url(self) -> str:
        """Where every client of this run finds every service."""
        return f"http://{HOST}:{self.port}"


def prepare(settings: Settings) -> None:
    """Put the settings where ministack looks for them; call it before any import of ministack.

    Variables of the caller's shell that would send a call elsewhere (a profile, another endpoint, a
    proxy, credentials of a real account) are removed, since functions inherit this environment.
    """
    temporary = settings.state / "tmp"
    _empty(temporary)
    for name in [*os.environ]:
        if name.startswith(("MINISTACK_", "LOCALSTACK_")):
            del os.environ[name]
    for name in shell.of_aws(os.environ):
        del os.environ[name]
    os.environ.update(
        {
            **shell.bypass(os.environ),
            "AUTH": "true",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": settings.endpoint_url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "BIND_HOST": HOST,
            "CLOUDTRAIL_RECORDING": "1" if settings.record_trail else "0",
            "GATEWAY_PORT": str(settings.port),
            "IOT_MTLS_ENABLED": "0",
            "LAMBDA_EXECUTOR": "local",
            "LOG_LEVEL": settings.log_level,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_HOST": "localhost",
            "MINISTACK_REGION": REGION,
            "MOTO_ACCOUNT_ID": ACCOUNT,
            "PERSIST_STATE": "0",
            "S3_DATA_DIR": str(settings.state / "s3"),
            "SFN_WAIT_SCALE": str(settings.wait_scale),
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(settings.state / "ministack"),
            "TMPDIR": str(temporary),
            # ministack starts no container, whatever daemon this machine may have.
            "DOCKER_HOST": f"unix://{settings.state}/no-docker.sock",
        }
    )
    tempfile.tempdir = str(temporary)


def _empty(temporary: Path) -> None:
    """Begin with an empty folder; what a server that was killed left there is nobody's any more."""
    if temporary.is_dir():
        left = temporary.with_name(f"{temporary.name}-{time.time_ns()}")
        temporary.rename(left)
    temporary.mkdir(parents=True)
    for old in temporary.parent.glob(f"{temporary.name}-*"):
        # Thousands of files of functions: nobody waits for their end.
        threading.Thread(target=shutil.rmtree, args=(old, True), daemon=True).start()
