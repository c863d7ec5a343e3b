/** The longest voice note, in seconds. */
export const LONGEST = 60;

const KINDS = ['audio/webm;codecs=opus', 'audio/mp4;codecs=mp4a.40.2', 'audio/mp4', 'audio/ogg;codecs=opus'];

/** Records one voice note from the microphone, and measures how loud it is. */
export class Recorder {
  #stream;
  #context;
  #analyser;
  #recorder;
  #chunks = [];
  #began = 0;
  #ended = null;
  #limit;
  #finished;

  /** Asks for the microphone and begins. Calls `full` at the longest time. Rejects if there is no microphone. */
  static async start({ full }) {
    const kind = KINDS.find((each) => globalThis.MediaRecorder?.isTypeSupported(each));
    if (!kind || !navigator.mediaDevices) throw Object.assign(new Error(), { code: 'microphone' });
    try {
      return new Recorder(await navigator.mediaDevices.getUserMedia({ audio: true }), kind, full);
    } catch {
      throw Object.assign(new Error(), { code: 'microphone' });
    }
  }

  constructor(stream, kind, full) {
    this.#stream = stream;
    this.#context = new AudioContext();
    this.#analyser = this.#context.createAnalyser();
    this.#context.createMediaStreamSource(stream).connect(this.#analyser);
    this.#recorder = new MediaRecorder(stream, { mimeType: kind, audioBitsPerSecond: 32_000 });
    this.#recorder.ondataavailable = ({ data }) => this.#chunks.push(data);
    this.#finished = new Promise((done) => (this.#recorder.onstop = done));
    this.#recorder.start();
    this.#began = performance.now();
    this.#limit = setTimeout(() => {
      this.#end();
      full();
    }, LONGEST * 1_000);
  }

  get seconds() {
    return Math.min(LONGEST, ((this.#ended ?? performance.now()) - this.#began) / 1_000);
  }

  /** How loud it is now, 0 to 1. */
  get level() {
    if (this.#ended !== null) return 0;
    const wave = new Float32Array(this.#analyser.fftSize);
    this.#analyser.getFloatTimeDomainData(wave);
    return Math.min(1, 4 * Math.sqrt(wave.reduce((sum, each) => sum + each * each, 0) / wave.length));
  }

  /** Ends the recording and resolves with the note. */
  async finish() {
    this.#end();
    await this.#finished;
    const type = this.#recorder.mimeType.split(';')[0];
    return { blob: new Blob(this.#chunks, { type }), seconds: Math.max(1, Math.round(this.seconds)) };
  }

  /** Ends the recording and releases the microphone. */
  cancel() {
    this.#end();
  }

  #end() {
    if (this.#ended !== null) return;
    this.#ended = performance.now();
    clearTimeout(this.#limit);
    if (this.#recorder.state !== 'inactive') this.#recorder.stop();
    for (const track of this.#stream.getTracks()) track.stop();
    this.#context.close();
  }
}
