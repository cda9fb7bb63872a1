// The recording page: microphone, level, then pair after pair: record, listen, send, hear what the checks say.

import { call, insist, Refused, upload } from './api.js';
import { microphones, Recorder } from './recorder.js';
import { forget, keep, kept } from './unsent.js';
import './personal.js';

const QUIET_DBFS = -45, CLIPPED = 0.999, LEAST_SECONDS = 1, MOST_SECONDS = 30;
const MOST_CLIPPED_SHARE = 0.01, DOUBTFUL_CLIPPED_SHARE = 1e-4; // as in checks.py
const ENOUGH = 20; // levels with voices, a second of them
const PATIENCE_MILLISECONDS = 8000;
const READING_MILLISECONDS = 3000; // between questions whether the last recordings have been read along

const at = (id) => document.getElementById(id);
const show = (id, yes = true) => { at(id).hidden = !yes; };
const room = at('room');
const participant = room.dataset.participant;
const api = `/api/collect/${participant}`;
const recorder = new Recorder();
let work = null, earlier = null, wanted = null, current = null, take = null, track = {}, began = 0, ticking = 0;

const decibels = (magnitude) => 20 * Math.log10(Math.max(magnitude, 1e-6));
const next = () => work.pairs.find((pair) => !pair.recording);

function say(sentence, kind = '') {
  at('status').textContent = sentence;
  at('status').className = `note ${kind}`;
  show('status', Boolean(sentence));
}

// Microphone and level

let voiced = 0, loud = 0, since = 0;
recorder.onLevel = (peak, rms) => {
  for (const canvas of document.querySelectorAll('.meter canvas')) if (canvas.offsetParent) drawLevel(canvas, peak, rms);
  if (at('chosen').hidden || at('setup').hidden) return;
  if (decibels(rms) > QUIET_DBFS) voiced++;
  if (peak >= CLIPPED) loud = 40;
  else if (loud) loud--;
  if (voiced >= ENOUGH) at('ready').disabled = false;
  const waited = performance.now() - since > PATIENCE_MILLISECONDS;
  if (loud) level('Too loud: move away from the microphone, or turn it down.', 'warn');
  else if (voiced >= ENOUGH) level('Your voices arrive well.', 'good');
  else if (waited) { level('Very quiet: move closer, speak up, or choose another microphone.', 'warn'); show('anyway'); }
  else level('Waiting for your voices …');
};
recorder.onEnd = () => trouble('The microphone was taken away. Plug it in, then open it again.');

function level(sentence, kind = '') {
  if (at('level').textContent === sentence) return; // screen readers hear changes alone
  at('level').textContent = sentence;
  at('level').className = `note ${kind}`;
}

function drawLevel(canvas, peak, rms) {
  const { width, height } = canvas, pen = canvas.getContext('2d');
  const colours = getComputedStyle(document.documentElement);
  const place = (magnitude) => width * Math.max(0, Math.min(1, 1 + decibels(magnitude) / 60));
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = colours.getPropertyValue(peak >= CLIPPED ? '--bad' : '--accent');
  pen.fillRect(0, 0, place(rms), height);
  pen.fillRect(place(peak) - 3, 0, 3, height);
}

async function openMicrophone(deviceId) {
  try {
    show('trouble', false);
    const found = await recorder.open({ deviceId });
    voiced = loud = 0;
    since = performance.now();
    at('ready').disabled = true;
    track = { label: found.label.slice(0, 200), browser: navigator.userAgent.slice(0, 300) };
    for (const name of ['sampleRate', 'sampleSize', 'channelCount', 'latency', 'echoCancellation', 'noiseSuppression', 'autoGainControl']) {
      if (found.settings[name] !== undefined) track[name] = found.settings[name];
    }
    await listMicrophones(found.settings.deviceId);
    at('settings').textContent = told(track);
    show('chosen');
    at('open').textContent = 'Open it again';
    at('open').className = '';
  } catch (error) {
    trouble(error.message);
  }
}

async function listMicrophones(chosen) {
  const options = (await microphones()).map(({ deviceId, label }, number) => {
    const option = new Option(label || `Microphone ${number + 1}`, deviceId);
    option.selected = deviceId === chosen;
    return option;
  });
  at('device').replaceChildren(...options);
}

function told({ sampleRate, echoCancellation, noiseSuppression, autoGainControl }) {
  const word = (value) => (value === undefined ? 'unknown' : value && value !== 'none' ? 'on' : 'off');
  const rate = sampleRate ? `${(sampleRate / 1000).toFixed(1)} kHz, ` : '';
  return `${rate}echo cancellation ${word(echoCancellation)}, noise suppression ${word(noiseSuppression)}, gain control ${word(autoGainControl)}. These settings are stored with each recording.`;
}

function trouble(sentence) {
  clearInterval(ticking);
  show('stop', false);
  show('setup');
  show('task', false);
  at('trouble').textContent = sentence;
  show('trouble');
}

// Pairs

function present(pair) {
  current = pair;
  take = null;
  show('setup', false);
  show('task', Boolean(pair));
  for (const id of ['review', 'kept', 'stop', 'sending']) show(id, false);
  show('earlier', Boolean(earlier) && earlier !== pair);
  const done = work.pairs.filter((each) => each.recording).length;
  at('progress').max = work.pairs.length;
  at('progress').value = done;
  show('finish', done > 0);
  if (!pair) {
    recorder.close();
    at('heading').textContent = 'All sentences are recorded';
    at('finish-what').textContent = 'Finish to get your work stamp.';
    at('finish-button').className = 'primary';
    at('finish-button').focus();
    return;
  }
  at('heading').textContent = 'Read at the same time';
  at('count').textContent = `Pair ${pair.position + 1} of ${work.pairs.length}`;
  at('first').textContent = pair.first;
  at('second').textContent = pair.second;
  at('clock').textContent = '';
  show('recording');
  show('record');
  at('heading').focus();
}

function begin() {
  take = null;
  for (const id of ['review', 'kept', 'record', 'earlier']) show(id, false);
  at('listen').pause();
  say('');
  recorder.start();
  began = performance.now();
  at('clock').textContent = 'Recording';
  ticking = setInterval(() => {
    const seconds = (performance.now() - began) / 1000;
    at('clock').textContent = `Recording, ${seconds.toFixed(0)} s`;
    if (seconds > MOST_SECONDS) end();
  }, 250);
  show('recording');
  show('stop');
  at('stop').focus();
}

async function end() {
  clearInterval(ticking);
  show('stop', false);
  const { blob, seconds, sampleRate, peak, clippedShare } = await recorder.stop();
  take = { position: current.position, first: current.first, second: current.second, blob, track: { ...track, contextRate: sampleRate } };
  await keep(participant, take);
  at('clock').textContent = `${seconds.toFixed(1)} s recorded`;
  at('listen').src = URL.createObjectURL(blob);
  const faults = atOnce(seconds, peak, clippedShare);
  advise(faults.map((each) => each.advice));
  show('recording');
  show('record', false);
  show('review');
  show('send', !faults.some((each) => each.blocks));
  (at('send').hidden ? at('again') : at('send')).focus();
}

/** What is seen without the server; the same bounds as there. */
function atOnce(seconds, peak, clippedShare) {
  const faults = [];
  if (seconds < LEAST_SECONDS) faults.push({ blocks: true, advice: 'That was too short. Press stop when both have read to the end.' });
  if (seconds > MOST_SECONDS) faults.push({ blocks: true, advice: 'That was too long. Press stop as soon as both have read to the end.' });
  if (clippedShare > DOUBTFUL_CLIPPED_SHARE) faults.push({ blocks: clippedShare > MOST_CLIPPED_SHARE, advice: 'It is too loud: the top of the sound is cut off. Move away from the microphone, or turn it down.' });
  if (decibels(peak) < QUIET_DBFS) faults.push({ blocks: false, advice: 'It is very quiet. Move closer to the microphone, or turn its level up.' });
  return faults;
}

function advise(sentences) {
  at('advice').replaceChildren(...sentences.map((sentence) => {
    const item = document.createElement('li');
    item.textContent = sentence;
    return item;
  }));
  show('advice', sentences.length > 0);
}

async function send(what) {
  for (const id of ['send', 'again', 'unsent-send', 'unsent-drop']) at(id).disabled = true;
  show('sending');
  say('Sending …');
  let answer;
  try {
    const waiting = () => say('There is no connection. The recording is safe here, and goes on by itself.', 'warn');
    const stored = await upload(what.blob, 'recording.wav', 'collect', (share, waits) => {
      at('sending').value = share;
      if (waits) waiting(); else say(share < 1 ? 'Sending …' : 'Checking …');
    });
    answer = await insist('POST', `${api}/recordings`, { position: what.position, upload: stored.id, track: what.track }, waiting);
  } catch (error) {
    say(error instanceof Refused ? error.message : 'It could not be sent: there is no connection. It is kept in this browser: try again later.', 'bad');
    return false;
  } finally {
    for (const id of ['send', 'again', 'unsent-send', 'unsent-drop']) at(id).disabled = false;
    show('sending', false);
  }
  await forget(participant);
  work.pairs[what.position] = answer.pair;
  if (earlier?.position === what.position) earlier = null;
  if (answer.pair.reading) readAlong();
  return answer;
}

// Whether both sentences were read is known later than the rest, while the next pair is recorded

let readingAlong = false;
async function readAlong() {
  if (readingAlong) return;
  readingAlong = true;
  while (work.pairs.some((pair) => pair.reading)) {
    await new Promise((done) => setTimeout(done, READING_MILLISECONDS));
    try {
      const { pairs } = await call('GET', api);
      for (const [position, pair] of pairs.entries()) {
        const before = work.pairs[position];
        if (!before.reading || before.recording !== pair.recording || pair.reading) continue;
        work.pairs[position] = pair;
        const doubt = pair.checks.find((check) => check.name === 'both sentences' && !check.passed);
        if (doubt) remind(pair, doubt.advice);
      }
    } catch { /* later */ }
  }
  readingAlong = false;
}

function remind(pair, advice) {
  earlier = pair;
  at('earlier-what').textContent = `Pair ${pair.position + 1}: ${advice}`;
  show('earlier', at('stop').hidden);
}

async function sendTake() {
  const answer = await send(take);
  if (!answer) { at('send').focus(); return; }
  const doubts = answer.checks.filter((check) => !check.passed).map((check) => check.advice);
  if (answer.kept && !doubts.length) {
    say('The last recording was sent, and all is well.', 'good');
    present(next());
    return;
  }
  advise(doubts);
  show('send', false);
  if (answer.kept) {
    say('It was sent and will be looked at. If you can, follow the advice and record it again.', 'warn');
    show('again', false);
    show('kept');
    at('next').textContent = next() ? 'Next pair' : 'Leave it so';
    at('redo').focus();
  } else {
    say('It cannot be used: follow the advice and record it again.', 'bad');
    show('again');
    at('again').focus();
  }
}

function again() {
  show('again');
  show('review', false);
  show('kept', false);
  begin();
}

// What was recorded before this page was opened

async function offerUnsent() {
  const found = await kept(participant);
  if (!found) return false;
  if (work.pairs[found.position]?.recording) { await forget(participant); return false; }
  take = found;
  at('unsent-what').textContent = `You recorded “${found.first}” and “${found.second}”, and then this page was closed.`;
  at('unsent-listen').src = URL.createObjectURL(found.blob);
  show('unsent');
  return true;
}

async function sendUnsent() {
  const answer = await send(take);
  if (!answer) return;
  show('unsent', false);
  say('');
  at('level').textContent = '';
  if (!next()) { present(undefined); return; }
  const doubts = answer.checks.filter((check) => !check.passed).map((check) => check.advice).join(' ');
  at('unsent-result').textContent = answer.kept ? `It was sent. ${doubts}` : `It could not be used: it comes again. ${doubts}`;
  show('unsent-result');
  at('open').focus();
}

at('open').addEventListener('click', () => openMicrophone(at('device').value || undefined));
at('device').addEventListener('change', () => openMicrophone(at('device').value));
for (const id of ['ready', 'anyway']) at(id).addEventListener('click', () => { say(''); present(wanted ?? next()); wanted = null; });
at('record').addEventListener('click', begin);
at('stop').addEventListener('click', end);
at('send').addEventListener('click', sendTake);
at('again').addEventListener('click', again);
at('redo').addEventListener('click', again);
at('earlier-redo').addEventListener('click', () => {
  say('');
  show('again');
  if (recorder.stream) { present(earlier); return; }
  wanted = earlier; // when the microphone is open
  for (const id of ['task', 'earlier', 'finish']) show(id, false);
  at('heading').textContent = 'Microphone';
  show('setup');
  at('open').focus();
});
at('next').addEventListener('click', () => { say(''); show('again'); present(next()); });
at('unsent-send').addEventListener('click', sendUnsent);
at('unsent-drop').addEventListener('click', async () => { await forget(participant); show('unsent', false); at('open').focus(); });
addEventListener('beforeunload', (event) => { if (!at('stop').hidden) event.preventDefault(); });

try {
  work = await call('GET', api);
  readAlong();
  await offerUnsent();
  const done = work.pairs.filter((pair) => pair.recording).length;
  if (!next()) present(undefined);
  else if (done) at('heading').textContent = `Go on with pair ${next().position + 1} of ${work.pairs.length}`;
} catch (error) {
  trouble(error.message);
}
room.dataset.loaded = 'yes';
