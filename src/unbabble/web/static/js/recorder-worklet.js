// Runs beside the audio: hands over raw samples while recording, and the level about 20 times a second at all times.

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.recording = false;
    this.peak = 0; this.squares = 0; this.count = 0;
    this.port.onmessage = ({ data }) => {
      this.recording = data === 'start';
      if (data === 'stop') this.port.postMessage({ stopped: true });
    };
  }

  process(inputs) {
    const channels = inputs[0];
    if (!channels.length) return true; // the microphone has not begun
    const samples = channels[0];
    if (this.recording) {
      const copy = samples.slice();
      this.port.postMessage({ samples: copy }, [copy.buffer]);
    }
    for (const sample of samples) {
      this.peak = Math.max(this.peak, Math.abs(sample));
      this.squares += sample * sample;
    }
    this.count += samples.length;
    if (this.count >= sampleRate / 20) {
      this.port.postMessage({ peak: this.peak, rms: Math.sqrt(this.squares / this.count) });
      this.peak = 0; this.squares = 0; this.count = 0;
    }
    return true;
  }
}

registerProcessor('recorder', Recorder);
