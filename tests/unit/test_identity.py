"""Tokens and the secret that signs them. PyJWT uses the real clock for `exp`, so tokens are made around the present."""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from navietakie import settings, warm
from navietakie.aws import secrets
from navietakie.aws.secrets import Secret
from navietakie.domain.errors import Refusal
from navietakie.doors import identity
from navietakie.doors.identity import Identity, verify
from websocket import handshake


@pytest.fixture(autouse=True)
def cold() -> None:
    """Forgets the tokens of other tests."""
    warm.forget()


CURRENT, PREVIOUS, FOREIGN = (name * 8 for name in ("current-", "previous-", "foreign-"))
HOUR = 3600


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token. A claim changed to None is left out."""
    good: dict[str, Any] = {
        "sub": "driver-7",
        "booking_code": "ride-1",
        "role": "driver",
        "exp": int(time.time()) + HOUR,
        "aud": "navietakie",
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def token(secret: str = CURRENT, **changes: Any) -> str:
    return jwt.encode(claims(**changes), secret, algorithm="HS256")


def by_hand(header: dict[str, Any], payload: dict[str, Any], secret: str = CURRENT) -> str:
    """A token that no library would make, with a correct HMAC-SHA256."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(payload).encode())}"
    return f"{signed}.{part(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


class Vault:
    """A Secrets Manager that counts requests, and a clock that a test moves."""

    def __init__(self, current: str | None = CURRENT, previous: str | None = None) -> None:
        self.stages = {"AWSCURRENT": current, "AWSPREVIOUS": previous}
        self.fetched: list[str] = []
        self.down = False
        self.takes = 0.0
        self.now = 1_000_000.0
        self.secret = Secret(self.fetch, lambda: self.now)

    @property
    def asked(self) -> int:
        return self.fetched.count("AWSCURRENT")

    def fetch(self, stage: str) -> str | None:
        self.fetched.append(stage)
        self.now += self.takes
        if self.down:
            raise Refusal("unavailable", "down")
        return self.stages[stage]

    def rotate(self, new: str) -> None:
        self.stages = {"AWSCURRENT": new, "AWSPREVIOUS": self.stages["AWSCURRENT"]}


def refusal(given: str, vault: Vault | None = None) -> str:
    with pytest.raises(Refusal) as refused:
        verify(given, (vault or Vault()).secret)
    assert refused.value.status == 401
    return refused.value.code


def test_a_good_token_names_its_bearer() -> None:
    it = verify(token(exp=2_000_000_000), Vault().secret)
    assert it == Identity(sub="driver-7", booking_code="ride-1", role="driver", exp=2_000_000_000)


@pytest.mark.parametrize("missing", ["sub", "booking_code", "role", "exp", "aud"])
def test_every_claim_is_required(missing: str) -> None:
    assert refusal(token(**{missing: None})) == "unauthorized"


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": {"navietakie": True}},
        {"role": "admin"},
        {"role": ["driver"]},
        {"booking_code": "../other"},
        {"booking_code": "ride-1\n"},
        {"booking_code": "#head"},
        {"booking_code": 1},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a\nb"},
        {"sub": "x" * 129},
        {"exp": "tomorrow"},
        {"exp": "4102444800"},
        {"exp": True},
        {"exp": 1e300},
        {"exp": -1},
        {"exp": [2_000_000_000]},
        {"nbf": 2_000_000_000},
        {"nbf": "0"},
        {"nbf": 1e300},
    ],
    ids=str,
)
def test_a_claim_that_is_not_as_it_should_be_is_refused(change: dict[str, Any]) -> None:
    assert refusal(token(**change)) in ("unauthorized", "token_expired")


def test_an_infinite_expiry_is_refused() -> None:
    payload = json.dumps(claims()).replace(str(claims()["exp"]), "1e999")
    assert refusal(by_hand({"alg": "HS256"}, json.loads(payload))) == "unauthorized"


def test_a_token_expires_without_leeway() -> None:
    assert refusal(token(exp=int(time.time()))) == "token_expired"
    assert refusal(token(exp=int(time.time()) - 1)) == "token_expired"


def test_a_fraction_of_a_second_in_exp_counts_for_less_not_more() -> None:
    assert verify(token(exp=2_000_000_000.9), Vault().secret).exp == 2_000_000_000


def test_an_issuer_whose_clock_is_a_little_ahead_is_no_reason_to_refuse() -> None:
    now = int(time.time())
    it = verify(token(iat=now + 4, nbf=now + 30), Vault().secret)
    assert (it.sub, it.iat) == ("driver-7", now + 4)


def test_a_token_that_says_it_is_issued_in_the_future_is_refused() -> None:
    """A token from the future would survive revocations until then."""
    assert refusal(token(iat=int(time.time()) + 60)) == "unauthorized"
    assert refusal(token(iat="soon")) == "unauthorized"


def test_a_token_need_not_say_when_it_was_issued() -> None:
    assert verify(token(), Vault().secret).iat is None


def test_a_token_of_the_future_is_refused() -> None:
    assert refusal(token(nbf=int(time.time()) + 2 * identity.NBF_LEEWAY_SECONDS)) == "unauthorized"


def test_alg_none_is_refused_in_every_spelling() -> None:
    for spelling in ("none", "None", "NONE", "nOnE"):
        header, payload, _ = by_hand({"alg": spelling, "typ": "JWT"}, claims()).split(".")
        assert refusal(f"{header}.{payload}.") == "unauthorized"


def test_other_algorithms_are_refused_even_with_the_right_secret() -> None:
    for algorithm in ("HS384", "HS512"):
        assert refusal(jwt.encode(claims(), CURRENT * 2, algorithm=algorithm)) == "unauthorized"
    for name in ("RS256", "ES256", "PS256", "hs256", "", None, 256, ["HS256"]):
        assert refusal(by_hand({"alg": name, "typ": "JWT"}, claims())) == "unauthorized"


def test_a_token_cannot_bring_its_own_key() -> None:
    key = {"kty": "oct", "k": base64.urlsafe_b64encode(FOREIGN.encode()).decode()}
    for header in ({"jwk": key}, {"jku": "https://evil.example/keys"}, {"kid": "../../dev/null"}, {"x5c": ["MII"]}):
        assert refusal(by_hand({"alg": "HS256", **header}, claims(), FOREIGN)) == "unauthorized"


def test_a_token_with_an_extension_nobody_knows_is_refused() -> None:
    assert refusal(by_hand({"alg": "HS256", "crit": ["exp"]}, claims())) == "unauthorized"
    assert refusal(by_hand({"alg": "HS256", "b64": False, "crit": ["b64"]}, claims())) == "unauthorized"


@pytest.mark.parametrize(
    "given",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "é.é.é",
        "\ud800",
        "\0",
        "null",
        "e30.e30.",
        "x" * 5_000,
        "ey" * 2_048,
        "[" * 4_000,
    ],
    ids=lambda text: ascii(text[:8]),
)
def test_a_text_that_is_no_token_is_refused(given: str) -> None:
    assert refusal(given) == "unauthorized"


def test_a_token_of_more_than_4_kb_is_not_even_decoded() -> None:
    vault = Vault()
    assert refusal(token(padding="x" * 4_096), vault) == "unauthorized"
    assert vault.asked == 0


def test_a_changed_signature_or_payload_is_refused() -> None:
    header, payload, signature = token().split(".")
    other = token(role="passenger").split(".")[1]
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    assert refusal(f"{header}.{other}.{signature}") == "unauthorized"
    assert refusal(f"{header}.{payload}.{flipped}") == "unauthorized"
    assert refusal(f"{header}.{payload}.") == "unauthorized"


def test_the_previous_secret_stays_valid() -> None:
    vault = Vault(previous=PREVIOUS)
    assert verify(token(PREVIOUS), vault.secret).sub == "driver-7"
    assert verify(token(CURRENT), vault.secret).sub == "driver-7"
    assert vault.asked == 1


def test_a_token_of_the_previous_secret_that_has_expired_says_so() -> None:
    assert refusal(token(PREVIOUS, exp=1), Vault(previous=PREVIOUS)) == "token_expired"


def test_a_failed_signature_fetches_the_rotated_secret() -> None:
    vault = Vault()
    verify(token(), vault.secret)
    vault.rotate("rotated-" * 8)
    assert verify(token("rotated-" * 8), vault.secret).sub == "driver-7"
    assert verify(token(CURRENT), vault.secret).sub == "driver-7"


def test_failed_signatures_fetch_once_a_minute_at_most() -> None:
    vault = Vault()
    verify(token(), vault.secret)
    for minute in (1, 2, 3):
        for _ in range(5):
            refusal(token(FOREIGN), vault)
        assert vault.asked == 1 + minute
        vault.now += secrets.REFETCH_SECONDS


def test_failed_signatures_ask_once_a_minute_even_while_nobody_answers() -> None:
    vault = Vault()
    refusal(token(FOREIGN), vault)
    vault.now += secrets.REFETCH_SECONDS
    vault.down = True
    asked = len(vault.fetched)
    for _ in range(5):
        assert refusal(token(FOREIGN), vault) == "unauthorized"
    assert len(vault.fetched) == asked + 1


def test_the_previous_secret_is_fetched_only_if_the_current_one_does_not_fit() -> None:
    vault = Vault(previous=PREVIOUS)
    for _ in range(3):
        verify(token(CURRENT), vault.secret)
    assert vault.fetched == ["AWSCURRENT"]
    for _ in range(3):
        verify(token(PREVIOUS), vault.secret)
    assert vault.fetched == ["AWSCURRENT", "AWSPREVIOUS"]


def test_while_the_previous_secret_cannot_be_fetched_an_unknown_signature_is_unavailable() -> None:
    vault = Vault(previous=PREVIOUS)
    verify(token(), vault.secret)
    vault.down, vault.takes = True, 7.0
    for _ in range(5):
        with pytest.raises(Refusal) as refused:
            verify(token(PREVIOUS), vault.secret)
        assert refused.value.code == "unavailable"
    assert vault.fetched == ["AWSCURRENT", "AWSPREVIOUS"], "a failure counts for as long as it took to come"
    vault.now += 7
    vault.down = False
    assert verify(token(PREVIOUS), vault.secret).sub == "driver-7"


def test_a_previous_secret_that_was_replaced_is_worthless_after_a_quarter_of_an_hour() -> None:
    vault = Vault(previous=PREVIOUS)
    verify(token(PREVIOUS), vault.secret)
    vault.rotate("rotated-" * 8)
    vault.now += secrets.SECRET_TTL_SECONDS
    assert refusal(token(PREVIOUS), vault) == "unauthorized"
    assert verify(token(CURRENT), vault.secret).sub == "driver-7"


def test_a_token_that_is_refused_for_another_reason_fetches_nothing() -> None:
    vault = Vault()
    verify(token(), vault.secret)
    vault.now += secrets.REFETCH_SECONDS
    refusal(token(exp=1), vault)
    refusal(token(aud="another"), vault)
    refusal("a.b.c", vault)
    assert vault.asked == 1


def test_a_secret_rotated_away_twice_is_worthless_after_a_quarter_of_an_hour() -> None:
    vault = Vault()
    verify(token(), vault.secret)
    vault.rotate("second-1" * 8)
    vault.rotate("third-11" * 8)
    vault.now += secrets.SECRET_TTL_SECONDS
    assert refusal(token(CURRENT), vault) == "unauthorized"


def test_a_clock_that_was_set_back_by_an_hour_keeps_no_old_secret() -> None:
    vault = Vault()
    verify(token(), vault.secret)
    vault.rotate("second-1" * 8)
    vault.rotate("third-11" * 8)
    vault.now -= 3_600
    assert refusal(token(CURRENT), vault) == "unauthorized"


def test_a_clock_that_was_set_back_by_an_hour_makes_no_failure_last() -> None:
    vault = Vault(previous=PREVIOUS)
    verify(token(), vault.secret)
    vault.down, vault.takes = True, 7.0
    with pytest.raises(Refusal):
        verify(token(PREVIOUS), vault.secret)
    vault.down = False
    vault.now -= 3_600
    assert verify(token(PREVIOUS), vault.secret).sub == "driver-7"


def test_a_known_secret_stays_in_use_while_secrets_manager_is_down() -> None:
    vault = Vault()
    verify(token(), vault.secret)
    vault.down = True
    vault.now += secrets.SECRET_TTL_SECONDS
    assert verify(token(), vault.secret).sub == "driver-7"


def test_an_unknown_secret_is_unavailable_until_secrets_manager_answers() -> None:
    vault = Vault()
    vault.down = True
    with pytest.raises(Refusal) as refused:
        verify(token(), vault.secret)
    assert refused.value.code == "unavailable"
    vault.down = False
    assert verify(token(), vault.secret).sub == "driver-7"


def test_a_rotation_that_is_noticed_by_its_age_leaves_the_one_before_it_valid() -> None:
    vault = Vault(previous=PREVIOUS)
    verify(token(), vault.secret)
    vault.now += secrets.SECRET_TTL_SECONDS / 2
    verify(token(PREVIOUS), vault.secret)
    vault.rotate("rotated-" * 8)
    vault.now += secrets.SECRET_TTL_SECONDS / 2
    assert verify(token(CURRENT), vault.secret).sub == "driver-7"
    assert refusal(token(PREVIOUS), vault) == "unauthorized"


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> int:
    """The present, at which the clock stands still."""
    at = int(time.time())
    monkeypatch.setattr(time, "time", lambda: float(at))
    return at


@pytest.mark.parametrize(
    ("claim", "most"),
    [("nbf", 60), ("iat", 5), ("exp", 3_653 * 24 * HOUR)],
)
def test_a_token_is_good_up_to_the_last_second_that_its_times_may_have(at: int, claim: str, most: int) -> None:
    """A minute for `nbf`, five seconds for `iat`, ten years for `exp`."""
    assert verify(token(**{claim: at + most}), Vault().secret).sub == "driver-7"
    assert refusal(token(**{claim: at + most + 1})) == "unauthorized"


def test_a_token_may_have_4_kb() -> None:
    fitting, longer = (
        next(it for size in range(4_096) if len(it := token(padding="x" * size)) == length) for length in (4_096, 4_097)
    )
    assert verify(fitting, Vault().secret).sub == "driver-7"
    assert refusal(longer) == "unauthorized"


@pytest.mark.parametrize(
    ("given", "reason", "counted"),
    [
        (lambda: token(FOREIGN), "signature", True),
        (lambda: token(aud="another"), "audience", True),
        (lambda: token(aud=None), "audience", True),
        (lambda: token(role="admin"), "claims", True),
        (lambda: token(exp=None), "claims", True),
        (lambda: token(nbf=2**40), "not_yet", True),
        (lambda: token(iat=2**40), "not_yet", True),
        (lambda: token(exp=2**40), "too_long", True),
        (lambda: token(padding="x" * 4_096), "too_large", True),
        (lambda: "a.b.c", "malformed", True),
        (lambda: token(exp=1), "expired", False),
        (lambda: "", "missing", False),
    ],
)
def test_the_log_says_why_a_token_is_refused_and_all_but_expired_ones_are_counted(
    monkeypatch: pytest.MonkeyPatch, given: Callable[[], str], reason: str, counted: bool
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "staging")
    vault, counts = Vault(), list[str]()
    monkeypatch.setattr(identity, "token_secret", lambda: vault.secret)
    monkeypatch.setattr(identity, "count", counts.append)
    identity.logger.clear_state()
    with pytest.raises(Refusal):
        identity.of_rest({"authorization": f"Bearer {given()}"})
    assert identity.logger.get_current_keys().get("refused_because") == reason
    assert counts == ["TokensRefused"] * counted


@pytest.mark.parametrize(("mode", "made"), [("none", []), ("jwt", ["jwt", "the-arn"])])
def test_a_start_loads_what_tokens_are_checked_with_if_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, mode: str, made: list[str]
) -> None:
    for name, value in {"ENVIRONMENT": "local", "AUTH_MODE": mode, "TOKEN_SECRET_ARN": "the-arn"}.items():
        monkeypatch.setenv(name, value)
    found: list[str] = []
    monkeypatch.setattr(identity.importlib, "import_module", found.append)
    monkeypatch.setattr(identity.secrets, "ready", found.append)
    identity.ready()
    assert found == made


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Moves the clock of the memory of tokens."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + seconds)


def test_a_signature_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    vault, given = Vault(previous=PREVIOUS), [token(CURRENT), token(PREVIOUS)]
    found = [verify(each, vault.secret) for each in given]
    monkeypatch.setattr(jwt, "decode", lambda *_, **__: pytest.fail("checked again"))
    again = [verify(each, vault.secret) for each in given]
    assert [(it, it.who) for it in again] == [(it, it.who) for it in found]


def test_a_token_that_is_remembered_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    vault, given = Vault(), token()
    verify(given, vault.secret)
    later(monkeypatch, HOUR)
    assert refusal(given, vault) == "token_expired"


def test_a_token_that_is_remembered_expires_in_the_second_that_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    exp = int(time.time()) + HOUR
    vault, given = Vault(), token(exp=exp)
    verify(given, vault.secret)
    monkeypatch.setattr(time, "time", lambda: float(exp))
    assert refusal(given, vault) == "token_expired"


def test_a_token_that_is_remembered_is_not_valid_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    vault, given = Vault(), token(nbf=int(time.time()) + 2 * identity.NBF_LEEWAY_SECONDS)
    assert refusal(given, vault) == "unauthorized"
    assert refusal(given, vault) == "unauthorized"
    later(monkeypatch, 2 * identity.NBF_LEEWAY_SECONDS)
    assert verify(given, vault.secret).sub == "driver-7"


def test_a_remembered_token_is_refused_once_its_secret_is_worthless() -> None:
    vault, given = Vault(), token()
    verify(given, vault.secret)
    vault.rotate("second-1" * 8)
    vault.rotate("third-11" * 8)
    vault.now += secrets.SECRET_TTL_SECONDS
    assert refusal(given, vault) == "unauthorized"


def test_another_signature_is_another_token() -> None:
    vault, given = Vault(), token()
    verify(given, vault.secret)
    assert refusal(given[:-2] + ("AA" if given[-2:] != "AA" else "BB"), vault) == "unauthorized"


def test_the_log_names_a_person_by_the_current_secret() -> None:
    vault, given = Vault(), token()
    before = verify(given, vault.secret).who
    vault.rotate("rotated-" * 8)
    verify(token("rotated-" * 8), vault.secret)
    assert verify(given, vault.secret).who != before == verify(given, Vault().secret).who
    assert re.fullmatch("[0-9a-f]{16}", before)


def test_the_number_of_remembered_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "TOKENS_REMEMBERED", 2)
    vault, (first, second, third) = Vault(), [token(sub=name) for name in ("first", "second", "third")]
    for each in (first, second, first, third):
        verify(each, vault.secret)
    checked = list[str]()
    decode = jwt.decode
    monkeypatch.setattr(jwt, "decode", lambda given, *how, **more: checked.append(given) or decode(given, *how, **more))
    for each in (first, third, second):
        verify(each, vault.secret)
    assert checked == [second]


def test_the_last_thousand_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    vault, (first, second, *others, last) = Vault(), [token(sub=str(number)) for number in range(1_001)]
    for each in (first, second, *others):
        verify(each, vault.secret)
    checked = list[str]()
    decode = jwt.decode
    monkeypatch.setattr(jwt, "decode", lambda given, *how, **more: checked.append(given) or decode(given, *how, **more))
    for each in (first, last, second):
        verify(each, vault.secret)
    assert checked == [last, second]


def test_a_container_that_forgets_checks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    vault, given = Vault(), token()
    verify(given, vault.secret)
    warm.forget()
    checked: list[str] = []
    decode = jwt.decode
    monkeypatch.setattr(jwt, "decode", lambda *args, **how: checked.append("again") or decode(*args, **how))
    verify(given, vault.secret)
    assert checked == ["again"]


def test_an_empty_secret_signs_nothing() -> None:
    assert refusal(by_hand({"alg": "HS256"}, claims(), ""), Vault(current="", previous="")) == "unauthorized"


@pytest.fixture
def tokens_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "staging")
    vault = Vault()
    monkeypatch.setattr(identity, "token_secret", lambda: vault.secret)


@pytest.mark.usefixtures("tokens_asked_for")
def test_rest_takes_a_bearer_token_only_in_the_header() -> None:
    given = token()
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert identity.of_rest({"authorization": f"{scheme} {given}"}) is not None
    for value in (given, f"Basic {given}", "Bearer", "Bearer ", f"Bearer {given} {given}", f"Bearer,{given}", ""):
        with pytest.raises(Refusal):
            identity.of_rest({"authorization": value})
    with pytest.raises(Refusal):
        identity.of_rest({})


@pytest.mark.usefixtures("tokens_asked_for")
def test_a_websocket_takes_a_token_by_header_subprotocol_or_query() -> None:
    given = token()
    assert handshake.bearer_of({"authorization": f"Bearer {given}"}, {}) is not None
    assert handshake.bearer_of({"sec-websocket-protocol": f"navietakie.v1, bearer.{given}"}, {}) is not None
    assert handshake.bearer_of({}, {"token": given}) is not None
    for headers, query in (({}, {}), ({"sec-websocket-protocol": "navietakie.v1"}, {}), ({}, {"token": ""})):
        with pytest.raises(Refusal):
            handshake.bearer_of(headers, query)


@pytest.mark.usefixtures("tokens_asked_for")
def test_a_bad_header_is_not_saved_by_a_good_query() -> None:
    with pytest.raises(Refusal):
        handshake.bearer_of({"authorization": "Bearer a.b.c"}, {"token": token()})
    with pytest.raises(Refusal):
        handshake.bearer_of({"sec-websocket-protocol": "bearer.a.b.c"}, {"token": token()})


def test_a_browser_gets_its_subprotocol_back_and_never_its_token() -> None:
    offered = {"sec-websocket-protocol": f"navietakie.v1, bearer.{token()}"}
    assert handshake.selected_subprotocol(offered) == {"Sec-WebSocket-Protocol": "navietakie.v1"}
    assert handshake.selected_subprotocol({"sec-websocket-protocol": "bearer.x"}) == {}
    assert handshake.selected_subprotocol({}) == {}


@pytest.mark.parametrize("environment", ["staging", "production", "Local"])
def test_no_setting_switches_tokens_off_in_a_deployed_environment(
    environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVIRONMENT", environment)
    monkeypatch.setenv("AUTH_MODE", "none")
    assert settings.auth_mode() == "jwt"
    with pytest.raises(Refusal):
        identity.of_rest({})


def test_without_the_setting_environment_every_request_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENVIRONMENT", raising=False)
    monkeypatch.setenv("AUTH_MODE", "none")
    with pytest.raises(Refusal, match="ENVIRONMENT is not set"):
        identity.of_rest({})


@pytest.mark.parametrize(("mode", "asked_for"), [("none", False), ("", False), ("jwt", True), ("None", True)])
def test_the_local_stack_can_require_tokens(mode: str, asked_for: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "local")
    monkeypatch.setenv("AUTH_MODE", mode)
    assert (settings.auth_mode() != "none") is asked_for
