"""What `smp images` puts into images, and how it pushes them, without Docker."""

import base64
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from algorithms import catalog
from algorithms.toolkit import available
from local.cli import images as cli
from local.images import building, contents
from local.images.pushing import Registry
from local.platform.errors import PlatformError

EXPORT = """\
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:bb
nvidia-cublas==13.0 ; sys_platform == 'linux' \\
    --hash=sha256:cc
torch==2.15.0 \\
    --hash=sha256:dd \\
    --hash=sha256:ee
triton==3.5 --hash=sha256:ff
"""


def test_light_and_deep_algorithms_are_told_apart_by_all_that_they_import() -> None:
    kinds = {name: contents.kind(name) for name in available()}
    light = {"kmeans", "linear-learner", "xgboost", "randomcutforest", "blazingtext", "lda"}
    assert {name for name in light if kinds[name] == "light"} == light
    assert kinds["ipinsights"] == "deep"
    assert set(kinds.values()) == {"light", "deep"}


def test_an_image_is_made_for_each_algorithm_of_the_catalogue_and_for_nothing_else() -> None:
    assert set(contents.listed([])) == set(catalog.names())


def test_the_lock_names_what_each_kind_needs_with_hashes() -> None:
    light, deep = contents.requirements("light"), contents.requirements("deep")
    assert {"numpy", "xgboost-cpu", "krcf", "granian", "pydantic", "pyyaml"} <= light.keys()
    assert not {"torch", "boto3", "aws-cdk-lib", "pytest"} & light.keys()
    assert {"torch", "safetensors", *light} <= deep.keys()
    assert all("--hash=sha256:" in text for text in [*light.values(), *deep.values()])


def test_requirements_are_read_by_name_also_where_one_is_there_for_each_python() -> None:
    found = contents.parsed(EXPORT)
    assert [*found] == ["numpy", "nvidia-cublas", "torch", "triton"]
    assert found["numpy"].count("--hash") == 2
    assert found["torch"].count("--hash") == 2


def test_torch_comes_from_its_index_without_cuda_where_one_is_named() -> None:
    needed = contents.parsed(EXPORT)
    locked, others = contents.split(needed, "https://example.com/cpu")
    assert locked == [needed["numpy"]] and others == ["torch==2.15.0"]
    assert contents.split(needed, None) == ([*needed.values()], [])


@pytest.mark.parametrize(
    ("glibc", "machine"), [("2.36", "36"), ("2.30", "28"), ("2.17", "17"), ("2.99", "40")]
)
def test_packages_are_taken_for_the_newest_library_that_the_base_has(
    glibc: str, machine: str
) -> None:
    assert contents.platform("x86_64", glibc) == f"x86_64-manylinux_2_{machine}"


def test_a_base_that_is_too_old_is_refused() -> None:
    with pytest.raises(PlatformError, match=r"glibc 2\.12; no packages are made"):
        contents.platform("x86_64", "2.12")


def test_an_algorithm_that_is_not_here_is_refused_with_those_that_are() -> None:
    with pytest.raises(PlatformError, match=r"no algorithm kmean here.*There are: .*kmeans"):
        contents.listed(["kmeans", "kmean"])
    assert contents.listed(["kmeans", "kmeans"]) == ["kmeans"]
    assert contents.listed([]) == [*available()]


def test_what_no_program_reads_is_left_out(tmp_path: Path) -> None:
    kept = ["numpy/core.py", "numpy/testing/x.py", "pyarrow/libarrow.so.1"]
    gone = [
        *("numpy/tests/test_a.py", "numpy/core.pyi", "numpy/include/a.h", "pyarrow/_flight.so"),
        *("pyarrow/libarrow_s3.so.1", "sklearn/_x.pyx"),
    ]
    for name in [*kept, *gone]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    contents._trim(tmp_path)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")) == sorted(kept)


def test_the_code_in_an_image_is_that_of_the_algorithms_alone(tmp_path: Path) -> None:
    contents._copy_code(tmp_path / "program")
    assert {path.name for path in (tmp_path / "program").iterdir()} == {"algorithms", "entrypoint"}
    assert (tmp_path / "program" / "algorithms" / "catalog" / "kmeans.yaml").is_file()
    assert not [*tmp_path.rglob("__pycache__")]


class Containers:
    def __init__(self, answer: str | Exception) -> None:
        self._answer = answer
        self.containers = self

    def run(self, *_: object, **__: object) -> str:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_a_base_is_asked_for_its_python() -> None:
    docker = Containers('["3.12.7", "aarch64", "glibc", "2.36"]')
    expected = contents.Base("some", "3.12", "aarch64-manylinux_2_36")
    assert building.base(docker, "some") == expected


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ('["3.10.2", "x86_64", "glibc", "2.36"]', r"Python 3\.10\.2; 3\.11, 3\.12 or 3\.13"),
        ('["3.12.2", "x86_64", "", ""]', "no glibc"),
        (RuntimeError("no such image"), "some: no such image"),
        ("no json", "some: "),
    ],
)
def test_a_base_that_does_not_do_is_refused(answer: Any, message: str) -> None:
    with pytest.raises(PlatformError, match=message) as refused:
        building.base(Containers(answer), "some")
    assert "--base" in refused.value.remedy


class Repositories:
    """An ECR that has the repository of k-means, with one tag."""

    def describe_repositories(self, repositoryNames: list[str]) -> dict[str, Any]:
        if repositoryNames != ["sagemaker-platform-dev/kmeans"]:
            raise _error("RepositoryNotFoundException")
        return {"repositories": [{"repositoryUri": "registry/sagemaker-platform-dev/kmeans"}]}

    def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> object:
        if imageIds != [{"imageTag": "old"}]:
            raise _error("ImageNotFoundException")
        return {"imageDetails": [{}]}

    def get_authorization_token(self) -> dict[str, Any]:
        token = base64.b64encode(b"AWS:se:cret").decode()
        return {"authorizationData": [{"authorizationToken": token}]}


def _error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "Describe")


class Docker:
    """A Docker that has the image of k-means and tells what is done with it."""

    def __init__(self, *lines: dict[str, str]) -> None:
        self.images = self
        self.done: list[Any] = []
        self._lines = lines

    def get(self, name: str) -> "Docker":
        if name != "sagemaker-platform/kmeans:1":
            raise KeyError(name)
        return self

    def tag(self, uri: str, tag: str) -> None:
        self.done.append(("tag", uri, tag))

    def push(self, uri: str, *, tag: str, auth_config: Any, **_: object) -> Any:
        self.done.append(("push", uri, tag, auth_config))
        return iter(self._lines)

    def remove(self, name: str, **_: object) -> None:
        self.done.append(("remove", name))


def registry(docker: Docker) -> Registry:
    ecr: Any = Repositories()
    return Registry(ecr, "dev", docker)


def test_a_push_names_the_repository_and_forgets_the_name_afterwards() -> None:
    docker, uri = Docker({"status": "Pushed"}), "registry/sagemaker-platform-dev/kmeans"
    pushed = registry(docker).push("kmeans")
    assert (pushed.uri, pushed.before) == (f"{uri}:1", False)
    assert docker.done == [
        ("tag", uri, "1"),
        ("push", uri, "1", {"username": "AWS", "password": "se:cret"}),
        ("remove", f"{uri}:1"),
    ]


def test_a_tag_that_is_there_is_not_pushed_again() -> None:
    docker = Docker()
    assert registry(docker).push("kmeans", "old").before
    assert docker.done == []


def test_a_push_that_docker_reports_as_failed_fails() -> None:
    docker = Docker({"status": "Preparing"}, {"error": "denied: no"})
    with pytest.raises(PlatformError, match="denied: no"):
        registry(docker).push("kmeans")
    assert docker.done[-1][0] == "remove"


@pytest.mark.parametrize(
    ("name", "tag", "message"),
    [
        ("knn", "1", r"no repository sagemaker-platform-dev/knn.*Deploy its stack of images"),
        ("kmeans", "2", r"no image sagemaker-platform/kmeans:2.*smp images build kmeans"),
    ],
)
def test_what_stands_in_the_way_of_a_push_is_told(name: str, tag: str, message: str) -> None:
    with pytest.raises(PlatformError, match=message):
        registry(Docker()).push(name, tag)


class Session:
    def __init__(self, region_name: str) -> None:
        self.region = region_name

    def client(self, service: str) -> Any:
        return self if service == "sts" else (service, self.region)

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "999999999999"}


def test_images_go_to_the_account_of_the_environment_and_to_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("boto3.Session", Session)
    with pytest.raises(PlatformError, match="of account 999999999999; dev is in 111122223333"):
        cli._ecr("dev")
    mine = {"Account": "111122223333"}
    monkeypatch.setattr(Session, "get_caller_identity", lambda _: mine)
    client: Any = cli._ecr("dev")
    assert client == ("ecr", "eu-west-1")
    with pytest.raises(PlatformError, match="nowhere"):
        cli._ecr("nowhere")
