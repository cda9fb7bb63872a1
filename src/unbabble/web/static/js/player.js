// Plays several tracks of one recording at once, sample by sample in step, and switches between them in an instant.
//
//   const player = new Player(element, [{url, label, note?}, ...], {group?, onEvent?});
//   await player.load();            // throws where a track cannot be fetched or decoded
//   await player.play(); player.pause(); player.seek(seconds); player.select(index);
//   player.solo(index); player.mute(index);        // with {group: true}: several tracks sound together
//   player.heard[index]             // share of the track that has really been heard, 0 to 1
//
// onEvent(name, detail): 'time' {seconds, duration}, 'heard' {index, share}, 'ended' {}, 'select' {index}.
// The element becomes a group of controls for mouse, keyboard and screen reader; within it, P plays and pauses (and so
// does space, but on a button that presses it), 1 to 9 switch, the arrows seek. Tracks start at one time of one clock (Web Audio), and switching moves gains alone.
// Of more than two microphones, the first is played: what the voices are heard by.

import { make } from './dom.js';

const FADE_SECONDS = 0.005; // no click when switching
const BINS_PER_SECOND = 20; // by which `heard` counts
const SEEK_SECONDS = 5;
const START_SECONDS = 0.03; // for all tracks to be ready
const playing = new Set(); // one at a time on a page

export function clock(seconds) {
  const whole = Math.floor(Math.max(0, seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** Hz of a FLAC or WAV file; 0 of any other. */
function sampleRate(bytes) {
  if (bytes.byteLength < 44) return 0;
  const view = new DataView(bytes);
  const mark = view.getUint32(0);
  if (mark === 0x664c6143) return (view.getUint32(18) >>> 12); // fLaC
  return mark === 0x52494646 && view.getUint32(12) === 0x666d7420 ? view.getUint32(24, true) : 0; // RIFF, fmt
}

/** At the recording's own rate, so that nothing is resampled before it is heard, where the browser can. */
function contextAt(rate) {
  try {
    return rate ? new AudioContext({ sampleRate: rate }) : new AudioContext();
  } catch {
    return new AudioContext();
  }
}

export class Player {
  constructor(root, tracks, { group = false, onEvent = () => {} } = {}) {
    this.root = root;
    this.tracks = tracks;
    this.group = group;
    this.onEvent = onEvent;
    this.heard = tracks.map(() => 0);
    this.selected = 0;
    this.soloed = new Set();
    this.muted = new Set();
    this.buffers = [];
    this.duration = 0;
    this.position = 0; // where it stands while it is paused
    this.sources = null; // while it plays
    this.#build();
  }

  get playing() { return this.sources !== null; }

  /** Seconds from the start, now. */
  get seconds() {
    if (!this.playing) return this.position;
    return Math.min(this.duration, Math.max(this.from, this.from + this.context.currentTime - this.startedAt));
  }

  async load() {
    this.root.setAttribute('aria-busy', 'true');
    try {
      const sent = await Promise.all(this.tracks.map(async ({ url }) => {
        const answer = await fetch(url);
        if (!answer.ok) throw new Error('A recording could not be fetched: load the page again.');
        return answer.arrayBuffer();
      }));
      this.context = contextAt(Math.max(...sent.map(sampleRate)));
      this.buffers = await Promise.all(sent.map(async (bytes) => this.#usable(await this.context.decodeAudioData(bytes))));
    } catch (error) {
      this.state.textContent = error.message || 'A recording could not be played.';
      throw error;
    } finally {
      this.root.removeAttribute('aria-busy');
    }
    this.duration = Math.max(...this.buffers.map((buffer) => buffer.duration));
    this.bins = this.buffers.map((buffer) => new Uint8Array(Math.max(1, Math.floor(buffer.duration * BINS_PER_SECOND))));
    this.gains = this.buffers.map(() => {
      const gain = this.context.createGain();
      gain.connect(this.context.destination);
      return gain;
    });
    this.slider.max = this.duration;
    for (const control of this.root.querySelectorAll('button, input')) control.disabled = false;
    this.state.textContent = '';
    this.#mix(true);
    this.#show();
    return this;
  }

  async play() {
    if (this.playing || !this.buffers.length) return;
    for (const other of playing) other.pause();
    playing.add(this);
    if (this.context.state !== 'running') await this.context.resume();
    if (this.playing) return;
    if (this.position >= this.duration - 0.01) this.position = 0;
    this.#start();
    this.#tick();
    this.#show();
  }

  pause() {
    playing.delete(this);
    if (!this.playing) return;
    this.#count();
    this.position = this.seconds;
    this.#stop();
    this.#show();
  }

  toggle() { return this.playing ? this.pause() : this.play(); }

  seek(seconds) {
    const aim = Math.min(this.duration, Math.max(0, seconds));
    if (this.playing) {
      this.#count();
      this.#stop();
      this.position = aim;
      this.#start();
    } else this.position = aim;
    this.#show();
    this.onEvent('time', { seconds: aim, duration: this.duration });
  }

  /** Listen to this track, from the same moment on. */
  select(index) {
    if (!(index in this.tracks)) return;
    this.#count();
    this.selected = index;
    this.soloed.clear();
    this.#mix();
    this.#show();
    this.onEvent('select', { index });
  }

  /** With a group: hear this track together with the others that are soloed; again to end that. */
  solo(index, on = !this.soloed.has(index)) {
    this.#count();
    if (on) this.soloed.add(index); else this.soloed.delete(index);
    this.#mix();
    this.#show();
  }

  mute(index, on = !this.muted.has(index)) {
    this.#count();
    if (on) this.muted.add(index); else this.muted.delete(index);
    this.#mix();
    this.#show();
  }

  /** Whether a track sounds now, or would if it were playing. */
  audible(index) {
    if (this.muted.has(index)) return false;
    return this.soloed.size ? this.soloed.has(index) : index === this.selected;
  }

  /** Highest magnitude of all tracks, by which their waveforms can be drawn alike. */
  get peak() {
    return this.buffers.reduce((most, buffer) => buffer.getChannelData(0).reduce((high, each) => Math.max(high, Math.abs(each)), most), 0);
  }

  destroy() {
    this.pause();
    this.context?.close();
    this.root.replaceChildren();
  }

  #usable(buffer) {
    if (buffer.numberOfChannels <= 2) return buffer;
    const first = this.context.createBuffer(1, buffer.length, buffer.sampleRate);
    first.copyToChannel(buffer.getChannelData(0), 0);
    return first;
  }

  #start() {
    this.startedAt = this.context.currentTime + START_SECONDS;
    this.from = this.counted = this.position;
    const sources = this.buffers.map((buffer, index) => {
      const source = this.context.createBufferSource();
      source.buffer = buffer;
      source.connect(this.gains[index]);
      source.start(this.startedAt, Math.min(this.position, buffer.duration));
      return source;
    });
    const longest = this.buffers.findIndex((buffer) => buffer.duration === this.duration);
    sources[longest].onended = () => {
      if (this.sources !== sources) return; // stopped, not ended
      this.#count(this.duration);
      this.#stop();
      playing.delete(this);
      this.position = this.duration;
      this.#show();
      this.onEvent('ended', {});
    };
    this.sources = sources;
  }

  #stop() {
    const sources = this.sources;
    this.sources = null;
    for (const source of sources) {
      source.stop();
      source.disconnect();
    }
    clearTimeout(this.timer);
  }

  #mix(now = false) {
    this.gains?.forEach((gain, index) => {
      const aim = this.audible(index) ? 1 : 0;
      if (now) gain.gain.value = aim; else gain.gain.setTargetAtTime(aim, this.context.currentTime, FADE_SECONDS / 3);
    });
  }

  #tick() {
    if (!this.playing) return;
    this.#count();
    this.#show();
    this.onEvent('time', { seconds: this.seconds, duration: this.duration });
    this.timer = setTimeout(() => this.#tick(), 50);
  }

  /** Write down what has sounded since the last time. */
  #count(until = this.seconds) {
    if (!this.playing) return;
    this.bins.forEach((bins, index) => {
      if (!this.audible(index)) return;
      const last = Math.min(bins.length, Math.round(until * BINS_PER_SECOND));
      for (let bin = Math.round(this.counted * BINS_PER_SECOND); bin < last; bin++) bins[bin] = 1;
      const share = bins.reduce((sum, each) => sum + each, 0) / bins.length;
      if (share !== this.heard[index]) {
        this.heard[index] = share;
        this.onEvent('heard', { index, share });
      }
    });
    this.counted = until;
  }

  #build() {
    this.root.classList.add('player');
    this.root.setAttribute('role', 'group');
    if (!this.root.hasAttribute('aria-label')) this.root.setAttribute('aria-label', 'Player');
    this.button = make('button', { type: 'button', className: 'primary player-play', textContent: 'Play', disabled: true, onclick: () => this.toggle() });
    this.slider = make('input', { type: 'range', min: 0, max: 1, step: 'any', value: 0, disabled: true, 'aria-label': 'Position' });
    this.slider.addEventListener('input', () => this.seek(Number(this.slider.value)));
    this.time = make('span', { className: 'player-time' });
    this.state = make('p', { className: 'player-state small', role: 'status', textContent: 'Loading …' });
    const bar = make('div', { className: 'player-bar' }, this.button, this.slider, this.time);
    this.list = make('ul', { className: 'player-tracks' });
    this.controls = this.tracks.map(({ label, note }, index) => {
      const pick = make('button', { type: 'button', className: 'player-pick', disabled: true, onclick: () => this.select(index) }, label);
      const found = { pick };
      const row = make('li', { className: 'player-track' }, pick);
      if (this.group) {
        found.solo = make('button', { type: 'button', className: 'player-solo', disabled: true, textContent: 'Solo', 'aria-label': `Solo ${label}`, onclick: () => this.solo(index) });
        found.mute = make('button', { type: 'button', className: 'player-mute', disabled: true, textContent: 'Mute', 'aria-label': `Mute ${label}`, onclick: () => this.mute(index) });
        row.append(found.solo, found.mute);
      }
      if (note) row.append(make('span', { className: 'player-note', textContent: note }));
      this.list.append(row);
      found.row = row;
      return found;
    });
    this.root.replaceChildren(bar, this.list, this.state);
    this.root.addEventListener('keydown', (event) => this.#key(event));
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || !this.buffers.length) return;
    const within = event.target;
    if (within.matches('input:not([type="range"]), select, textarea')) return;
    const onButton = within.matches('button, a, summary');
    if (event.key.toLowerCase() === 'p' || (event.key === ' ' && !onButton)) this.toggle();
    else if (/^[1-9]$/.test(event.key) && Number(event.key) <= this.tracks.length) this.select(Number(event.key) - 1);
    else if (event.key === 'ArrowLeft') this.seek(this.seconds - SEEK_SECONDS);
    else if (event.key === 'ArrowRight') this.seek(this.seconds + SEEK_SECONDS);
    else return;
    event.preventDefault();
  }

  #show() {
    this.button.textContent = this.playing ? 'Pause' : 'Play';
    this.slider.value = this.seconds;
    const text = `${clock(this.seconds)} of ${clock(this.duration)}`;
    this.slider.setAttribute('aria-valuetext', text);
    this.time.textContent = `${clock(this.seconds)} / ${clock(this.duration)}`;
    this.controls.forEach(({ pick, solo, mute, row }, index) => {
      pick.setAttribute('aria-pressed', String(!this.soloed.size && index === this.selected));
      solo?.setAttribute('aria-pressed', String(this.soloed.has(index)));
      mute?.setAttribute('aria-pressed', String(this.muted.has(index)));
      row.classList.toggle('audible', this.audible(index));
    });
  }
}

/**
 * Draw a recording into `element`: its waveform and, with {spectrogram: true}, what is in it by pitch.
 * `source` is an address, or an AudioBuffer that a Player has decoded. Resolves to wavesurfer's object when it is
 * drawn: `.setTime(seconds)` moves the cursor; `onSeek(seconds)` is called where somebody clicks. `peak` is the magnitude
 * that fills the height, 1 if not given.
 */
export async function drawWave(element, source, { spectrogram = false, height = 48, onSeek = null, color = '--voice-0', peak = 1 } = {}) {
  const { default: WaveSurfer } = await import('/static/vendor/wavesurfer.js');
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue(color).trim() || '#888';
  const decoded = source instanceof AudioBuffer;
  const options = {
    container: element,
    height,
    waveColor: ink,
    progressColor: ink,
    cursorColor: style.getPropertyValue('--accent').trim() || '#888',
    cursorWidth: 2,
    barHeight: 1 / Math.max(peak, 1e-3),
    interact: Boolean(onSeek),
    cspNonce: document.querySelector('meta[name="nonce"]')?.content,
  };
  if (decoded) Object.assign(options, { peaks: [source.getChannelData(0)], duration: source.duration });
  else options.url = source;
  if (spectrogram) {
    const { default: Spectrogram } = await import('/static/vendor/spectrogram.js');
    options.plugins = [Spectrogram.create({ height: 96, labels: false, scale: 'mel', fftSamples: 512, colorMap: 'roseus' })];
  }
  const wave = WaveSurfer.create(options);
  if (onSeek) wave.on('interaction', onSeek);
  await new Promise((done, fail) => {
    wave.on('ready', done);
    wave.on('error', fail);
  });
  return wave;
}
