"""A phone that was written only from docs/protocol.md talks with the console."""

import json
import re
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import expect

from local.stack import Stack
from tests import coturn
from tests.browser.conftest import Open
from tests.browser.console import Console, Phone
from tests.browser.peer import Peer
from tests.running import running


def talk(phone: Phone, peer: Peer) -> None:
    """Checks that both hear each other: the console a tone, the peer the beeps of Chromium's microphone."""
    expect(phone.talking).to_have_attribute("data-received", re.compile(r"\d{4,}"))
    phone.place.page.wait_for_function(
        """side => Number(document.querySelector(`[data-side=${side}] .level`)
            .style.getPropertyValue('--loud')) > 0.05""",
        arg=phone.side,
    )
    peer.listen()


def test_the_console_calls_a_peer_and_both_hear_each_other(console: Console, stack: Stack) -> None:
    with Peer(stack.websocket_url, console.booking, "passenger") as peer:
        console.driver.write("Can you talk?")
        peer.wait("the driver's message", lambda: "Can you talk?" in peer.messages)
        peer.say("Call me")
        expect(console.driver.bubble("Call me")).to_be_visible()
        console.driver.call()
        peer.wait("it rings", lambda: peer.state == "ringing")
        peer.answer()
        talk(console.driver, peer)
        console.driver.button("Hang up").click()
        peer.wait("the end", lambda: peer.state == "ended")


def test_a_peer_calls_the_console_and_both_hear_each_other(console: Console, stack: Stack) -> None:
    with Peer(stack.websocket_url, console.booking, "driver") as peer:
        peer.ring()
        console.passenger.button("Answer").click()
        peer.wait("the answer", lambda: peer.state == "connected")
        talk(console.passenger, peer)
        peer.hang_up()
        expect(console.passenger.messages.last).to_contain_text("Call ended")


@pytest.mark.skipif(not coturn.INSTALLED, reason="coturn is not installed (Debian: apt-get install coturn)")
def test_with_the_policy_relay_both_talk_through_the_turn_server_and_show_no_other_address(
    open_console: Open, tmp_path: Path
) -> None:
    parameters = tmp_path / "relay.yaml"
    with coturn.running(tmp_path) as server:
        servers = json.dumps(server.servers())
        parameters.write_text(yaml.safe_dump({"IceServers": servers, "IceTransportPolicy": "relay"}))
        with running(tmp_path / "stack", "--parameters", str(parameters)) as (_, stack):
            console = open_console(at=stack.url).ready()
            with Peer(stack.websocket_url, console.booking, "passenger") as peer:
                console.driver.call()
                peer.wait("it rings", lambda: peer.state == "ringing")
                peer.answer()
                talk(console.driver, peer)
                assert peer.voice
                assert peer.voice.shown() == {"relay"}
            console.page.close()  # before its stack stops
