"""Every process of a job, an endpoint, a function or a notebook reaches its own things alone.

The kernel sees to that, without root: Landlock, and user namespaces where there are some. `offered`
says what this system has of both; `Confinement` starts programs within it. `enforce` is what runs
in the process itself.
"""

import functools
import json
import marshal
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# As a module, and not as a script: its compiled form is kept, and read the next time.
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); import enforce; enforce.main()"
_LAUNCHER = (sys.executable, "-I", "-S", "-c", _START, str(Path(__file__).parent))
_PROBE_SECONDS = 30
# The versions of Landlock since which TCP ports, and signals with abstract sockets, are covered.
_PORTS_SINCE, _SCOPES_SINCE = 4, 6

# Programs and libraries of the system, and what the kernel tells of itself. What /proc tells of a
# process of others but its command line is kept from who is confined.
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store", "/gnu/store"),
    *("/proc", "/sys"),
)
# Of /etc what libraries read, and no password, key or setting of a person or a service.
_ETC = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "alternatives"),
    *("passwd", "group", "nsswitch.conf", "hosts", "host.conf", "resolv.conf", "gai.conf"),
    *("services", "protocols", "localtime", "timezone", "os-release", "lsb-release", "mime.types"),
    *(
        "ssl/certs",
        "ssl/openssl.cnf",
        "ca-certificates",
        "pki/tls",
        "pki/ca-trust",
        "crypto-policies",
    ),
    *("bash.bashrc", "bashrc", "profile", "profile.d", "inputrc", "terminfo"),
    *("fonts", "OpenCL", "jupyter", "ipython", "magic", "debian_version", "papersize"),
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
_GRAPHICS = ("nvidia*", "kfd", "dri")
_TERMINALS = ("/dev/tty", "/dev/ptmx", "/dev/pts")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 (where POSIX shared memory is)


@dataclass(frozen=True)
class Offer:
    """What this system has to confine processes with."""

    landlock: int = 0
    namespaces: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.landlock or self.namespaces)

    @property
    def summary(self) -> str:
        """One line for people: what is in force, and what is not."""
        if self.landlock:
            covered = ["files", "processes"]
            covered += ["TCP ports"] if self.landlock >= _PORTS_SINCE else []
            covered += ["signals"] if self.landlock >= _SCOPES_SINCE else []
            covered += ["a /tmp of their own"] if self.namespaces else []
            lacking = "" if self.namespaces else " (no user namespaces: no /tmp but TMPDIR)"
            return f"Landlock {self.landlock}: {', '.join(covered)}{lacking}"
        if self.namespaces:
            return "user namespaces: home folders, /tmp, environments (no Landlock: ports, signals)"
        return (
            "none on this system: jobs, endpoints, functions and notebooks run with your own"
            " rights, unless they run in Docker"
        )


@functools.cache
def offered() -> Offer:
    """Find out what this system offers; asked once a process."""
    if sys.platform != "linux":
        return Offer()
    try:
        found = subprocess.run(
            [*_LAUNCHER, "probe"],
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=True,
        )
        return Offer(**json.loads(found.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        raise RuntimeError(
            f"What this system confines processes with is not known: {error}"
        ) from error


@dataclass(frozen=True)
class Rules:
    """What one process, and all that it starts, may reach beside the system's own programs.

    Args:
        temporary: its TMPDIR, which is its /tmp, too, where there are namespaces.
        reads: files and folders that it may read.
        writes: files and folders that it may read and change.
        connects: TCP ports that it may connect to, or ranges as (first, last); None for all.
        binds: TCP ports that it may listen on; None for all.
        only_tcp: whether it gets no sockets but those of TCP.
        terminals: whether it may open terminals.
        show: by absolute path, folders of the rules that are seen there, too, as containers have
            them; see `Confinement.shows`.
    """

    temporary: Path
    reads: Sequence[Path] = ()
    writes: Sequence[Path] = ()
    connects: Sequence[int | tuple[int, int]] | None = None
    binds: Sequence[int | tuple[int, int]] | None = None
    only_tcp: bool = False
    terminals: bool = False
    show: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """How a confined program is started: what Popen is given."""

    command: Sequence[str]
    environment: Mapping[str, str]
    descriptors: Sequence[int] = ()


class Confinement:
    """Starts programs that are kept to their rules, as far as the system offers it.

    Args:
        offer: what the system offers.
        protected: the platform's folder, of which each gets no more than its rules name.
        reads: what all may read beside the system and Python.
        writes: what all may change.
    """

    def __init__(
        self,
        offer: Offer,
        protected: Path,
        *,
        reads: Sequence[Path] = (),
        writes: Sequence[Path] = (),
    ) -> None:
        self.offer = offer
        self._protected = protected.resolve()
        self._reads = reads
        self._writes = writes

    def shows(self, place: str) -> bool:
        """Whether a folder can be shown at a path: in namespaces, where the system has the root.

        What lies at the very top of the file system cannot be covered by a folder that has it all.
        """
        return self.offer.namespaces and Path(*Path(place).parts[:2]).is_dir()

    @contextmanager
    def launch(
        self, command: Sequence[str], environment: Mapping[str, str], rules: Rules
    ) -> Iterator[Launch]:
        """Give what to start in the place of a command; the start must be within the context."""
        if not self.offer:
            yield Launch(command, environment)
            return
        request = {
            **self.request(rules),
            "command": [*command],
            "environment": dict(environment),
        }
        # In memory: neither a command line nor a file tells another process what is in there.
        descriptor = os.memfd_create("launch")
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(marshal.dumps(request))
            # Of the variables, none is for the launcher but what its own libraries need.
            own = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
            yield Launch([*_LAUNCHER, str(descriptor)], own, [descriptor])
        finally:
            os.close(descriptor)

    def request(self, rules: Rules) -> dict[str, Any]:
        """Give the rules as `enforce` reads them."""
        devices = [f"/dev/{name}" for name in _DEVICES]
        for pattern in _GRAPHICS:
            devices += map(str, Path("/dev").glob(pattern))
        reads = [*self._common(), *self._reads, *rules.reads]
        return {
            "landlock": bool(self.offer.landlock),
            "namespaces": self.offer.namespaces,
            "temporary": str(rules.temporary),
            "read": [*map(str, reads)],
            "write": [*map(str, [*self._writes, rules.temporary, *rules.writes])],
            "devices": [*devices, *(_TERMINALS if rules.terminals else ())],
            "by_name": [_SHARED_MEMORY],
            # Where Landlock decides on files, nothing needs to be hidden from it.
            "hide": [] if self.offer.landlock else self._hidden(),
            "connect": _ports(rules.connects),
            "bind": _ports(rules.binds),
            "only_tcp": rules.only_tcp,
            "terminals": rules.terminals,
            "show": {place: str(path) for place, path in rules.show.items() if self.shows(place)},
        }

    @functools.cached_property
    def _system(self) -> list[Path]:
        names = ("stdlib", "platstdlib", "purelib", "platlib")
        python = [
            *(sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix),
            *(sysconfig.get_path(name) for name in names),
            str(Path(sys.executable).resolve().parent),
        ]
        libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
        found = [*_SYSTEM, *(f"/etc/{name}" for name in _ETC), *python, *filter(None, libraries)]
        return [Path(path) for path in dict.fromkeys(found) if Path(path).is_absolute()]

    def _common(self) -> list[Path]:
        """Give what all may read: never the platform's folder with it."""
        return [part for path in self._system for part in _without(path, self._protected)]

    def _hidden(self) -> list[str]:
        """Name the folders in which people's files are."""
        homes = {"/home", "/root", str(Path.home()), str(self._protected)}
        return sorted(home for home in homes if home != "/")


def _without(path: Path, protected: Path) -> Iterator[Path]:
    """Give a path, or all that is in it but the way to what is protected."""
    real = path.resolve()
    if real == protected or real.is_relative_to(protected):
        return
    if not protected.is_relative_to(real):
        yield path
        return
    for entry in real.iterdir():
        yield from _without(entry, protected)


def _ports(given: Sequence[int | tuple[int, int]] | None) -> list[Any] | None:
    return None if given is None else [each if isinstance(each, int) else [*each] for each in given]
