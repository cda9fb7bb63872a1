// Data sets: asked for, watched until they are made, removed.
import { call, Refused } from '/static/js/api.js';

const POLL_MS = 1500;
const told = document.getElementById('told');
const list = document.getElementById('datasets');
const form = document.getElementById('new');

function say(sentence) {
  told.textContent = sentence;
  told.hidden = !sentence;
}

/** The list as the server has it now. */
async function refresh() {
  const answer = await fetch('/review/datasets', { headers: { accept: 'text/html' } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById('datasets');
  const focused = document.activeElement?.closest('#datasets') ? document.activeElement.dataset.id : null;
  list.replaceChildren(...fresh.childNodes);
  if (focused) list.querySelector(`button[data-id="${CSS.escape(focused)}"]`)?.focus();
}

const states = () => [...list.querySelectorAll('tr[data-state]')].map((row) => row.dataset.state).join();
const working = () => list.querySelector('tr[data-state="waiting"], tr[data-state="running"]');

async function watch() {
  if (!working()) return;
  const before = states();
  await new Promise((done) => setTimeout(done, POLL_MS));
  const now = await call('GET', '/api/review/datasets').catch(() => null);
  if (now && (now.map(({ state }) => state).join() !== before || now.some(({ state }) => state === 'running'))) await refresh();
  await watch();
}

async function attempt(work) {
  say('');
  try {
    await work();
    await refresh();
  } catch (error) {
    say(error instanceof Refused ? error.message : 'There is no connection: try again.');
  }
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const fields = form.elements;
  const wanted = {
    title: fields.title.value.trim(),
    campaign: fields.campaign.value || null,
    layout: fields.layout.value,
    shards: fields.shards.checked,
    seed: Number(fields.seed.value),
    dev: Number(fields.dev.value),
    test: Number(fields.test.value),
  };
  attempt(async () => {
    const idle = !working();
    await call('POST', '/api/review/datasets', wanted);
    await refresh();
    list.scrollIntoView({ block: 'center' });
    if (idle) watch();
  });
});

list.addEventListener('click', (event) => {
  const button = event.target.closest('button.remove');
  if (button) attempt(() => call('DELETE', `/api/review/datasets/${button.dataset.id}`));
});

watch();
