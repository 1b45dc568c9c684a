"""What jobs, endpoints and functions reach of the machine they run on."""

import ctypes
import io
import json
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from algorithms.toolkit import peers
from local import confinement
from local.confinement import Confinement, Offer, Rules, offered
from local.platform.home import Home
from local.platform.record import recorded
from local.sagemaker import programs
from local.sagemaker.ports import Credentials
from local.sagemaker.processes import Processes
from local.sagemaker.programs import ProcessProgram
from local.sagemaker.store import Store
from local.sagemaker.training.cluster import cluster
from tests.platform import LocalPlatform
from tests.security.probe import beyond_the_way, function, of_platform, program
from tests.unit.sagemaker.surroundings import IMAGE, TestAws, TestRuntime

MARKER = "SMP_TEST_MARKER"
# Those of this system; each on its own must be enough for files and environments.
OFFERS = [
    offer
    for offer in (
        Offer(offered().landlock, offered().namespaces),
        Offer(offered().landlock),
        Offer(namespaces=offered().namespaces),
    )
    if offer
]
linux = pytest.mark.skipif(
    sys.platform != "linux", reason="what confines processes is Linux's; see docs/security.md"
)


class Probing(TestRuntime):
    """Runs a program of Python in the place of an algorithm."""

    def __init__(self, source: str) -> None:
        self._source = source

    def command(self, action: str) -> Sequence[str]:
        return [sys.executable, "-I", "-c", self._source]

    def environment(self, algorithm: str) -> Mapping[str, str]:
        return {}

    def reads(self) -> Sequence[Path]:
        return []


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of a platform with a job of somebody else's."""
    home = tmp_path / "home"
    other = home / "state" / "sagemaker" / "jobs" / "other"
    other.mkdir(parents=True)
    (other / "data.csv").write_text("1,2")
    for name in ("credentials.json", "server.json", "state/sagemaker/sagemaker.sqlite"):
        (home / name).write_text("secret")
    return home


@pytest.fixture
def bystander() -> Iterator[int]:
    """A process of this user that has a secret in its environment."""
    process = subprocess.Popen(["sleep", "600"], env={MARKER: "a secret", "PATH": os.defpath})
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def run(
    home: Path,
    offer: Offer,
    source: str,
    *,
    kind: str = "train",
    credentials: Credentials | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[list[str], Path]:
    """Run a program as a job or a model server would be; its lines, and its folder."""
    aws = TestAws()
    store = Store(home / "state" / "store.sqlite")
    folder = home / "state" / "sagemaker" / "jobs" / "own" / "algo-1"
    (folder / "tmp").mkdir(parents=True)
    (folder / "model").mkdir()
    processes = Processes(store, Confinement(offer, home))
    own = ProcessProgram(aws, Probing(source), processes, IMAGE, "test")
    lines: list[str] = []
    if kind == "serve":
        process = own.serve(folder, environment or {}, 1, credentials, lines.append, "key")
    else:
        job = {
            "TrainingJobName": "own",
            "TrainingJobArn": "arn",
            "Environment": dict(environment or {}),
        }
        place = cluster({"InstanceType": "ml.m5.large", "InstanceCount": 1}).places()[0]
        process = own.train(folder, job, place, credentials, lines.append)
    assert process.wait() == 0, lines
    return lines, folder


@linux
@pytest.mark.holds("What the kernel offers to confine processes is used, and smp says what it is.")
def test_what_the_kernel_offers_is_in_force() -> None:
    version = ctypes.CDLL(None).syscall(444, None, 0, 1)
    assert offered().landlock == max(version, 0)
    if version > 0:
        assert offered().summary.startswith(f"Landlock {version}: files, processes")
    assert Offer().summary.startswith("none on this system")
    assert Offer(namespaces=True).summary.startswith("user namespaces: ")


@linux
@pytest.mark.parametrize("offer", OFFERS, ids=str)
@pytest.mark.parametrize("kind", ["train", "serve"])
@pytest.mark.holds(
    "A job and a model server read neither the platform's keys and state nor other jobs' files, "
    "nor another process's environment, and write nowhere but in their own folder."
)
def test_a_job_and_a_model_server_reach_nothing_that_is_not_theirs(
    home: Path, bystander: int, offer: Offer, kind: str
) -> None:
    person = Path.home() / ".ssh"
    asked: dict[str, Any] = {
        "read": [
            *of_platform(home),
            str(home / "state/sagemaker/jobs/other/data.csv"),
            str(person),
        ],
        "write": [str(home), str(home / "state/sagemaker/jobs/other")],
        "marker": f"{MARKER}=a secret",
    }
    if offer.landlock:
        asked["processes"] = [bystander, os.getpid()]
        asked["write"] += ["/tmp", "/dev/shm"] if not offer.namespaces else []
    lines, folder = run(home, offer, program(asked), kind=kind)
    reached = {one for one in json.loads(lines[-1]) if not one.startswith("wrote into")}
    # In a /tmp of its own, a process finds the way to its folder, and nothing beside it.
    way = {f"listed {path}" for path in folder.parents} if offer.namespaces else set()
    assert reached <= way
    left = home.rglob("left-by-the-probe")
    assert [path for path in left if not path.is_relative_to(folder)] == []


@linux
@pytest.mark.holds("A job reaches its own folder, its /tmp and its data.")
def test_a_job_does_in_its_own_folder_what_it_likes(home: Path) -> None:
    source = (
        "import os, pathlib, tempfile\n"
        "base = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'])\n"
        "(base / 'model' / 'm').write_text('1')\n"
        "pathlib.Path(tempfile.gettempdir(), 't').write_text('1')\n"
        "print(os.listdir(base), open(os.devnull).read())\n"
    )
    _, folder = run(home, offered(), source)
    assert (folder / "model" / "m").read_text() == "1"
    assert (folder / "tmp" / "t").read_text() == "1"


@linux
@pytest.mark.skipif(offered().landlock < 4, reason="this kernel restricts no ports")
@pytest.mark.holds(
    "A job in network isolation connects nowhere, and any other to the platform alone; neither has "
    "sockets but those of TCP."
)
def test_a_job_connects_to_nothing_but_the_platform(home: Path, listening: int) -> None:
    families = [["AF_UNIX", "SOCK_STREAM"], ["AF_INET", "SOCK_DGRAM"], ["AF_INET6", "SOCK_DGRAM"]]
    # TestAws has its endpoint on port 1, where nobody listens.
    asked = {"ports": [1, listening], "sockets": families}
    lines, _ = run(home, offered(), program(asked))
    assert json.loads(lines[-1]) == []


@linux
@pytest.mark.skipif(offered().landlock < 4, reason="this kernel restricts no ports")
def test_a_job_with_credentials_connects_to_the_port_of_the_platform(
    home: Path, listening: int
) -> None:
    asked = {"ports": [1, listening]}
    lines, _ = run(home, offered(), program(asked), credentials=Credentials("a", "b", "c"))
    (reached,) = json.loads(lines[-1])
    assert reached.startswith("might connect to 1: ")
    assert programs._MEETING == peers.PORT


HARMFUL = {
    "LD_PRELOAD": "checkpoints/x.so",
    "LD_LIBRARY_PATH": "checkpoints",
    "LD_AUDIT": "x",
    "DYLD_INSERT_LIBRARIES": "x",
    "PYTHONPATH": "checkpoints",
    "PYTHONHOME": "checkpoints",
    "PYTHONSTARTUP": "x",
    "PYTHONPYCACHEPREFIX": "checkpoints",
    "PYTHONBREAKPOINT": "x",
    "GLIBC_TUNABLES": "x",
    "GCONV_PATH": "x",
    "OPENSSL_CONF": "x",
    "SSL_CERT_FILE": "x",
    "BASH_ENV": "x",
    "PATH": "checkpoints",
    "HOME": "checkpoints",
    "TMPDIR": "checkpoints",
    "OMP_TOOL_LIBRARIES": "x",
    "AWS_ENDPOINT_URL": "http://evil.example",
    "AWS_ACCESS_KEY_ID": "x",
    "SAGEMAKER_BASE_DIR": "checkpoints",
    "ALGORITHM_NAME": "x",
    "pythonpath": "x",
    "SAGEMAKER_X\n": "x",
}


@pytest.mark.parametrize("kind", ["train", "serve"])
@pytest.mark.holds(
    "Of a request's Environment, an algorithm that runs as a process gets the variables that it "
    "reads, and its log names all others."
)
def test_no_variable_of_a_request_reaches_loader_or_interpreter(home: Path, kind: str) -> None:
    source = "import json, os; print(json.dumps(dict(os.environ)))"
    asked = {**HARMFUL, "SAGEMAKER_MINE": "1", "OMP_NUM_THREADS": "3"}
    lines, folder = run(home, offered(), source, kind=kind, environment=asked)
    found = json.loads(lines[-1])
    assert (found["SAGEMAKER_MINE"], found["OMP_NUM_THREADS"]) == ("1", "3")
    assert found["SAGEMAKER_BASE_DIR"] == str(folder)
    assert {name: found.get(name) for name in HARMFUL if found.get(name) == HARMFUL[name]} == {}
    assert lines[0].startswith("Not passed on of Environment: ALGORITHM_NAME, AWS_ACCESS_KEY_ID, ")


@pytest.mark.holds("No folder that data of a job may lie in is searched for code.")
def test_an_algorithm_searches_no_folder_of_its_job_for_modules(tmp_path: Path) -> None:
    for name in ("numpy", "algorithms", "json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("print('code of the job')")
    site = tmp_path / ".local" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (site / "site-packages").mkdir(parents=True)
    (site / "site-packages" / "usercustomize.py").write_text("print('code of the job')")
    from local.sagemaker.images import AlgorithmsRuntime

    done = subprocess.run(
        AlgorithmsRuntime().command("train"),
        cwd=tmp_path,
        env={
            "ALGORITHM_NAME": "kmeans",
            "SAGEMAKER_BASE_DIR": str(tmp_path),
            "HOME": str(tmp_path),
            "PYTHONPATH": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "inputdataconfig.json is missing" in done.stdout + done.stderr
    assert "code of the job" not in done.stdout + done.stderr


@linux
@pytest.mark.holds("A process that cannot be confined as it must be is not started.")
def test_a_process_that_cannot_be_confined_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    confined = Confinement(offered(), tmp_path)
    monkeypatch.setattr(confinement, "_PORTS_SINCE", 4)
    # A port that is none: the kernel refuses the rule.
    rules = Rules(tmp_path, connects=[1 << 20])
    with confined.launch([sys.executable, "-c", "print('ran')"], {}, rules) as launch:
        done = subprocess.run(
            launch.command,
            env=launch.environment,
            pass_fds=launch.descriptors,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 125
    assert "cannot be confined, and is not started" in done.stderr
    assert "ran" not in done.stdout


@linux
def test_a_rule_never_opens_a_folder_in_which_the_platform_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "opt" / "app" / "home"
    home.mkdir(parents=True)
    (tmp_path / "opt" / "lib").mkdir()
    monkeypatch.setattr(confinement, "_SYSTEM", (str(tmp_path / "opt"),))
    asked = Confinement(offered(), home).request(Rules(home / "own"))
    mine = [path for path in asked["read"] if path.startswith(str(tmp_path))]
    assert mine == [str(tmp_path / "opt" / "lib")]


@pytest.fixture(scope="module")
def functions(platform: LocalPlatform) -> Iterator[dict[str, str]]:
    """Two functions that do what they are told: one of the kind that is forked, one with its own
    copy of a module of the standard library, which gets an interpreter of its own."""
    iam, lam = platform.client("iam"), platform.client("lambda")
    name = f"probe-{uuid4().hex[:8]}"
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    made = {}
    for kind, others in (("forked", {}), ("started", {"this.py": ""})):
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as file:
            for path, text in {"index.py": function(), **others}.items():
                file.writestr(path, text)
        made[kind] = f"{name}-{kind}"
        lam.create_function(
            FunctionName=made[kind],
            Runtime="python3.13",
            Handler="index.handler",
            Role=role["Arn"],
            Code={"ZipFile": package.getvalue()},
            Environment={"Variables": {"SECRET_OF": kind}},
        )
    yield made
    for each in made.values():
        lam.delete_function(FunctionName=each)
    iam.delete_role(RoleName=name)


def asked(platform: LocalPlatform, name: str, **event: Any) -> list[str]:
    answer = platform.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    reached: list[str] = json.load(answer["Payload"])
    return reached


@linux
@pytest.mark.parametrize("kind", ["forked", "started"])
@pytest.mark.holds(
    "A function reads neither the platform's keys and state, nor the environment of the platform "
    "or of another function."
)
def test_a_function_reaches_nothing_that_is_not_its_own(
    platform: LocalPlatform, functions: dict[str, str], kind: str
) -> None:
    other = {"forked": "started", "started": "forked"}[kind]
    server = recorded(Home(platform.home))
    assert server is not None
    # The other one runs, with its secret.
    asked(platform, functions[other])
    reached = asked(
        platform,
        functions[kind],
        read=[*of_platform(platform.home), str(Path.home() / ".ssh")],
        write=[str(platform.home), str(platform.home / "state")],
        marker=f"SECRET_OF={other}",
        processes=[server.pid, os.getpid()] if offered().landlock else [],
    )
    assert beyond_the_way(reached) == []
    assert not (platform.home / "left-by-the-probe").exists()
    # Nor the server's own environment, under whatever number.
    assert asked(platform, functions[kind], marker="GATEWAY_PORT=") == []


@linux
@pytest.mark.skipif(not offered().namespaces, reason="a /tmp of one's own takes namespaces")
@pytest.mark.holds("A function has a /tmp of its own, which no other sees.")
def test_a_function_has_a_tmp_of_its_own(
    platform: LocalPlatform, functions: dict[str, str]
) -> None:
    first, second = functions.values()
    assert asked(platform, first, write=["/tmp"]) == ["wrote into /tmp"]
    assert asked(platform, first, read=["/tmp/left-by-the-probe"]) != []
    assert asked(platform, second, read=["/tmp/left-by-the-probe"]) == []
    assert not Path("/tmp/left-by-the-probe").exists()
