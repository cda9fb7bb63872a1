// Rate: trials and their votes, the headphone check, and filling a study with recordings.

import { call, insist, upload, Refused } from './api.js';
import { Player } from './player.js';

const byId = (id) => document.getElementById(id);

function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value; else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function tell(sentence, kind = '') {
  const told = byId('told');
  told.hidden = !sentence;
  told.className = told.classList.contains('small') ? 'small' : `note ${kind}`;
  told.textContent = sentence;
}

// ---- Trials

class Trial {
  constructor(root) {
    this.root = root;
    this.study = root.dataset.study;
    this.kind = root.dataset.kind;
    this.least = Number(root.dataset.least);
    this.words = Object.entries(JSON.parse(byId('scale').textContent));
    byId('votes').addEventListener('submit', (event) => { event.preventDefault(); this.send(); });
    document.addEventListener('keydown', (event) => this.key(event), true);
  }

  async next(focus = true) {
    let state;
    try {
      state = await insist('POST', `/api/rate/${this.study}/next`, undefined, () => tell('No connection: trying again …', 'warn'));
    } catch (error) {
      tell(error.message, 'bad');
      return;
    }
    if (!state.trial) { location.reload(); return; }
    tell('');
    const { answered, total, trial } = state;
    byId('progress').max = total;
    byId('progress').value = answered;
    byId('heading').textContent = `Trial ${answered + 1} of ${total}`;
    await this.show(trial);
    if (focus) { byId('heading').focus(); scrollTo(0, 0); }
  }

  async show(trial) {
    this.trial = trial;
    this.player?.destroy();
    const fresh = make('div', { id: 'player', 'aria-label': 'Recordings of this trial' });
    fresh.addEventListener('click', (event) => { if (event.target.closest('.player-play')) this.advance(); }, true);
    byId('player').replaceWith(fresh);
    this.player = new Player(fresh, trial.clips, { onEvent: (name, detail) => this.happened(name, detail) });
    this.done = trial.clips.map(() => false);
    this.ask();
    try {
      await this.player.load();
      tell(this.missing());
    } catch {
      tell('A recording could not be loaded: load the page again.', 'bad');
    }
  }

  happened(name, { index } = {}) {
    if (name !== 'heard' || this.done[index] || this.player.heard[index] < this.least) return;
    this.done[index] = true;
    this.player.root.querySelectorAll('.player-track')[index].append(make('span', { className: 'tag good' }, make('span', { textContent: '✓', 'aria-hidden': 'true' }), make('span', { className: 'unseen', textContent: 'heard' })));
    tell(this.missing() ?? '');
  }

  // Whoever plays again after the end of a recording goes on to one that was not heard yet.
  advance() {
    const { player } = this;
    const left = this.done.indexOf(false);
    if (!player.playing && left >= 0 && this.done[player.selected] && player.position >= player.duration - 0.01) player.select(left);
  }

  // The questions, as the kind of study asks them.
  ask() {
    const { clips, questions } = this.trial;
    const send = make('button', { className: 'primary', textContent: 'Send and go on' });
    const asked = this.kind === 'mushra' ? [this.sliders(clips, questions)]
      : this.kind === 'ab' ? [this.choices(this.root.dataset.question, 'vote0', [['1', 'the first'], ['2', 'the second'], ['0', 'no difference']], false)]
        : questions.map((place, number) => this.choices(
          questions.length > 1 ? `${clips[place].label}: ${this.root.dataset.question}` : this.root.dataset.question,
          `vote${number}`, this.words, true));
    byId('votes').replaceChildren(...asked, make('div', {}, send));
  }

  choices(legend, name, options, numbered) {
    const row = make('div', { className: numbered ? 'votes five' : 'votes' });
    for (const [value, word] of options) {
      row.append(make('label', { className: 'vote' },
        make('input', { type: 'radio', name, value }),
        make('span', {}, ...(numbered ? [make('b', { textContent: value }), ' '] : []), word)));
    }
    return make('fieldset', {}, make('legend', { textContent: legend }), row);
  }

  sliders(clips, questions) {
    const bands = ['bad', 'poor', 'fair', 'good', 'excellent'];
    const set = make('fieldset', { className: 'stack' }, make('legend', { textContent: this.root.dataset.question }));
    questions.forEach((place, number) => {
      const value = make('span', { className: 'value', textContent: 'not rated', 'aria-hidden': 'true' });
      const slider = make('input', { type: 'range', min: 0, max: 100, step: 1, value: 50, name: `vote${number}`, id: `vote${number}` });
      const moved = () => {
        slider.dataset.moved = 'yes';
        const text = `${slider.value}, ${bands[Math.min(4, Math.floor(slider.value / 20))]}`;
        value.textContent = text;
        slider.setAttribute('aria-valuetext', text);
      };
      slider.setAttribute('aria-valuetext', 'not rated');
      slider.addEventListener('input', moved);
      slider.addEventListener('click', moved); // also where it stands already
      slider.addEventListener('focus', () => this.player.select(place));
      set.append(make('div', { className: 'slider' }, make('label', { htmlFor: slider.id, textContent: clips[place].label }), value, slider));
    });
    set.append(make('p', { className: 'small soft scale' }, ...bands.map((word) => make('span', { textContent: word }))));
    return set;
  }

  /** The answers in order; null for a question that is open. */
  answers() {
    const count = Math.max(1, this.trial.questions.length);
    return [...Array(count).keys()].map((number) => {
      const inputs = [...byId('votes').elements].filter((each) => each.name === `vote${number}`);
      const slider = inputs.find((each) => each.type === 'range');
      if (slider) return slider.dataset.moved ? Number(slider.value) : null;
      const chosen = inputs.find((each) => each.checked);
      return chosen ? Number(chosen.value) : null;
    });
  }

  /** What has to be heard still, as a sentence. */
  missing() {
    const left = this.trial.clips.filter((_, index) => !this.done[index]).map(({ label }) => label);
    return left.length ? `Still to hear to the end: ${left.join('; ')}.` : null;
  }

  async send() {
    if (this.sending) return;
    const values = this.answers();
    const missing = this.missing();
    if (missing) { tell(missing, 'warn'); return; }
    const open = values.indexOf(null);
    if (open >= 0) {
      tell('Every question needs an answer.', 'warn');
      [...byId('votes').elements].find((each) => each.name === `vote${open}`).focus();
      return;
    }
    this.sending = true;
    this.player.pause();
    const played = this.player.heard.map((share) => Math.min(1, share));
    try {
      await insist('POST', `/api/rate/trials/${this.trial.id}/votes`, { values, played }, () => tell('No connection: trying again …', 'warn'));
    } catch (error) {
      if (!(error instanceof Refused && error.status === 409 && /already/.test(error.message))) {
        tell(error.message, 'bad');
        this.sending = false;
        return;
      }
    }
    await this.next(); // also where the answer to an earlier attempt was lost
    this.sending = false;
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || !this.player?.buffers.length) return;
    const within = event.target;
    if (within.closest('.top, .foot') || within.matches('select, textarea, summary')) return;
    const onVote = within.matches('#votes input');
    const { key } = event;
    if (/^[0-9]$/.test(key) && this.kind !== 'mushra') this.vote(key);
    else if (key === ' ' && !within.matches('button, a') && !(onVote && within.type === 'radio' && !within.checked)) { this.advance(); this.player.toggle(); }
    else if (onVote) return; // the arrows are the control's own
    else if (key === 'ArrowDown') this.switch(1);
    else if (key === 'ArrowUp') this.switch(-1);
    else if (key === 'ArrowLeft') this.player.seek(this.player.seconds - 2);
    else if (key === 'ArrowRight') this.player.seek(this.player.seconds + 2);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  switch(step) {
    const count = this.trial.clips.length;
    const index = (this.player.selected + step + count) % count;
    this.player.select(index);
    tell(`You hear: ${this.trial.clips[index].label}`);
  }

  // For the voice that is heard now; while it is the mixture, for the first question that is open.
  vote(key) {
    const heard = this.trial.questions.indexOf(this.player.selected);
    const number = heard >= 0 ? heard : Math.max(0, this.answers().indexOf(null));
    const input = [...byId('votes').elements].find((each) => each.name === `vote${number}` && each.value === key);
    if (!input) return;
    input.checked = true;
    const legend = input.closest('fieldset').querySelector('legend').textContent.split(':')[0];
    tell(`${this.trial.questions.length > 1 ? `${legend}: ` : ''}${input.parentElement.textContent}.`);
  }
}

// ---- Headphones

function headphones(root) {
  const sound = new Audio();
  const { study } = root.dataset;
  let current = null;
  const play = async (number, button) => {
    sound.src = `/rate/${study}/tones/${number}`;
    current = button;
    button.disabled = true;
    try { await sound.play(); } catch { tell('The tones cannot be played: load the page again.'); button.disabled = false; }
  };
  sound.addEventListener('ended', () => {
    current.disabled = false;
    const field = current.closest('fieldset');
    if (!field) return;
    for (const input of field.querySelectorAll('input')) input.disabled = false;
    field.querySelector('input:checked, input').focus();
  });
  byId('noise').addEventListener('click', () => play(0, byId('noise')));
  const fields = [...root.querySelectorAll('fieldset')];
  fields.forEach((field, index) => {
    const go = field.querySelector('.next');
    field.querySelector('.play').addEventListener('click', (event) => play(index + 1, event.target));
    field.addEventListener('change', () => { go.disabled = false; });
    go.addEventListener('click', async () => {
      go.disabled = true;
      if (index + 1 < fields.length) {
        field.hidden = true;
        fields[index + 1].hidden = false;
        fields[index + 1].querySelector('.play').focus();
        return;
      }
      const answers = fields.map((each) => Number(each.querySelector('input:checked').value));
      try {
        await insist('POST', `/api/rate/${study}/headphones`, { answers });
      } catch (error) {
        tell(error.message);
        if (!(error instanceof Refused && error.status === 409)) { go.disabled = false; return; }
      }
      location.reload();
    });
  });
  byId('tones').addEventListener('submit', (event) => event.preventDefault());
}

// ---- Recordings of a study

function filling(form) {
  const bar = form.querySelector('progress');
  const button = form.querySelector('button');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const [file] = form.querySelector('input').files;
    button.disabled = true;
    bar.hidden = false;
    try {
      tell('Uploading …');
      const { id } = await upload(file, file.name.slice(-200), 'archive', (share) => { bar.value = share / 2; });
      for (;;) {
        const state = await call('POST', `/rate/studies/${form.dataset.study}/fill`, { upload: id });
        bar.value = 0.5 + 0.5 * (state.done / state.total);
        tell(`Reading recordings: ${state.done} of ${state.total}`);
        if (state.done < state.total) continue;
        const ignored = state.left_out.length ? ` Not understood, and left out: ${state.left_out.join(', ')}.` : '';
        if (ignored) { tell(`Done.${ignored} Load the page again to go on.`, 'warn'); return; }
        location.reload();
        return;
      }
    } catch (error) {
      tell(error.message, 'bad');
      button.disabled = false;
      bar.hidden = true;
    }
  });
}

if (byId('trial')) new Trial(byId('trial')).next(false);
if (byId('headphones')) headphones(byId('headphones'));
if (byId('fill')) filling(byId('fill'));
