// What is said in each voice: words that play the voice from there, are marked while they are spoken, and can be corrected.
//
//   const transcript = new Transcript(section, words, job, labels);   // words, as /api/studio/jobs/ID/words gives them
//   transcript.onPlay = (voice, seconds) => ...;                      // somebody wants to hear a word
//   transcript.show(rows);                                            // below which the words of each voice stand
//   transcript.at(seconds);                                           // what is spoken now
//
// Of each voice one word is in the order of the Tab key; arrows, Home and End go on from there, Enter plays, E corrects.

import { call, insist } from './api.js';
import { make } from './dom.js';
import { clock } from './player.js';

const POLL_MS = 1000;
const UNSURE = 0.5; // less than this, a word is marked
const LINGER_SECONDS = 0.25; // that a word stays marked in a short pause
export const FORMATS = { txt: 'Text', srt: 'SRT captions', vtt: 'WebVTT captions', tsv: 'Table', json: 'JSON' };
const unseen = (text) => make('span', { className: 'unseen', textContent: text });

const when = (line) => make('span', { className: 'when', 'aria-hidden': 'true', textContent: clock(line[0].start) });

/** Words, as they are shown: those of one voice, or of several in lines; `head` gives what stands before a line. */
export class Lines {
  constructor(transcript, lines, label, head = when) {
    Object.assign(this, { transcript, words: lines.flat(), current: -1 });
    this.order = this.words.map((_, index) => index).sort((one, other) => this.words[one].start - this.words[other].start);
    this.root = make('div', { className: 'said', role: 'group', 'aria-label': label });
    this.places = [];
    for (const line of lines) {
      const text = make('p', {});
      for (const word of line) {
        const place = make('span', { className: 'word', role: 'button', tabIndex: -1 });
        place.dataset.place = this.places.push(place) - 1;
        text.append(place, ' ');
      }
      this.root.append(head(line), text);
    }
    this.words.forEach((_, place) => this.draw(place));
    if (this.places.length) this.places[0].tabIndex = 0;
    else this.root.replaceChildren(make('p', { className: 'soft', textContent: 'No words: nobody speaks here, or not clearly enough.' }));
    this.root.addEventListener('click', (event) => this.chosen(event));
    this.root.addEventListener('keydown', (event) => this.key(event));
  }

  /** Show a word as it is now. */
  draw(index) {
    const { text, score, recognised } = this.words[index], place = this.places[index];
    const corrected = recognised !== null, unsure = !corrected && score !== null && score < UNSURE;
    place.className = `word${unsure ? ' unsure' : ''}${corrected ? ' corrected' : ''}${index === this.current ? ' now' : ''}`;
    place.title = corrected ? `Recognised: ${recognised}` : unsure ? 'Unsure' : '';
    if (text) place.replaceChildren(text, ...(corrected ? [unseen(`, corrected from ${recognised}`)] : unsure ? [unseen(', unsure')] : []));
    else place.replaceChildren(make('s', { textContent: recognised }), unseen(', left out'));
  }

  /** Mark the word that is spoken, if one is; of what is longer than its box, that word is kept in sight. */
  at(seconds) {
    let low = 0, high = this.order.length; // the first word that begins later
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.words[this.order[middle]].start <= seconds) low = middle + 1; else high = middle;
    }
    const last = this.order[low - 1] ?? -1;
    const now = last >= 0 && seconds < this.words[last].end + LINGER_SECONDS ? last : -1;
    if (now === this.current) return;
    this.places[this.current]?.classList.remove('now');
    this.current = now;
    const place = this.places[now];
    if (!place) return;
    place.classList.add('now');
    const { offsetTop, offsetHeight } = place;
    const { scrollTop, clientHeight } = this.root;
    if (offsetTop < scrollTop || offsetTop + offsetHeight > scrollTop + clientHeight) this.root.scrollTop = offsetTop - clientHeight / 3;
  }

  chosen(event) {
    const place = event.target.closest('.word');
    if (!place) return;
    const index = Number(place.dataset.place);
    this.go(index);
    if (this.transcript.correcting) this.edit(index);
    else this.transcript.onPlay(this.words[index].voice, this.words[index].start);
  }

  /** The word that has the keyboard. */
  go(index) {
    if (!(index in this.places)) return;
    for (const each of this.root.querySelectorAll('.word[tabindex="0"]')) each.tabIndex = -1;
    this.places[index].tabIndex = 0;
    this.places[index].focus();
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || !event.target.matches('.word')) return;
    const index = Number(event.target.dataset.place);
    const steps = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: this.places.length - 1 };
    if (event.key in steps) this.go(steps[event.key]);
    else if (event.key === 'ArrowUp' || event.key === 'ArrowDown') this.go(this.beside(index, event.key === 'ArrowUp' ? -1 : 1));
    else if (event.key === 'Enter' || event.key === ' ') event.target.click();
    else if (event.key.toLowerCase() === 'e' || event.key === 'F2') this.edit(index);
    else return;
    event.preventDefault();
    event.stopPropagation(); // the player has other plans for the arrows
  }

  /** The nearest word in the row of text above or below. */
  beside(index, way) {
    const here = this.places[index].getBoundingClientRect();
    let best = index, least = Infinity, row = null;
    for (let other = index + way; other in this.places; other += way) {
      const there = this.places[other].getBoundingClientRect();
      if (Math.abs(there.top - here.top) < here.height / 2) continue;
      row ??= there.top;
      if (Math.abs(there.top - row) > here.height / 2) break;
      const distance = Math.abs(there.left - here.left);
      if (distance < least) [best, least] = [other, distance];
    }
    return best;
  }

  edit(index) {
    if (!this.transcript.mine) return;
    const place = this.places[index], { text, recognised } = this.words[index];
    const input = make('input', { type: 'text', value: text, maxLength: 200, autocomplete: 'off', spellcheck: true, 'aria-label': `Instead of ${recognised ?? text}`, 'aria-describedby': 'words-how' });
    input.style.width = `${Math.max(5, text.length + 3)}ch`;
    const box = make('span', { className: 'word-edit' }, input);
    let open = true;
    const close = async (keep, focus) => {
      if (!open) return;
      open = false;
      const value = keep === null ? null : input.value;
      box.replaceWith(place);
      if (focus) this.go(index);
      if (keep === false || value === text) return;
      await this.transcript.save(this, index, value);
    };
    if (recognised !== null) box.append(make('button', { type: 'button', className: 'plain small', textContent: `Back to “${recognised}”`, onclick: () => close(null, true) }));
    input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') close(true, true);
      else if (event.key === 'Escape') close(false, true);
      else return;
      event.preventDefault();
    });
    box.addEventListener('focusout', (event) => { if (!box.contains(event.relatedTarget)) close(true, false); });
    place.replaceWith(box);
    input.focus();
    input.select();
  }
}

export class Transcript {
  constructor(section, words, job, labels, formats = FORMATS) {
    Object.assign(this, { section, words, labels, formats, voices: [], rows: null, correcting: false, onPlay: () => {} });
    this.mine = job.id !== '';
    this.address = `/api/studio/jobs/${job.id}/words`;
    this.said = make('p', { className: 'small', role: 'status' });
    this.draw();
    if (['waiting', 'running'].includes(words.state)) this.follow();
  }

  /** Put the words of each voice into its row, now or as soon as they are there. */
  show(rows) {
    this.rows = rows;
    if (this.words.state !== 'done') return;
    this.words.voices.forEach((lines, voice) => { for (const word of lines.flat()) word.voice = voice; });
    this.correcting = false;
    this.lay(rows);
    this.draw();
  }

  lay(rows) {
    this.voices = this.words.voices.map((lines, number) => new Lines(this, lines, `What ${this.labels[number]} says`));
    this.voices.forEach((voice, number) => rows[number].append(voice.root));
  }

  at(seconds) { for (const voice of this.voices) voice.at(seconds); }

  /** The section: a button, how far it is, or what can be done with the words. */
  draw() {
    const { state } = this.words;
    this.section.hidden = state === 'none' && !this.mine;
    const parts = { none: () => this.offer(), failed: () => this.offer(), done: () => this.tools() }[state] ?? (() => this.waiting());
    this.section.replaceChildren(...parts(), this.said);
  }

  offer() {
    const failed = this.words.state === 'failed';
    return [
      ...(failed ? [make('p', { className: 'note bad', textContent: this.words.error })] : []),
      ...(this.mine ? [make('div', { className: 'row' },
        make('button', { type: 'button', textContent: failed ? 'Try again' : 'Write down what is said', onclick: () => this.begin() }),
        make('span', { className: 'soft small', textContent: 'English, as text and captions.' }))] : []),
    ];
  }

  waiting() {
    this.share = make('progress', { max: 1, 'aria-label': 'How much is written down' });
    return [make('p', { role: 'status', textContent: 'Writing down what is said …' }), this.share];
  }

  tools() {
    const some = this.words.voices.some((lines) => lines.length);
    const left = this.words.left_out;
    const about = make('p', { className: 'soft small' }, `By ${this.words.model}. `);
    if (some) about.append('Choose a word to hear it. A ', make('span', { className: 'word unsure', textContent: 'wavy line' }), ' marks what the recogniser is unsure of.');
    if (left) about.append(` ${left} ${left === 1 ? 'word that was' : 'words that were'} too unsure ${left === 1 ? 'is' : 'are'} left out.`);
    if (!some) return [make('p', { textContent: 'There are no words: nobody speaks, or not clearly enough.' }), about];
    const links = Object.entries(this.formats).map(([format, title]) => make('a', { className: 'button', href: `${location.pathname}/words.${format}`, title }, format.toUpperCase(), unseen(`: download the words as ${title}`)));
    const tools = make('div', { className: 'row' });
    if (this.mine) {
      this.how = make('p', { id: 'words-how', className: 'small', hidden: true, textContent: 'Choose a word and type what is really said. Enter keeps it, Escape does not; an empty word is left out.' });
      this.toggle = make('button', { type: 'button', textContent: 'Correct words', 'aria-pressed': 'false', onclick: () => this.correct(!this.correcting) });
      tools.append(this.toggle);
    }
    tools.append(make('span', { className: 'soft small', textContent: 'Download:' }), ...links);
    return [about, tools, ...(this.mine ? [this.how] : [])];
  }

  correct(on) {
    this.correcting = on;
    this.toggle.setAttribute('aria-pressed', String(on));
    this.how.hidden = !on;
    for (const { root } of this.voices) root.classList.toggle('correcting', on);
  }

  async begin() {
    try {
      this.words = await insist('POST', this.address);
      this.draw();
      await this.follow();
    } catch (error) { this.say(error.message); }
  }

  async follow() {
    while (['waiting', 'running'].includes(this.words.state)) {
      await new Promise((done) => setTimeout(done, POLL_MS));
      try {
        this.words = await insist('GET', this.address);
      } catch (error) {
        if (error.status === 404) return; // deleted elsewhere
        continue;
      }
      if (this.words.progress !== null && this.share) this.share.value = this.words.progress;
    }
    this.draw();
    if (this.rows) this.show(this.rows);
  }

  /** Keep a correction, or take it back (null); what could not be kept is said, and not shown. */
  async save(voice, index, text) {
    const word = voice.words[index], address = `${this.address}/${word.voice}/${word.number}`;
    try {
      Object.assign(word, text === null ? await call('DELETE', address) : await call('PUT', address, { text }));
      voice.draw(index);
      this.say(text === null ? `“${word.text}” is there again.` : 'The correction is kept.');
    } catch (error) {
      this.say(error.message || 'The correction could not be kept: try again.');
    }
  }

  say(text) { this.said.textContent = text; }
}
