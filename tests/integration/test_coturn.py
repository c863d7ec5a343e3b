"""coturn (if it is installed) runs with the configuration of docs/calls.md, and accepts the credentials of a call."""

import re
import time
from collections.abc import Generator

import pytest

from make_call import ice
from tests.coturn import HOST, INSTALLED, SECRET, Coturn, fenced, running

pytestmark = pytest.mark.skipif(not INSTALLED, reason="coturn is not installed (Debian: apt-get install coturn)")


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Generator[Coturn]:
    with running(tmp_path_factory.mktemp("coturn")) as coturn:
        yield coturn


def checks() -> tuple[str, list[str]]:
    """The page's lines: those that make the credentials, and the three that check the server."""
    lines = [line for line in fenced("sh").splitlines() if line]
    return "\n".join(lines[:2]), lines[2:]


def received(printed: str) -> int:
    """How many packets came back through the relay."""
    return max(map(int, re.findall(r"tot_recv_msgs=(\d+)", printed)), default=0)


def test_the_three_checks_of_the_page_say_what_it_promises(coturn: Coturn) -> None:
    credentials, (udp, tls, stranger) = checks()
    for relayed in (udp, tls):
        printed = coturn.check(f"{credentials}\n{relayed}")
        assert "Total lost packets" in printed, printed
        assert received(printed) > 0, printed
    printed = coturn.check(f"{credentials}\n{stranger}")
    assert "Cannot complete Allocation" in printed
    assert received(printed) == 0


def test_coturn_takes_the_credentials_of_a_call_and_none_that_have_expired(coturn: Coturn) -> None:
    def answer(now: int) -> str:
        (server,) = ice.for_call(ice.parse('[{"urls": "turn:turn.example.com"}]'), SECRET, "ride-7", now)
        user, password = server["username"], server["credential"]
        return coturn.check(f"turnutils_uclient -y -n 2 -u '{user}' -w '{password}' -p 3478 {HOST}")

    now = time.time_ns() // 1_000
    assert received(answer(now)) > 0
    assert "Cannot complete Allocation" in answer(now - ice.CREDENTIAL_LIFE - 1_000_000)


def test_the_pages_parameters_name_the_server_that_it_configures() -> None:
    (servers,) = re.findall(r"IceServers: '(.*)'", fenced("yaml"))
    (server,) = ice.parse(servers)
    assert ice.is_turn(server)
    ports = re.findall(r"listening-port=(\d+)", fenced("ini"))
    assert [url for url in server["urls"] if not any(f"{HOST}:{port}" in url for port in ports)] == []
