// A meeting: who speaks when, row by row; what is said, in the order of time; talkers who are named, merged, heard alone.
//
// Sound is streamed, so that hours fit: the recording, or the voice of one talker, whose turns then follow one another.
// Of each talker one turn is in the order of the Tab key; arrows, Home and End go on from there, Enter plays.

import { call } from './api.js';
import { make } from './dom.js';
import { clock } from './player.js';
import { FORMATS, Lines, Transcript } from './words.js';

const TICK_MS = 50;
const LEAD_SECONDS = 0.1; // before a turn, when one follows another
const COLOURS = 4;
const STEPS_SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const TICK_PIXELS = 70; // from one time of the ruler to the next, at least
const MOST_PIXELS = 60; // for a second, when it is closest
const SVG = 'http://www.w3.org/2000/svg';
const $ = (selector) => document.querySelector(selector);
const unseen = (text) => make('span', { className: 'unseen', textContent: text });
const button = (text, onclick, properties = {}, ...more) => make('button', { type: 'button', onclick, ...properties }, text, ...more);

/** The recording and the voices, of which some are heard at once. */
class Sound {
  constructor(addresses, onTime) {
    Object.assign(this, { addresses, onTime, elements: new Map(), active: [0], turns: null, position: 0, playing: false });
  }

  element(index) {
    if (!this.elements.has(index)) this.elements.set(index, Object.assign(new Audio(), { preload: 'auto', src: this.addresses[index] }));
    return this.elements.get(index);
  }

  get heard() { return this.active.map((index) => this.element(index)); }
  get seconds() { return this.playing ? this.heard[0].currentTime : this.position; }

  /** Which addresses are heard; of `turns`, one follows the other. */
  listen(active, turns) {
    const { playing } = this;
    this.pause();
    Object.assign(this, { active, turns });
    return playing ? this.play() : null;
  }

  async play() {
    if (this.playing) return;
    const { turns } = this;
    if (this.heard[0].ended || (turns && !turns.some(({ end }) => end > this.position))) this.position = turns?.[0]?.start ?? 0;
    this.playing = true;
    for (const each of this.heard) each.currentTime = this.position;
    this.tick();
    try {
      await Promise.all(this.heard.map((each) => each.play()));
    } catch (error) {
      if (error.name === 'AbortError') return; // paused before it began
      this.pause();
      throw new Error('The recording could not be played: load the page again.');
    }
  }

  pause() {
    this.position = this.seconds;
    this.playing = false;
    clearTimeout(this.timer);
    for (const each of this.elements.values()) each.pause();
    this.onTime();
  }

  seek(seconds) {
    this.position = seconds;
    if (this.playing) for (const each of this.heard) each.currentTime = seconds;
    this.onTime();
  }

  tick() {
    if (!this.playing) return;
    if (this.heard[0].ended) { this.pause(); return; }
    if (this.turns) {
      const next = this.turns.find(({ end }) => end + LEAD_SECONDS > this.seconds);
      if (!next) { this.pause(); return; }
      if (next.start - 2 * LEAD_SECONDS > this.seconds) this.seek(next.start - LEAD_SECONDS);
    }
    this.onTime();
    this.timer = setTimeout(() => this.tick(), TICK_MS);
  }
}

/** What is said by all, in the order of time. */
class Minutes extends Transcript {
  constructor(section, words, job, meeting) {
    const { json, ...formats } = FORMATS; // which is the meeting's own
    super(section, words, job, [], formats);
    this.meeting = meeting;
  }

  lay([box]) {
    const { talkers } = this.meeting.known;
    const lines = this.words.voices.flat().sort((one, other) => one[0].start - other[0].start);
    const blocks = [];
    for (const line of lines) {
      const { person } = talkers[line[0].voice];
      if (blocks.at(-1)?.person === person) blocks.at(-1).words.push(...line);
      else blocks.push({ person, words: [...line] });
    }
    this.names = []; // who, and where it stands
    const all = new Lines(this, blocks.map(({ words }) => words), 'What is said', ([first]) => {
      const { person } = talkers[first.voice];
      const name = make('b', { textContent: talkers[person].name });
      this.names.push([person, name]);
      return make('p', { className: `by ${this.meeting.colour(person)}` }, name, ' ', make('span', { className: 'when', textContent: clock(first.start) }));
    });
    all.root.classList.add('minutes');
    this.voices = [all];
    box.replaceChildren(all.root);
  }

  /** Nothing but names has changed: of a long meeting, the words stay where they are. */
  rename() {
    for (const [person, name] of this.names ?? []) name.textContent = this.meeting.known.talkers[person].name;
  }
}

/** Who is the same person as whom. */
const persons = ({ talkers }) => String(talkers.map(({ person }) => person));

class Meeting {
  constructor(root, known, job, words) {
    Object.assign(this, { root, known, job, alone: null, zoom: 1 });
    this.mine = job.id !== '';
    this.address = `/api/studio/jobs/${job.id}/meeting`;
    const address = (name) => job.files.find((each) => each.name === name).address;
    this.sound = new Sound([job.files.find(({ role }) => role === 'mixture').address, ...known.talkers.map(({ voice }) => address(voice))], () => this.at());
    this.build();
    this.minutes = new Minutes($('#words'), words, job, this);
    this.minutes.onPlay = (voice, seconds) => this.playFrom(this.known.talkers[voice].person, seconds);
    const box = make('div', {});
    $('#words').after(box);
    this.draw();
    this.minutes.show([box]);
    for (const place of [this.bar, root, box]) place.addEventListener('keydown', (event) => this.key(event));
    new ResizeObserver(() => this.drawRuler()).observe(this.wide);
    root.dataset.ready = 'true';
  }

  get persons() { return this.known.talkers.filter(({ number, person }) => number === person); }
  turns(person) { return this.known.turns.filter((turn) => turn.person === person); }
  colour(person) {
    const place = this.persons.findIndex(({ number }) => number === person);
    return `talker-colour-${1 + (place % COLOURS)}${place >= COLOURS ? ' striped' : ''}`;
  }

  build() {
    const { seconds } = this.known;
    this.root.classList.add('player');
    this.toggle = button('Play', () => this.press(), { className: 'primary player-play' });
    this.slider = make('input', { type: 'range', min: 0, max: seconds, step: 'any', value: 0, 'aria-label': 'Position' });
    this.slider.addEventListener('input', () => this.sound.seek(Number(this.slider.value)));
    this.time = make('span', { className: 'player-time' });
    this.everybody = button('Everybody', () => this.listen(null));
    const closer = button('+', () => this.zoomTo(this.zoom * 2), { 'aria-label': 'Closer' });
    const farther = button('−', () => this.zoomTo(this.zoom / 2), { 'aria-label': 'Farther' });
    Object.assign(this, { closer, farther });
    this.said = make('p', { className: 'small', role: 'status' });
    this.ruler = make('div', { className: 'ruler', 'aria-hidden': 'true' });
    this.head = make('div', { className: 'playhead' });
    this.list = make('ul', { className: 'talkers' });
    const wave = this.wave();
    for (const place of [wave, this.ruler]) place.addEventListener('click', (event) => this.sound.seek(seconds * this.share(event)));
    this.wide = make('div', { className: 'wide' }, wave, this.ruler, this.list, this.head);
    this.box = make('div', { className: 'timeline', tabIndex: 0, role: 'region', 'aria-label': 'Who speaks when' }, this.wide);
    this.bar = make('div', { className: 'player-bar', role: 'group', 'aria-label': 'Player' }, this.toggle, this.slider, this.time);
    this.root.before(this.bar); // where it stays in sight while words are read
    this.root.append(
      make('div', { className: 'row meeting-tools' }, make('span', { className: 'soft small', textContent: 'Hear' }), this.everybody, make('span', { className: 'zoom row' }, farther, closer)),
      this.box, this.said,
    );
  }

  /** The loudness of the recording, as one shape. */
  wave() {
    const { levels } = this.known;
    const svg = document.createElementNS(SVG, 'svg');
    const path = document.createElementNS(SVG, 'path');
    const upper = levels.map((level, index) => `${index} ${(1 - Math.max(level, 0.01)).toFixed(3)}`);
    const lower = levels.map((level, index) => `${index} ${(1 + Math.max(level, 0.01)).toFixed(3)}`).reverse();
    path.setAttribute('d', `M${[...upper, ...lower].join('L')}Z`);
    for (const [name, value] of Object.entries({ class: 'loudness', viewBox: `0 0 ${Math.max(1, levels.length - 1)} 2`, preserveAspectRatio: 'none', role: 'img', 'aria-label': 'Loudness of the recording' })) svg.setAttribute(name, value);
    svg.append(path);
    return svg;
  }

  share(event) {
    const { left, width } = this.wide.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - left) / width));
  }

  /** All that names or the number of talkers change. */
  draw() {
    const spoken = this.persons.reduce((sum, { seconds }) => sum + seconds, 0) || 1;
    this.list.replaceChildren(...this.persons.map((talker) => this.row(talker, spoken)));
    this.mark();
    this.drawRuler();
    this.at();
  }

  row(talker, spoken) {
    const { person, name, seconds, probability } = talker;
    const others = this.known.talkers.filter((each) => each.person === person && each.number !== person);
    const tools = [button('Alone', () => this.listen(this.alone === person ? null : person), { className: 'alone', 'aria-label': `Hear ${name} alone` })];
    if (this.mine) {
      tools.push(button('Rename', () => this.ask(talker, this.renaming(talker)), { className: 'rename', 'aria-label': `Rename ${name}` }));
      tools.push(make('a', { className: 'button remember', href: this.enrolling(person) }, 'Remember', unseen(` the voice of ${name}, to name it in meetings`)));
      if (this.persons.length > 1) tools.push(button('Merge', () => this.ask(talker, this.merging(talker)), { className: 'merge', 'aria-label': `Merge ${name} with another talker` }));
    }
    const head = make('div', { className: 'talker-head row' },
      make('b', { className: 'talker-name', textContent: name }),
      make('span', { className: 'soft small', textContent: `${clock(seconds)}, ${Math.round((100 * seconds) / spoken)} %` }),
      ...(probability === null ? [] : [make('span', { className: 'tag', title: 'Named by an enrolled voice; how probable it is that both are one person', textContent: `recognised, ${Math.round(100 * probability)} %` })]),
      ...others.map((other) => make('span', { className: 'tag' }, `and ${other.original} `, ...(this.mine ? [button('Part', () => this.part(other), { className: 'plain part', 'aria-label': `${other.original} is somebody else` })] : []))),
      make('span', { className: 'row talker-tools' }, ...tools));
    const row = make('li', { className: `talker ${this.colour(person)}` }, head, this.lane(talker));
    row.dataset.person = person;
    return row;
  }

  /** Where the voice of a person is enrolled. */
  enrolling(person) {
    const files = this.known.talkers.filter((each) => each.person === person).map(({ voice }) => ['file', voice]);
    return `/studio/voices?${new URLSearchParams([['job', this.job.id], ...files])}`;
  }

  lane({ person, name }) {
    const lane = make('div', { className: 'lane', role: 'group', 'aria-label': `Turns of ${name}` });
    this.turns(person).forEach(({ start, end }, index) => {
      const turn = make('button', { type: 'button', className: 'turn', tabIndex: index ? -1 : 0, 'aria-label': `${name} from ${clock(start)} to ${clock(end)}` });
      turn.style.left = `${(100 * start) / this.known.seconds}%`;
      turn.style.width = `${(100 * (end - start)) / this.known.seconds}%`;
      turn.dataset.start = start;
      lane.append(turn);
    });
    lane.addEventListener('click', (event) => {
      const turn = event.target.closest('.turn');
      if (!turn) { this.sound.seek(this.known.seconds * this.share(event)); return; }
      this.go(turn);
      // by the mouse, from where it points at; by keyboard, from the beginning
      const seconds = event.detail ? Math.max(Number(turn.dataset.start), this.known.seconds * this.share(event)) : Number(turn.dataset.start);
      this.playFrom(person, seconds);
    });
    return lane;
  }

  drawRuler() {
    const { seconds } = this.known, width = this.wide.clientWidth || 1;
    const step = STEPS_SECONDS.find((each) => (each / seconds) * width >= TICK_PIXELS) ?? STEPS_SECONDS.at(-1);
    this.ruler.replaceChildren();
    for (let at = 0; (at / seconds) * width < width - TICK_PIXELS / 2; at += step) {
      const mark = make('span', { textContent: clock(at) });
      mark.style.left = `${(100 * at) / seconds}%`;
      this.ruler.append(mark);
    }
    this.farther.disabled = this.zoom <= 1;
    this.closer.disabled = (2 * width) / seconds > MOST_PIXELS;
  }

  zoomTo(zoom) {
    const middle = (this.sound.seconds / this.known.seconds);
    this.zoom = Math.max(1, zoom);
    this.wide.style.width = `${100 * this.zoom}%`;
    this.box.scrollLeft = middle * this.wide.clientWidth - this.box.clientWidth / 2;
  }

  /** Show where it is. */
  at() {
    const { seconds, playing } = this.sound;
    this.toggle.textContent = playing ? 'Pause' : 'Play';
    this.slider.value = seconds;
    this.slider.setAttribute('aria-valuetext', `${clock(seconds)} of ${clock(this.known.seconds)}`);
    this.time.textContent = `${clock(seconds)} / ${clock(this.known.seconds)}`;
    const share = Math.min(1, seconds / this.known.seconds);
    this.head.style.left = `${100 * share}%`;
    const speaking = new Set(this.known.turns.filter(({ start, end }) => start <= seconds && seconds < end).map(({ person }) => person));
    for (const row of this.list.children) row.classList.toggle('speaking', playing && speaking.has(Number(row.dataset.person)));
    if (playing && this.zoom > 1) {
      const place = share * this.wide.clientWidth, { scrollLeft, clientWidth } = this.box;
      if (place < scrollLeft || place > scrollLeft + clientWidth * 0.9) this.box.scrollLeft = place - clientWidth * 0.1;
    }
    this.minutes?.at(seconds);
  }

  /** Hear one person alone, whose turns follow one another, or everybody (null). */
  listen(person) {
    this.alone = person;
    const voices = person === null ? [0] : this.known.talkers.filter((each) => each.person === person).map(({ number }) => 1 + number);
    this.mark();
    this.sound.listen(voices, person === null ? null : this.turns(person))?.catch((error) => this.say(error.message));
  }

  /** Show who is heard. */
  mark() {
    this.everybody.setAttribute('aria-pressed', String(this.alone === null));
    for (const row of this.list.children) {
      const on = Number(row.dataset.person) === this.alone;
      row.querySelector('.alone')?.setAttribute('aria-pressed', String(on)); // not while something is asked there
      row.classList.toggle('quiet', this.alone !== null && !on);
    }
  }

  playFrom(person, seconds) {
    if (this.alone !== null && this.alone !== person) this.listen(person);
    this.sound.seek(seconds);
    this.sound.play().catch((error) => this.say(error.message));
  }

  press() {
    if (this.sound.playing) this.sound.pause();
    else this.sound.play().catch((error) => this.say(error.message));
  }

  key(event) {
    const { target, key } = event;
    if (event.ctrlKey || event.altKey || event.metaKey || target.matches('input:not([type="range"]), select')) return;
    if (target.matches('.turn') && this.step(target, key)) { event.preventDefault(); return; }
    if (key.toLowerCase() === 'p') this.press();
    else if (key === '0') this.listen(null);
    else if (/^[1-9]$/.test(key) && this.persons[key - 1]) this.listen(this.persons[key - 1].number);
    else return;
    event.preventDefault();
  }

  /** From turn to turn. */
  step(turn, key) {
    const all = [...turn.parentElement.children], index = all.indexOf(turn);
    const next = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: all.length - 1 }[key];
    if (next === undefined) return false;
    if (all[next]) this.go(all[next]);
    return true;
  }

  go(turn) {
    for (const each of turn.parentElement.querySelectorAll('[tabindex="0"]')) each.tabIndex = -1;
    turn.tabIndex = 0;
    turn.focus();
  }

  /** A question in the place of a talker's tools, until it is answered. */
  ask(talker, { fields, answer, word, role }) {
    const tools = this.list.querySelector(`[data-person="${talker.person}"] .talker-tools`);
    const back = (focus = role) => {
      this.draw();
      this.list.querySelector(`[data-person="${this.known.talkers[talker.number].person}"] .${focus}`)?.focus();
    };
    const form = make('form', { className: 'row talker-ask' }, ...fields, make('button', { className: 'primary', textContent: word }), button('Cancel', () => back()));
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      if (await answer()) back();
    });
    form.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') back();
    });
    tools.replaceChildren(form);
    const first = form.querySelector('input, select');
    first.focus();
    first.select?.();
  }

  renaming({ number, name }) {
    const input = make('input', { type: 'text', value: name, maxLength: 60, autocomplete: 'off', 'aria-label': `Another name for ${name}` });
    return { fields: [input], word: 'Keep', role: 'rename', answer: () => this.change('PUT', `/talkers/${number}`, { name: input.value }, () => `${name} is called ${this.known.talkers[number].name} now, here and in every file.`) };
  }

  merging({ number, name }) {
    const others = this.persons.filter((each) => each.number !== number);
    const select = make('select', { 'aria-label': `With whom ${name} is one person` }, ...others.map((each) => make('option', { value: each.number, textContent: each.name })));
    return { fields: [make('span', { className: 'small', textContent: 'is the same person as' }), select], word: 'Merge', role: 'rename', answer: () => this.change('PUT', `/talkers/${number}/same-as/${select.value}`, undefined, () => `${name} and ${this.known.talkers[number].name} are one talker now.`) };
  }

  async part(other) {
    if (!await this.change('DELETE', `/talkers/${other.number}/same-as`, undefined, () => `${other.original} is a talker again.`)) return;
    this.list.querySelector(`[data-person="${other.number}"] .rename`)?.focus();
  }

  /** Change something; what could not be changed is said. */
  async change(method, place, body, words) {
    const before = persons(this.known);
    try {
      this.known = await call(method, `${this.address}${place}`, body);
    } catch (error) {
      this.say(error.message || 'This could not be kept: try again.');
      return false;
    }
    if (this.alone !== null) this.listen(this.known.talkers[this.alone].person);
    this.draw();
    if (persons(this.known) === before) this.minutes.rename();
    else if (this.minutes.words.state === 'done') this.minutes.show(this.minutes.rows);
    this.say(words());
    return true;
  }

  say(text) { this.said.textContent = text; }
}

export function meet() {
  const known = (place) => JSON.parse($(place).textContent);
  return new Meeting($('#meeting'), known('#known-meeting'), known('#known'), known('#known-words'));
}
