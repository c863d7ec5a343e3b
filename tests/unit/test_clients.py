"""How the clients of AWS are made: time-outs, tries, what they trust, and what they do not work out anew."""

import ssl
from collections.abc import Generator
from typing import Any

import pytest

from navietakie import warm
from navietakie.aws import clients, gateway
from navietakie.wire.connections_api import ConnectionsApi
from tests.running import ROOT


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "ENVIRONMENT", "AWS_REGION", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    warm.forget()
    yield
    warm.forget()


def made(**how: Any) -> Any:
    return clients.client("sqs", **{"connect_timeout": 1, "read_timeout": 3, "attempts": 4, **how})


def test_a_client_has_its_time_outs_and_tries_and_works_out_nothing_for_each_request() -> None:
    config = made(signature_version="v4").meta.config
    assert (config.connect_timeout, config.read_timeout, config.signature_version) == (1, 3, "v4")
    assert config.retries == {"mode": "standard", "total_max_attempts": 4}
    assert config.tcp_keepalive is True
    assert config.user_agent.startswith("NavieTakie Boto3/")
    assert config.account_id_endpoint_mode == "disabled"
    assert config.disable_request_compression is True
    assert (config.request_checksum_calculation, config.response_checksum_validation) == ("when_required",) * 2


@pytest.mark.parametrize(
    ("environment", "validates"), [("", True), ("local", True), ("staging", False), ("production", False)]
)
def test_parameters_are_validated_where_nobody_waits(
    environment: str, validates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVIRONMENT", environment)
    configs: list[dict[str, Any]] = []
    config = clients.Config
    monkeypatch.setattr(clients, "Config", lambda **given: configs.append(given) or config(**given))
    made()
    assert configs[0]["parameter_validation"] is validates


def test_a_client_asks_aws_itself_unless_it_is_given_another_endpoint() -> None:
    assert made().meta.endpoint_url == "https://sqs.eu-central-1.amazonaws.com"
    assert made(endpoint="http://localhost:5").meta.endpoint_url == "http://localhost:5"


@pytest.mark.parametrize(("how", "in_all"), [({}, False), ({"in_all": True}, True)])
def test_requests_are_carried_by_a_session_with_the_same_time_outs(
    how: dict[str, Any], in_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: list[dict[str, Any]] = []
    monkeypatch.setattr(clients, "HttpSession", lambda **given: sessions.append(given))
    made(**how)
    assert sessions == [{"connect_timeout": 1, "read_timeout": 3, "trust": clients.trust, "in_all": in_all}]


def test_without_the_layers_folder_the_authorities_of_the_system_are_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    assert ROOT / "layers/shared/authorities" == clients.AUTHORITIES
    of_the_system = ssl.create_default_context()
    monkeypatch.setattr(ssl, "create_default_context", lambda: of_the_system)
    monkeypatch.setattr(clients, "AUTHORITIES", tmp_path / "nowhere")
    assert clients.trust() is of_the_system


@pytest.mark.parametrize(
    ("region", "default", "used"),
    [("eu-west-1", "eu-central-1", "eu-west-1"), ("", "eu-central-1", "eu-central-1"), ("", "", "us-east-1")],
)
def test_posts_are_signed_for_the_functions_region(
    region: str, default: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", region)
    monkeypatch.setenv("AWS_DEFAULT_REGION", default)
    found: list[Any] = []
    monkeypatch.setattr(gateway, "ConnectionsApi", lambda *given: found.append(given) or ConnectionsApi(*given))
    gateway.connections_api("https://api.example.com/local")
    (given,) = found
    assert (given[0], given[1], given[3]) == ("https://api.example.com/local", used, clients.trust)
