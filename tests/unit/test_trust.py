"""Which authorities the functions trust: the folder that the layer's build makes, or the file in `AWS_CA_BUNDLE`."""

import re
import runpy
import ssl
from collections.abc import Generator
from pathlib import Path

import botocore
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from botocore.exceptions import SSLError

from navietakie import warm
from navietakie.aws import clients
from navietakie.aws.http_session import HttpSession
from tests.fakes.peer import Peer, answer, certificate, peer, server_tls

hashed = runpy.run_path(str(Path(__file__).parents[2] / "layers/shared/authorities.py"))["hashed"]
LIST = (Path(botocore.__file__).parent / "cacert.pem").read_text("utf-8")
END = "-----END CERTIFICATE-----\n"
# The whole list takes openssl seconds.
FEW = END.join(LIST.split(END)[:3]) + END


@pytest.fixture
def server() -> Generator[Peer]:
    with peer(server_tls("localhost")) as it:
        it.answers[""] = [answer(200)]
        yield it


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    warm.forget()
    yield
    warm.forget()


def ask(server: Peer) -> int:
    session = HttpSession(connect_timeout=5, read_timeout=5, trust=clients.trust)
    request = AWSPreparedRequest("GET", f"https://localhost:{server.port}/", HTTPHeaders(), b"", False)
    try:
        return session.send(request).status_code
    finally:
        session.close()


def test_an_authority_of_the_folder_is_trusted(server: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed(FEW + certificate("localhost")[0].decode(), tmp_path)
    monkeypatch.setattr(clients, "AUTHORITIES", tmp_path)
    assert ask(server) == 200


def test_another_authority_is_not_trusted(server: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed(FEW + certificate("elsewhere.example")[0].decode(), tmp_path)
    monkeypatch.setattr(clients, "AUTHORITIES", tmp_path)
    with pytest.raises(SSLError):
        ask(server)


def test_a_bundle_that_is_named_wins_over_the_folder(
    server: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, folder = tmp_path / "bundle.pem", tmp_path / "folder"
    bundle.write_bytes(certificate("localhost")[0])
    hashed(FEW, folder)
    monkeypatch.setattr(clients, "AUTHORITIES", folder)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    assert ask(server) == 200


def test_without_the_folder_the_systems_list_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "AUTHORITIES", tmp_path / "not-built")
    assert clients.trust().verify_mode == ssl.CERT_REQUIRED


def test_the_folder_is_checked_as_strictly_as_pythons_own_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "AUTHORITIES", tmp_path)
    ours, pythons = clients.trust(), ssl.create_default_context()
    for name in ("verify_mode", "check_hostname", "verify_flags", "minimum_version", "options"):
        assert getattr(ours, name) == getattr(pythons, name), name


def test_the_folder_has_every_authority_of_the_list(tmp_path: Path) -> None:
    count = hashed(LIST, tmp_path)
    assert count == LIST.count("BEGIN CERTIFICATE") == len(list(tmp_path.iterdir()))
    assert all(re.fullmatch(r"[0-9a-f]{8}\.\d", file.name) for file in tmp_path.iterdir())
