"""ICE servers: what the parameter may contain, and coturn's credentials."""

import json
from typing import Any

import pytest

from make_call import ice
from make_call.ice import for_call, parse
from navietakie.domain import instants
from navietakie.domain.errors import Refusal

NOW = instants.from_text("2026-03-01T10:00:00.900000Z")
STUN = {"urls": "stun:stun.example.com:3478"}
TURN = {"urls": ["turn:turn.example.com:3478?transport=udp", "turns:turn.example.com:5349"]}


def given(*servers: dict[str, Any], secret: str | None = None) -> list[dict[str, Any]]:
    return for_call(parse(json.dumps(servers)), secret, "ride-7", NOW)


def test_without_a_secret_the_servers_are_as_they_were_written() -> None:
    static = {**TURN, "username": "all", "credential": "of us"}
    assert given(STUN, TURN, static) == [STUN, TURN, static]
    assert given() == []


def test_turn_servers_get_credentials_for_the_longest_call_in_coturns_form() -> None:
    # printf '1772374200:ride-7' | openssl dgst -sha1 -hmac north -binary | base64
    credentials = {"username": "1772374200:ride-7", "credential": "JHXcgXoKTQghOWmhtvlFBh1XSn4="}
    assert given(STUN, TURN, secret="north") == [STUN, TURN | credentials]
    assert given({**TURN, "username": "all", "credential": "of us"}, secret="north") == [TURN | credentials]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        '"stun:a"',
        "[1]",
        "[{}]",
        '[{"urls": "http://turn.example.com"}]',
        '[{"urls": ["stun:a", "b"]}]',
        '[{"urls": "turn:a b"}]',
        '[{"urls": "turn:a", "credential": 5}]',
    ],
)
def test_a_malformed_list_of_servers_is_reported_without_its_contents(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse(text)
    assert refused.value.code == "internal"
    assert "ICE_SERVERS" in refused.value.message
    assert "example.com" not in refused.value.message


def test_the_policy_relay_needs_a_turn_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICE_TRANSPORT_POLICY", "relay")
    monkeypatch.setenv("ICE_SERVERS", json.dumps([STUN]))
    with pytest.raises(Refusal) as refused:
        ice.configured("ride-7", NOW)
    assert (refused.value.code, "ICE_TRANSPORT_POLICY" in refused.value.message) == ("internal", True)
    monkeypatch.setenv("ICE_SERVERS", json.dumps([STUN, TURN]))
    assert (ice.configured("ride-7", NOW), ice.policy()) == ([STUN, TURN], "relay")


@pytest.mark.parametrize(("configured", "policy"), [("", "all"), ("all", "all"), ("relay", "relay"), ("none", "relay")])
def test_an_unknown_policy_counts_as_relay(monkeypatch: pytest.MonkeyPatch, configured: str, policy: str) -> None:
    monkeypatch.setenv("ICE_TRANSPORT_POLICY", configured)
    assert ice.policy() == policy


def test_fields_that_are_null_or_not_known_are_left_out() -> None:
    text = '[{"urls": "turn:a", "username": null, "credential": "c", "later": 1}]'
    assert parse(text) == [{"urls": "turn:a", "credential": "c"}]


def test_the_first_of_several_problems_is_named() -> None:
    with pytest.raises(Refusal, match=r"ICE_SERVERS 0\.urls"):
        parse('[{}, {"urls": "turn:a", "username": 1}]')
