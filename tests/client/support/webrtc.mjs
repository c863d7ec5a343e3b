const FOUND = ' with a candidate';

/**
 * Plays a browser's WebRTC: two peers are connected when each has the other's description and a candidate. It shows
 * whether the signalling works. The browser tests show that sound flows.
 */
export function fakeWebRtc(clock) {
  const peers = [];
  let descriptions = 0;

  class FakePeer {
    remoteDescription = null;
    #local = null;
    #gathered = '';
    signalingState = 'stable';
    connectionState = 'new';
    candidates = [];
    tracks = [];
    #closed = false;

    constructor(config) {
      this.config = config;
      this.number = peers.push(this);
    }

    addTrack(track) {
      this.tracks.push(track);
    }

    getSenders() {
      const { tracks } = this;
      return tracks.map((track, index) => ({ track, replaceTrack: async (other) => (tracks[index] = other) }));
    }

    setConfiguration(config) {
      this.config = config;
    }

    async createOffer() {
      this.#mustBeOpen();
      return { type: 'offer', sdp: `offer ${this.number} ${++descriptions}` };
    }

    async createAnswer() {
      this.#mustBeOpen();
      return { type: 'answer', sdp: `answer ${this.number} to ${this.remoteDescription.sdp}` };
    }

    /** As in browsers, the description grows by the candidates that were found. */
    get localDescription() {
      return this.#local && { ...this.#local, sdp: this.#local.sdp + this.#gathered };
    }

    async setLocalDescription(description) {
      this.#mustBeOpen();
      this.#local = description;
      this.#gathered = '';
      this.signalingState = description.type === 'offer' ? 'have-local-offer' : 'stable';
      clock.setTimeout(() => {
        this.#gathered = FOUND;
        this.onicecandidate?.({ candidate: { candidate: `of ${this.number}` } });
      }, 10);
    }

    async setRemoteDescription(description) {
      this.#mustBeOpen();
      const bare = { ...description, sdp: description.sdp.replaceAll(FOUND, '') };
      if (bare.type === 'answer' && !bare.sdp.endsWith(`to ${this.#local.sdp}`)) {
        throw new Error('an answer to another offer');
      }
      if (this.remoteDescription?.sdp !== bare.sdp) this.candidates = [];
      this.remoteDescription = bare;
      this.signalingState = bare.type === 'offer' ? 'have-remote-offer' : 'stable';
      if (description.sdp.endsWith(FOUND)) this.candidates.push('found in the description');
      this.#perhapsConnect();
    }

    async addIceCandidate(candidate) {
      if (!this.remoteDescription) throw new Error('no remote description');
      this.candidates.push(candidate);
      this.#perhapsConnect();
    }

    /** The result of `getStats`, by id. */
    stats = new Map();

    async getStats() {
      return this.stats;
    }

    close() {
      this.#closed = true;
      this.connectionState = 'closed';
    }

    fail() {
      this.connectionState = 'failed';
      this.onconnectionstatechange?.();
    }

    #perhapsConnect() {
      const remote = peers.find((each) => each.number === Number(this.remoteDescription.sdp.split(' ')[1]));
      const mutual = remote?.remoteDescription && remote.remoteDescription.sdp === this.#local?.sdp;
      if (!mutual || remote.connectionState === 'closed' || !this.candidates.length || !remote.candidates.length)
        return;
      for (const peer of [this, remote]) {
        peer.connectionState = 'connected';
        peer.onconnectionstatechange?.();
      }
    }

    #mustBeOpen() {
      if (this.#closed) throw new Error('closed');
    }
  }

  return { RTCPeerConnection: FakePeer, peers };
}

/** A `getUserMedia` that keeps its microphones in a list. Their tracks say whether they run. */
export function fakeMicrophones() {
  const microphones = [];
  const there = { missing: false };
  const getUserMedia = async () => {
    if (there.missing) throw new Error('Requested device not found');
    const track = { enabled: true, running: true, readyState: 'live', stop: () => (track.running = false) };
    /** Plays that the microphone is unplugged. */
    track.end = () => {
      track.readyState = 'ended';
      track.onended?.();
    };
    microphones.push(track);
    return { getTracks: () => [track], getAudioTracks: () => [track] };
  };
  return { getUserMedia, microphones, there };
}
