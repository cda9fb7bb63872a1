// Enrolled voices: enroll somebody who agrees to it, rename, delete.

import { call, insist } from './api.js';
import { make } from './dom.js';
import { Picker, send } from './picker.js';

const POLL_MS = 1000;
const ADDRESS = '/api/studio/voices';
const $ = (selector, root = document) => root.querySelector(selector);

function enroll(form) {
  const wrong = (text) => { $('#wrong').textContent = text; $('#wrong').hidden = !text; };
  const root = $('.picker', form);
  const picker = root && new Picker(root, () => true);
  const consent = () => $(`.consent-line[data-keep="${form.elements.keep.value}"] input`, form);
  form.addEventListener('change', (event) => {
    if (event.target.name !== 'keep') return;
    for (const line of form.querySelectorAll('.consent-line')) {
      line.hidden = line.dataset.keep !== form.elements.keep.value;
      $('input', line).checked = false; // another text, another agreement
    }
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const lacks = (text, field) => { wrong(text); field.focus(); };
    wrong('');
    if (!form.elements.name.value.trim()) return lacks('Say what this person is called.', form.elements.name);
    if (picker?.recorder) return lacks('Stop the recording first.', picker.record);
    if (picker && !picker.files.length) return lacks('Choose a recording of this person first.', picker.input);
    if (!consent().checked) return lacks('A voice is enrolled only if the person has agreed.', consent());
    $('#go').disabled = true;
    try {
      const wanted = { name: form.elements.name.value, keep_recording: form.elements.keep.value === 'recording', consent: consent().value };
      if (picker) {
        $('#sent').hidden = false;
        Object.assign(wanted, await send([picker], $('#sent'), $('#sending')));
      } else Object.assign(wanted, { job: form.dataset.job, files: form.dataset.files.split(' ') });
      await insist('POST', ADDRESS, wanted);
      location.assign('/studio/voices');
    } catch (error) {
      wrong(error.message || 'Something went wrong: try again.');
      $('#go').disabled = false;
      $('#sent').hidden = true;
      $('#sending').textContent = '';
    }
    return undefined;
  });
  return () => Boolean(form.elements.name.value || picker?.files.length || picker?.recorder);
}

/** A form in the place of the name, until it is answered. */
function rename(row) {
  const name = $('.voice-name', row);
  const input = make('input', { type: 'text', value: name.textContent, maxLength: 60, autocomplete: 'off', 'aria-label': `Another name for ${name.textContent}` });
  const back = () => { form.replaceWith(name); $('.voice-tools', row).hidden = false; $('.rename', row).focus(); };
  const form = make('form', { className: 'row voice-ask' }, input, make('button', { className: 'primary', textContent: 'Keep' }), make('button', { type: 'button', textContent: 'Cancel', onclick: back }));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    try {
      await call('PUT', `${ADDRESS}/${row.dataset.voice}`, { name: input.value });
      location.reload();
    } catch (error) { say(error.message); }
  });
  form.addEventListener('keydown', (event) => { if (event.key === 'Escape') back(); });
  $('.voice-tools', row).hidden = true;
  name.replaceWith(form);
  input.focus();
  input.select();
}

async function forget(row) {
  if (!confirm(`Delete the voice of ${$('.voice-name', row).textContent}, and all that is kept of it?`)) return;
  try {
    await insist('DELETE', `${ADDRESS}/${row.dataset.voice}`);
    location.reload();
  } catch (error) { say(error.message); }
}

/** Ask how far they are, until one of them is enrolled, or cannot be; then show that, unless somebody is at something. */
async function follow(waiting, begun) {
  for (;;) {
    await new Promise((done) => setTimeout(done, POLL_MS));
    try {
      const voices = await insist('GET', ADDRESS);
      const states = Object.fromEntries(voices.map(({ id, state }) => [id, state]));
      const ended = waiting.filter((id) => !['waiting', 'running'].includes(states[id]));
      const busy = begun() || $('.voice-ask') || [...document.querySelectorAll('audio')].some(({ paused }) => !paused);
      if (ended.length && !busy) { location.reload(); return; }
      for (const id of ended) $(`[data-voice="${id}"] .tag`).textContent = states[id] === 'done' ? 'enrolled' : 'not enrolled';
    } catch { /* later */ }
  }
}

function say(text) { $('#said').textContent = text || 'Something went wrong: try again.'; }

const begun = enroll($('#new-voice'));
const rows = [...document.querySelectorAll('[data-voice]')];
for (const row of rows) {
  $('.rename', row).addEventListener('click', () => rename(row));
  $('.forget', row).addEventListener('click', () => forget(row));
}
const waiting = rows.filter(({ dataset }) => ['waiting', 'running'].includes(dataset.state)).map(({ dataset }) => dataset.voice);
if (waiting.length) follow(waiting, begun);
