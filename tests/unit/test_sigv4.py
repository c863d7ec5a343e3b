"""The signature of a post is byte for byte that of botocore."""

import hashlib
from datetime import UTC, datetime
from unittest.mock import patch
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from navietakie.wire.sigv4 import Signer, SigningKeys

REGION = "eu-central-1"
NOW = datetime(2026, 1, 31, 8, 0, 0, tzinfo=UTC)
KEYS = SigningKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


def ours(method: str, host: str, path: str, body: bytes, keys: SigningKeys, region: str = REGION) -> dict[str, str]:
    signer = Signer(host, region, keys, f"{NOW:%Y%m%dT%H%M%SZ}")
    lines = signer.headers(method, path, hashlib.sha256(body).hexdigest()).split("\r\n")
    assert lines.pop() == ""
    return dict(line.split(": ", 1) for line in lines)


def botocores(
    method: str, host: str, path: str, body: bytes, keys: SigningKeys, region: str = "eu-central-1"
) -> dict[str, str]:
    request = AWSRequest(method=method, url=f"https://{host}{path}", data=body)
    signer = SigV4Auth(Credentials(*keys), "execute-api", region)
    with patch("botocore.auth.get_current_datetime", return_value=NOW):
        signer.add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()} | {"host": host}


def path_of(connection_id: str, stage: str = "production") -> str:
    return f"/{stage}/@connections/{quote(connection_id, safe='')}"


@pytest.mark.parametrize(
    "connection_id",
    ["L0SM9cOFvHcCIhw=", "a/b", "a+b==", "%41", "~.-_", "é", "日本 語", "🚕", "a%2Fb", "?a=b&c", "#", ""],
)
def test_odd_connection_ids_are_signed_as_botocore_does(connection_id: str) -> None:
    arguments = ("POST", "abc.execute-api.eu-central-1.amazonaws.com", path_of(connection_id), b"{}", KEYS)
    assert ours(*arguments) == botocores(*arguments)


def test_a_session_token_is_sent_and_signed() -> None:
    arguments = ("POST", "localhost:4566", path_of("x="), b"{}", SigningKeys(*KEYS[:2], "IQoJb3JpZ2luX2VjE+/=="))
    signed = ours(*arguments)
    assert signed["x-amz-security-token"] == "IQoJb3JpZ2luX2VjE+/=="
    assert "host;x-amz-date;x-amz-security-token" in signed["authorization"]
    assert signed == botocores(*arguments)


def test_a_request_without_a_body_is_signed() -> None:
    arguments = ("DELETE", "localhost:4566", path_of("x="), b"", KEYS)
    assert ours(*arguments) == botocores(*arguments)


def test_other_keys_or_another_region_sign_with_another_key() -> None:
    arguments = ("POST", "localhost", path_of("x="), b"{}")
    for keys, region in [(KEYS, "us-east-1"), (KEYS, "eu-west-1"), (SigningKeys("OTHER", "secret"), "eu-west-1")]:
        assert ours(*arguments, keys, region) == botocores(*arguments, keys, region)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(
    connection_id=text.filter(lambda it: it not in (".", "..")),  # dot segments, which are never connection ids
    body=st.binary(max_size=200),
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
    token=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
    stage=st.text("abcXYZ019_-", min_size=1, max_size=10),
    method=st.sampled_from(["POST", "DELETE"]),
)
def test_whatever_is_signed_is_signed_as_botocore_does(
    connection_id: str, body: bytes, secret: str, token: str | None, stage: str, method: str
) -> None:
    arguments = (method, "example.org", path_of(connection_id, stage), body, SigningKeys("AKID", secret, token))
    assert ours(*arguments) == botocores(*arguments)
