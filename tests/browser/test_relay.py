"""Relay only: two WebRTC peers with the ICE servers from a call's answer, and a coturn between them."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from make_call import ice
from tests.coturn import INSTALLED, running

TALK = """async ({ servers, policy }) => {
    const config = { iceServers: servers, iceTransportPolicy: policy };
    const peers = [new RTCPeerConnection(config), new RTCPeerConnection(config)];
    const [one, two] = peers;
    const sound = new AudioContext();
    const tone = sound.createOscillator();
    const microphone = sound.createMediaStreamDestination();
    tone.connect(microphone);
    tone.start();
    const told = [];  // every address that one tells the other
    for (const [from, to] of [[one, two], [two, one]]) {
        from.addTrack(microphone.stream.getTracks()[0], microphone.stream);
        from.onicecandidate = ({ candidate }) => {
            if (!candidate?.candidate) return;
            told.push(candidate.candidate);
            to.addIceCandidate(candidate);
        };
    }
    const describe = async (description, from, to) => {
        await from.setLocalDescription(description);
        told.push(...from.localDescription.sdp.split('\\r\\n').filter((line) => line.startsWith('a=candidate')));
        await to.setRemoteDescription(from.localDescription);
    };
    await describe(await one.createOffer(), one, two);
    await describe(await two.createAnswer(), two, one);
    const packets = async (peer) => {
        const inbound = [...(await peer.getStats()).values()].filter(({ type }) => type === 'inbound-rtp');
        return inbound.reduce((sum, { packetsReceived }) => sum + packetsReceived, 0);
    };
    const heard = async () => Math.min(await packets(one), await packets(two));
    for (let left = 300; left && (await heard()) < 50; left -= 1) await new Promise((go) => setTimeout(go, 200));
    const result = { told, heard: await heard() };
    peers.forEach((peer) => peer.close());
    return result;
}"""


@pytest.mark.skipif(not INSTALLED, reason="coturn is not installed (Debian: apt-get install coturn)")
def test_with_relay_only_two_devices_hear_each_other_and_tell_no_address_of_their_own(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as coturn, browser.new_context() as context:
        servers = coturn.servers()
        page = context.new_page()
        page.mouse.click(1, 1)  # browsers play sound only after a click

        def talk(policy: str) -> Any:
            monkeypatch.setenv("ICE_TRANSPORT_POLICY", policy)
            return page.evaluate(TALK, {"servers": servers, "policy": ice.policy()})

        relayed = talk("relay")
        assert relayed["heard"] >= 50
        assert relayed["told"]
        assert [candidate for candidate in relayed["told"] if " typ relay " not in candidate] == []
        assert any(" typ host" in candidate for candidate in talk("all")["told"])
