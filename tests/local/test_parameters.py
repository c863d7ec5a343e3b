"""The template's parameters with which `make run` deploys."""

from pathlib import Path

import pytest

from local import parameters
from local.stack import ROOT


def given(folder: Path, text: str) -> parameters.Parameters:
    file = folder / "mine.yaml"
    file.write_text(text)
    return parameters.read(str(file))


def test_any_parameter_of_the_template_can_be_given_as_a_deploy_takes_it(tmp_path: Path) -> None:
    ice = '[{"urls": ["stun:stun.example.com:3478"]}]'
    text = (
        f"# mine\nEnvironment: local\nIceServers: '{ice}'\nRetentionDays: 7\nMessageRate: 0.5\nAccessLogs: false\n"
        "AllowedOrigins: [https://a.example, https://b.example]\nBackendUrl:\n"
    )
    assert given(tmp_path, text) == {
        "IceServers": ice,
        "RetentionDays": "7",
        "MessageRate": "0.5",
        "AccessLogs": "false",
        "AllowedOrigins": "https://a.example,https://b.example",
        "BackendUrl": "",
    }


def test_the_files_of_deployed_environments_mean_the_same_locally() -> None:
    for name in ("staging", "production"):
        with pytest.raises(SystemExit, match="Environment cannot be given"):
            parameters.read(str(ROOT / f"deploy/{name}.yaml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RetentionDay: 7", "no parameter RetentionDay"),
        ("IceServers: [{urls: [stun:a]}]", "IceServers is neither a text, a number nor a list"),
        ("- RetentionDays: 7", "is not a list of"),
        ("a: [", "cannot be read"),
        ("Environment: staging", "it is always local"),
        ("WebSocketEndpoint: http://a", "it is the embedded AWS's"),
        ("Release: 7", "makes one of all that is deployed"),
    ],
)
def test_an_odd_file_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        given(tmp_path, text)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SystemExit, match=r"PARAMETERS=nowhere\.yaml cannot be read"):
        parameters.read("nowhere.yaml")
    assert parameters.read("") == {}


def test_makes_variables_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = given(tmp_path, "AuthMode: jwt\nRetentionDays: 7\nBackendUrl: http://a")
    assert parameters.local(file, "", "") | {"AuthMode": "jwt", "BackendUrl": "http://a"} == parameters.local(
        file, "", ""
    )
    mixed = parameters.local(file, "none", "http://b")
    assert (mixed["AuthMode"], mixed["BackendUrl"], mixed["RetentionDays"]) == ("none", "http://b", "7")


def test_a_parameter_that_is_no_longer_given_has_its_default_again() -> None:
    alone = parameters.local({}, "", "")
    assert alone["RetentionDays"] == "90"
    assert alone["BackendUrl"] == ""
    assert (alone["Environment"], alone["AuthMode"], alone["AllowedOrigins"]) == ("local", "none", "*")


def test_only_pages_that_are_named_may_call() -> None:
    assert parameters.origins({"AllowedOrigins": "https://a.example,https://b.example"}) == [
        "https://a.example",
        "https://b.example",
    ]
    assert parameters.origins({"AllowedOrigins": "*"}) == parameters.origins({"AllowedOrigins": ""}) == []
