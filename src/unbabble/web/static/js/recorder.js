// Raw sound from a microphone: 16-bit PCM at the rate of the device, without the browser's processing.

const FULL = 32767;
const CLIPPED = 0.999; // of full scale, as the server counts it

/** Microphones that the browser knows; their labels are empty until one was opened. */
export async function microphones() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === 'audioinput').map(({ deviceId, label }) => ({ deviceId, label }));
}

export class Recorder {
  /** Called about 20 times a second while open, with magnitudes of 0 to 1. */
  onLevel = (peak, rms) => {};
  /** Called when the microphone is unplugged or taken away. */
  onEnd = () => {};

  /** Ask for the microphone. Returns what the track really is: `{settings, label}`; throws an Error with a sentence. */
  async open({ deviceId } = {}) {
    this.close();
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error('This page cannot use a microphone: it needs an address with https, and a current browser.');
    }
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    if (deviceId) audio.deviceId = { exact: deviceId };
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
      throw new Error(SENTENCES[error.name] ?? `The microphone does not open (${error.name}).`);
    }
    const [track] = this.stream.getAudioTracks();
    track.onended = () => this.onEnd();
    this.context = await contextFor(track);
    await this.context.audioWorklet.addModule(new URL('recorder-worklet.js', import.meta.url));
    this.node = new AudioWorkletNode(this.context, 'recorder', { numberOfOutputs: 1 });
    this.node.port.onmessage = ({ data }) => this.#heard(data);
    this.context.createMediaStreamSource(this.stream).connect(this.node);
    const silent = new GainNode(this.context, { gain: 0 }); // a node that leads nowhere is not run
    this.node.connect(silent).connect(this.context.destination);
    await this.context.resume();
    return { settings: track.getSettings(), label: track.label };
  }

  /** Begin to keep what is heard. */
  start() {
    if (!this.node) throw new Error('The microphone is not open.');
    this.blocks = [];
    this.node.port.postMessage('start');
  }

  /** End; returns `{blob, seconds, sampleRate, peak, clippedShare}`, the blob being a WAV file. */
  async stop() {
    const stopped = new Promise((done) => { this.stopped = done; });
    this.node.port.postMessage('stop');
    await stopped;
    const { blocks } = this;
    this.blocks = null;
    return encode(blocks, this.context.sampleRate);
  }

  /** Give the microphone back. */
  close() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.context?.close();
    this.stream = this.context = this.node = this.blocks = null;
  }

  #heard(data) {
    if (data.samples) this.blocks?.push(data.samples);
    else if (data.stopped) this.stopped?.();
    else this.onLevel(data.peak, data.rms);
  }
}

const SENTENCES = {
  NotAllowedError: 'The browser may not use the microphone: allow it for this page, then try again.',
  NotFoundError: 'There is no microphone: plug one in, then try again.',
  NotReadableError: 'The microphone is in use by another program: close that, then try again.',
  OverconstrainedError: 'That microphone is gone: choose another one.',
};

// At the device's own rate, so that nothing is resampled; some browsers refuse to say it.
async function contextFor(track) {
  const { sampleRate } = track.getSettings();
  try {
    return new AudioContext(sampleRate ? { sampleRate } : {});
  } catch {
    return new AudioContext();
  }
}

function encode(blocks, sampleRate) {
  const count = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, 'RIFF'); view.setUint32(4, 36 + 2 * count, true); text(8, 'WAVEfmt ');
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, sampleRate, true); view.setUint32(28, 2 * sampleRate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true); text(36, 'data'); view.setUint32(40, 2 * count, true);
  let at = 44, peak = 0, clipped = 0;
  for (const block of blocks) {
    for (const sample of block) {
      const size = Math.abs(sample);
      peak = Math.max(peak, size);
      if (size >= CLIPPED) clipped++;
      view.setInt16(at, Math.round(Math.max(-1, Math.min(1, sample)) * FULL), true);
      at += 2;
    }
  }
  const blob = new Blob([view.buffer], { type: 'audio/wav' });
  return { blob, seconds: count / sampleRate, sampleRate, peak, clippedShare: count ? clipped / count : 0 };
}
