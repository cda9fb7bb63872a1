// One contribution: listen, decide by mouse or single keys, and the next one is there.
import { call, Refused } from '/static/js/api.js';
import { drawWave, Player } from '/static/js/player.js';

const POLL_MS = 2000;
const SINGLE_KEYS = 'review-single-keys';
const review = document.getElementById('review');
const { id, query, seen } = review.dataset;
const element = (name) => document.getElementById(name);
const [why, words, told, shortcuts] = ['why', 'words', 'told', 'shortcuts'].map(element);
const page = `/review/contributions/${id}`;
let player = null;
let busy = false;

function say(sentence) {
  told.textContent = sentence;
  told.className = 'note bad';
  told.hidden = !sentence;
}

async function decide(status, reason = '') {
  if (busy) return;
  busy = true;
  say('');
  try {
    const { next } = await call('POST', `/api${page}/decision?${query}`, { status, reason, seen: seen || null });
    location.assign(next ? `/review/contributions/${next}?${query}` : `/review?${query}`);
  } catch (error) {
    busy = false;
    say(error instanceof Refused ? error.message : 'There is no connection: nothing was decided. Try again.');
    if (error.status === 409) {
      const link = document.createElement('a');
      link.href = `${page}?${query}`;
      link.textContent = 'Look at it again';
      const on = document.createElement('a');
      on.href = element('skip').href;
      on.textContent = 'go on to the next';
      told.append(' ', link, ', or ', on, '.');
    }
  }
}

function ask(open) {
  why.hidden = !open;
  element('reject').setAttribute('aria-expanded', String(open));
  if (open) why.querySelector('input').focus();
  else element('reject').focus();
}

function choose(number) {
  const choices = why.querySelectorAll('input[type="radio"]');
  if (!choices[number - 1]) return false;
  choices[number - 1].checked = true;
  (choices[number - 1].value ? choices[number - 1] : words).focus();
  return true;
}

function reject() {
  const chosen = why.querySelector('input[type="radio"]:checked')?.value ?? '';
  const reason = [chosen, words.value.trim()].filter(Boolean).join(': ');
  if (reason) decide('rejected', reason);
  else {
    say('Say why: choose a reason, or write one.');
    why.querySelector('input').focus();
  }
}

element('accept').addEventListener('click', () => decide('accepted'));
element('reject').addEventListener('click', () => ask(why.hidden));
element('cancel').addEventListener('click', () => ask(false));
words.addEventListener('input', () => { if (!why.querySelector(':checked')) element('other').checked = true; });
why.addEventListener('submit', (event) => { event.preventDefault(); reject(); });
why.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') ask(false);
  else if (/^[1-9]$/.test(event.key) && event.target !== words && choose(Number(event.key))) { /* chosen */ }
  else if (event.key === 'Enter' && event.target.matches('input')) reject();
  else return;
  event.preventDefault();
});

shortcuts.checked = localStorage.getItem(SINGLE_KEYS) !== 'off';
shortcuts.addEventListener('change', () => localStorage.setItem(SINGLE_KEYS, shortcuts.checked ? 'on' : 'off'));

document.addEventListener('keydown', (event) => {
  if (!shortcuts.checked || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (event.target.closest('#why, textarea, select, input:not([type="checkbox"], [type="range"])')) return;
  const onControl = event.target.closest('button, a, summary, input');
  const key = event.key.toLowerCase();
  if (key === 'a') decide('accepted');
  else if (key === 'r') ask(true);
  else if (key === 's') location.assign(element('skip').href);
  else if (key === ' ' && !onControl) player?.toggle();
  else return;
  event.preventDefault();
});

element('judged').addEventListener('click', async ({ target }) => {
  if (target.id !== 'again') return;
  target.disabled = true;
  try {
    await call('POST', `/api${page}/score`);
    location.reload();
  } catch (error) {
    target.disabled = false;
    say(error.message);
  }
});

/** While it is being separated and scored: show that when it is there, but interrupt nobody who listens. */
async function arrive() {
  while (['waiting', 'running'].includes(review.dataset.judging)) {
    await new Promise((done) => setTimeout(done, POLL_MS));
    const state = await call('GET', `/api${page}`).catch(() => null);
    if (state) review.dataset.judging = state.judging;
  }
  const answer = await fetch(`${page}?${query}`, { headers: { accept: 'text/html' } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
  element('judged').replaceChildren(...fresh.getElementById('judged').childNodes);
  for (const name of ['voices', 'scores', 'verdicts']) review.dataset[name] = fresh.getElementById('review').dataset[name];
  if (review.dataset.voices === '0') return;
  while (!player?.buffers.length || player.playing) await new Promise((done) => setTimeout(done, POLL_MS / 4));
  const [before, at] = [element('player'), player.seconds];
  const focused = before.contains(document.activeElement);
  player.destroy();
  before.replaceWith(before.cloneNode(false)); // without what listens to its keys
  element('wave').replaceChildren();
  await listen();
  player.seek(at);
  if (focused) element('player').querySelector('button').focus();
}

async function listen() {
  const scores = JSON.parse(review.dataset.scores);
  const verdicts = JSON.parse(review.dataset.verdicts);
  const voices = Array.from({ length: Number(review.dataset.voices) }, (_, k) => ({
    url: `${page}/voices/${k + 1}`,
    label: `Voice ${k + 1}`,
    note: scores[k] === null ? '' : `${scores[k].toFixed(1)} dB, ${verdicts[k]}`,
  }));
  let wave = null;
  player = new Player(element('player'), [{ url: `${page}/audio`, label: 'Recording' }, ...voices], {
    onEvent: (name, detail) => { if (name === 'time') wave?.setTime(detail.seconds); },
  });
  await player.load();
  wave = await drawWave(element('wave'), player.buffers[0], { spectrogram: true, height: 72, onSeek: (seconds) => player.seek(seconds) });
}

listen().catch(() => say('The recording cannot be played: load the page again.'));
if (['waiting', 'running'].includes(review.dataset.judging)) arrive().catch(() => say('The score is there: load the page again.'));
