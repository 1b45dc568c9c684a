"""What the shell has left over, and what of it reaches whom."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import shell
from local.emulator import environment
from local.platform import lifecycle
from local.platform.credentials import Credentials
from local.platform.home import Home, tool_environment
from local.platform.record import Server
from tests.unit.cli.calls import Smp

# Each by itself would lead a client elsewhere, or keep it from calling at all.
LEFT_OVER = {
    "AWS_SESSION_TOKEN": "left-over-from-sso",
    "AWS_SECURITY_TOKEN": "left-over",
    "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z",
    "AWS_PROFILE": "name-that-is-not-in-the-config",
    "AWS_DEFAULT_PROFILE": "name-that-is-not-in-the-config",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_SERVICE_THAT_COMES": "http://127.0.0.1:9",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_CA_BUNDLE": "/nonsense",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_VARIABLE_THAT_COMES": "1",
}
PREFERENCES = {"AWS_PAGER": "", "AWS_DEFAULT_OUTPUT": "yaml", "AWS_CLI_AUTO_PROMPT": "on"}
PROXIES = {
    name: "http://127.0.0.1:9"
    for scheme in ("HTTP", "HTTPS", "ALL")
    for name in (f"{scheme}_PROXY", f"{scheme}_proxy".lower())
}
URL = "http://127.0.0.1:4599"


@pytest.fixture
def running(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform as far as `smp env` needs one."""
    found = lifecycle.Platform(home, Server(1, 0.0, 4599, ""), Credentials("AKIA", "secret"), True)
    monkeypatch.setattr(lifecycle, "attach", lambda home: found)


@pytest.fixture
def dirty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in (LEFT_OVER | PREFERENCES | PROXIES).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    yield


@pytest.mark.parametrize(
    ("upper", "lower", "wanted"),
    [
        (None, None, "127.0.0.1,localhost"),
        ("", "", "127.0.0.1,localhost"),
        ("a.example", None, "a.example,127.0.0.1,localhost"),
        (None, "a.example", "a.example,127.0.0.1,localhost"),
        ("a.example,b", "b,c", "a.example,b,c,127.0.0.1,localhost"),
        ("a.example, b", None, "a.example,b,127.0.0.1,localhost"),
        ("a b", None, "a,b,127.0.0.1,localhost"),
        ("localhost,127.0.0.1", None, "localhost,127.0.0.1"),
        (
            "my127.0.0.1,localhost.example",
            None,
            "my127.0.0.1,localhost.example,127.0.0.1,localhost",
        ),
        ("*", None, "*"),
        ("a,*", None, "*"),
    ],
)
def test_this_machine_is_added_to_the_hosts_without_a_proxy_and_none_is_lost(
    upper: str | None, lower: str | None, wanted: str
) -> None:
    given = {"NO_PROXY": upper, "no_proxy": lower}
    here = {name: value for name, value in given.items() if value is not None}
    # Programs that read either must find the same.
    assert shell.bypass(here) == {"NO_PROXY": wanted, "no_proxy": wanted}


def test_what_a_client_shows_is_the_shells_own_affair() -> None:
    assert not set(PREFERENCES) & set(shell.misleading(PREFERENCES))
    assert set(LEFT_OVER) <= set(shell.misleading(LEFT_OVER))


def test_what_is_left_over_most_often_is_taken_out_of_any_shell() -> None:
    assert {"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_SECURITY_TOKEN"} <= set(shell.misleading({}))


def _after(shell_name: str, text: str, given: dict[str, str]) -> dict[str, str]:
    shown = subprocess.check_output(
        [shell_name, "-c", f"{text}\nexec env -0"], env={**given, "PATH": os.defpath}, text=True
    )
    return dict(line.split("=", 1) for line in shown.split("\0") if "=" in line)


@pytest.mark.parametrize("shell_name", ["sh", "bash"])
@pytest.mark.usefixtures("running", "dirty")
def test_a_shell_that_takes_the_output_in_has_the_platform_and_nothing_else_of_aws(
    shell_name: str, smp: Smp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "git.example")
    said = smp("env")
    assert said.code == 0, said
    given = LEFT_OVER | PREFERENCES | PROXIES | {"NO_PROXY": "git.example", "AWS_REGION": "x"}
    found = _after(shell_name, said.out, given)
    wanted = Credentials("AKIA", "secret").variables(URL)
    assert {name: found[name] for name in wanted} == wanted
    assert not set(LEFT_OVER) & set(found)
    assert PREFERENCES.items() <= found.items()
    assert PROXIES.items() <= found.items()
    assert found["NO_PROXY"] == found["no_proxy"] == "git.example,127.0.0.1,localhost"
    # Taken in twice it says the same.
    assert _after(shell_name, said.out, found) | {"_": ""} == found | {"_": ""}


@pytest.mark.usefixtures("running", "dirty")
def test_a_shell_with_nothing_left_over_is_spared_nothing_that_is_set(smp: Smp) -> None:
    lines = smp("env").out.splitlines()
    unset = lines[0].split()
    assert unset[0] == "unset"
    assert not {line.split("=")[0] for line in lines[1:]} & {f"export {name}" for name in unset}


@pytest.mark.usefixtures("running", "dirty")
def test_fish_takes_out_what_is_left_over_too(smp: Smp) -> None:
    lines = smp("env", "--format", "fish").out.splitlines()
    for name in LEFT_OVER:
        assert f"set -e {name};" in lines
    assert f"set -gx AWS_ENDPOINT_URL {URL};" in lines
    assert "set -gx NO_PROXY 127.0.0.1,localhost;" in lines
    assert not any(name in line for line in lines for name in PREFERENCES)


@pytest.mark.usefixtures("running", "dirty")
@pytest.mark.parametrize("option", ["--json", "--format=json"])
def test_a_program_gets_the_same_variables(option: str, smp: Smp) -> None:
    document = json.loads(smp("env", option).out)
    assert Credentials("AKIA", "secret").variables(URL).items() <= document.items()
    assert document["NO_PROXY"] == "127.0.0.1,localhost"
    assert all(isinstance(value, str) for value in document.values())


@pytest.mark.usefixtures("dirty")
def test_commands_run_without_what_is_left_over_and_give_it_back(
    smp: Smp, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}

    def attach(home: Home) -> None:
        seen.update(os.environ)
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle, "attach", attach)
    before = dict(os.environ)
    smp("status")
    assert not shell.of_aws(seen)
    assert seen["no_proxy"] == seen["NO_PROXY"] == "127.0.0.1,localhost"
    assert dict(os.environ) == before


@pytest.mark.usefixtures("dirty")
def test_a_call_of_ones_own_account_has_the_shells_variables_again() -> None:
    with shell.set_aside():
        assert "AWS_PROFILE" not in os.environ
        shell.give_back()
        assert os.environ["AWS_PROFILE"] == LEFT_OVER["AWS_PROFILE"]
        assert os.environ["NO_PROXY"] == "127.0.0.1,localhost"


@pytest.mark.usefixtures("dirty")
def test_tools_and_the_server_run_without_what_is_left_over() -> None:
    found = tool_environment()
    # No profile is read, and no instance's metadata is asked for.
    assert {name: found[name] for name in shell.of_aws(found)} == {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    assert found["NO_PROXY"] == found["no_proxy"] == "127.0.0.1,localhost"
    # Packages and repositories are fetched through it.
    assert found["HTTPS_PROXY"] == PROXIES["HTTPS_PROXY"]


@pytest.mark.usefixtures("dirty")
def test_a_server_that_is_started_by_hand_cleans_up_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.environ", dict(os.environ))
    monkeypatch.setattr("tempfile.tempdir", None)
    environment.prepare(environment.Settings(port=1, state=tmp_path))
    assert not set(LEFT_OVER) & set(os.environ)
    assert os.environ["no_proxy"] == "127.0.0.1,localhost"


def test_a_name_that_no_shell_can_take_out_is_not_printed() -> None:
    # A shell of POSIX ends at the first that is none, and takes in nothing of what follows.
    odd = {"AWS_A.B": "1", "AWS_X; touch x": "1", "AWS_": "1"}
    assert shell.misleading(odd) == shell.misleading({})
