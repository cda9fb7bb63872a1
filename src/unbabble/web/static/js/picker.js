// Recordings that are to be sent: chosen, dropped or made, and then sent in pieces.

import { make } from './dom.js';
import { upload } from './api.js';
import { clock } from './player.js';

/** Where recordings are chosen, dropped or made; `files` holds them until they are sent. */
export class Picker {
  constructor(root, several) {
    this.root = root;
    this.several = several;
    this.files = [];
    this.input = make('input', { type: 'file', accept: 'audio/*,video/*,.flac,.wav,.mp3,.ogg,.opus,.m4a', multiple: several() });
    this.input.addEventListener('change', () => { this.add([...this.input.files]); this.input.value = ''; });
    this.record = make('button', { type: 'button', textContent: 'Record', onclick: () => this.toggle() });
    const buttons = make('div', { className: 'row' }, make('label', { className: 'button file' }, 'Choose a file', this.input), this.record);
    if ('demo' in root.dataset) {
      buttons.append(make('button', { type: 'button', className: 'plain', 'data-for': 'separate', textContent: 'Use the demo recording', onclick: () => this.demo() }));
    }
    this.level = make('meter', { min: 0, max: 1, low: 0.02, high: 0.9, optimum: 0.3, hidden: true, 'aria-label': 'Level of the microphone' });
    this.state = make('p', { className: 'small', role: 'status' });
    this.list = make('ul', { className: 'picked' });
    this.time = make('span', { className: 'player-time', 'aria-hidden': 'true' }); // not read out every second
    buttons.append(this.time);
    root.append(buttons, this.level, this.state, this.list);
    root.addEventListener('dragover', (event) => { event.preventDefault(); root.classList.add('over'); });
    root.addEventListener('dragleave', () => root.classList.remove('over'));
    root.addEventListener('drop', (event) => {
      event.preventDefault();
      event.stopPropagation();
      root.classList.remove('over');
      this.add([...event.dataTransfer.files]);
    });
  }

  add(files) {
    const found = files.map((file) => ({ blob: file, name: file.name || 'recording.wav' }));
    this.files = this.several() ? [...this.files, ...found] : found.slice(-1);
    this.show();
  }

  show() {
    this.input.multiple = this.several();
    this.list.replaceChildren(...this.files.map((file, index) => {
      const { size: bytes } = file.blob;
      const size = bytes < 1e5 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
      const remove = make('button', { type: 'button', className: 'plain', onclick: () => { this.files.splice(index, 1); this.show(); this.input.focus(); } }, 'Remove', make('span', { className: 'unseen', textContent: ` ${file.name}` }));
      const row = make('li', { className: 'row' }, make('b', { textContent: file.name }), make('span', { className: 'soft small', textContent: size }), remove);
      if (file.recorded) {
        file.address ??= URL.createObjectURL(file.blob);
        row.append(make('audio', { controls: true, src: file.address, 'aria-label': file.name }));
      }
      return row;
    }));
  }

  async demo() {
    const answer = await fetch('/studio/demo.flac');
    this.add([new File([await answer.blob()], 'demo.flac')]);
  }

  async toggle() {
    try {
      if (this.recorder) await this.finish(); else await this.begin();
    } catch (error) {
      this.recorder?.close();
      this.recorder = null;
      this.idle();
      this.state.textContent = error.message;
    }
  }

  async begin() {
    const { Recorder } = await import('./recorder.js');
    this.recorder = new Recorder();
    this.recorder.onLevel = (peak) => { this.level.value = peak; };
    await this.recorder.open();
    this.recorder.start();
    this.level.hidden = false;
    this.record.textContent = 'Stop';
    this.record.setAttribute('aria-pressed', 'true');
    const from = performance.now();
    this.state.textContent = 'Recording';
    this.timer = setInterval(() => { this.time.textContent = clock((performance.now() - from) / 1000); }, 500);
  }

  async finish() {
    const { blob, seconds, clippedShare } = await this.recorder.stop();
    this.recorder.close();
    this.recorder = null;
    this.idle();
    const name = `recording-${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}.wav`;
    this.add([new File([blob], name)]);
    this.files.at(-1).recorded = true;
    this.show();
    this.state.textContent = `Recorded ${seconds.toFixed(1)} s.${clippedShare > 0.001 ? ' It is too loud, and distorted: move away from the microphone.' : ''}`;
  }

  idle() {
    clearInterval(this.timer);
    this.time.textContent = '';
    this.level.hidden = true;
    this.record.textContent = 'Record';
    this.record.removeAttribute('aria-pressed');
  }
}

/** Send the files of `pickers`, of which each is sent once; gives the uploads' ids by role. */
export async function send(pickers, bar, status) {
  const all = pickers.flatMap((picker) => picker.files.map((file) => ({ file, ...picker.root.dataset })));
  const sent = {};
  for (const [index, { role, file, purpose }] of all.entries()) {
    file.sent ??= (await upload(file.blob, file.name.slice(-200), purpose, (share, waiting) => {
      bar.value = (index + share) / all.length;
      status.textContent = waiting ? 'The connection is lost: trying again …' : share < 1 ? 'Sending …' : 'Reading it …';
    })).id;
    (sent[role] ??= []).push(file.sent);
  }
  return sent;
}
