// The studio's pages: bring recordings and ask for work; see how far it is; listen to what came of it.

import { make } from './dom.js';
import { call, insist } from './api.js';
import { Picker, send } from './picker.js';
import { Player, drawWave } from './player.js';
import { Transcript } from './words.js';

const POLL_MS = 1000;
const PATIENT_SHARE = 0.95; // where an estimate of the duration stops
const MEMORY_SHARE = 1 / 8; // of the device's, for decoded tracks; what needs more is streamed
const MEMORY_GB = 4; // where the browser does not tell
const GO = { separate: 'Separate', enhance: 'Take off noise', extract: 'Find the voice', transcribe: 'Write it down', diarize: 'Say who speaks when', adapt: 'Adapt' };
const GOOD = { excellent: 'good', good: 'good', fair: 'warn', poor: 'bad', bad: 'bad' };
const $ = (selector, root = document) => root.querySelector(selector);

function wrong(error) {
  const place = $('#wrong') ?? $('#said');
  if (!place) throw error;
  place.textContent = error.message || 'Something went wrong: try again.';
  place.hidden = false;
}

/** What the options say, for a kind of job. */
function chosen(form, kind) {
  const found = { kind };
  for (const select of form.querySelectorAll(`[data-for="${kind}"] [data-option]`)) {
    const { value, dataset: { option } } = select;
    if (value.startsWith('adapted:')) found.adapted = value.slice(8);
    else found[option] = value === '' || Number.isNaN(Number(value)) ? value : Number(value);
  }
  const names = form.querySelector(`[data-for="${kind}"] [name="enrolled"]`);
  if (names?.checked) found.enrolled = true;
  return found;
}

function ask(form) {
  const pickers = Object.fromEntries([...form.querySelectorAll('.picker')].map((root) => [
    root.dataset.role, new Picker(root, () => root.dataset.role !== 'recordings' || kind() === 'adapt'),
  ]));
  function kind() { return form.elements.kind.value; }
  function fit() {
    for (const each of form.querySelectorAll('[data-for]')) each.hidden = !each.dataset.for.split(' ').includes(kind());
    const title = [...pickers.recordings.root.querySelectorAll('h2')].find((each) => !each.hidden);
    title.id = 'recordings-title';
    for (const each of pickers.recordings.root.querySelectorAll('h2')) if (each !== title) each.removeAttribute('id');
    $('#go').textContent = GO[kind()];
    if (kind() !== 'adapt') pickers.recordings.files.splice(0, pickers.recordings.files.length - 1);
    pickers.recordings.show();
  }
  form.addEventListener('change', (event) => { if (event.target.name === 'kind') fit(); });
  const adapted = new URLSearchParams(location.search).get('adapted');
  if (adapted && $(`option[value="adapted:${CSS.escape(adapted)}"]`, form)) {
    form.elements.kind.value = 'enhance';
    form.elements['model-enhance'].value = `adapted:${adapted}`;
    $('details', form).open = true;
  }
  fit();
  document.addEventListener('dragover', (event) => event.preventDefault());
  document.addEventListener('drop', (event) => { // beside the box; the browser would leave the page for the file
    event.preventDefault();
    pickers.recordings.add([...event.dataTransfer.files]);
  });

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    $('#wrong').hidden = true;
    const wanted = chosen(form, kind());
    const roles = ['recordings', ...(kind() === 'extract' ? ['enrollments'] : []), ...(kind() === 'adapt' ? ['clean'] : [])];
    if (roles.some((role) => pickers[role].recorder)) return wrong(new Error('Stop the recording first.'));
    for (const role of roles.filter((each) => each !== 'clean')) {
      if (!pickers[role].files.length) {
        pickers[role].input.focus();
        return wrong(new Error(role === 'recordings' ? 'Choose a recording first.' : 'Choose a recording of that person alone, too.'));
      }
    }
    $('#go').disabled = true;
    $('#sent').hidden = false;
    $('#sending').textContent = 'Sending …';
    try {
      Object.assign(wanted, await send(roles.map((role) => pickers[role]), $('#sent'), $('#sending')));
      const job = await insist('POST', '/api/studio/jobs', wanted);
      location.assign(`/studio/jobs/${job.id}`);
    } catch (error) {
      wrong(error);
      $('#go').disabled = false;
      $('#sent').hidden = true;
      $('#sending').textContent = '';
    }
    return undefined;
  });
}

/** Ask how far it is, until it is done; then show that. */
async function follow(section) {
  let begun = null;
  for (;;) {
    await new Promise((done) => setTimeout(done, POLL_MS));
    let job;
    try {
      job = await insist('GET', `/api/studio/jobs/${section.dataset.job}`);
    } catch (error) {
      if (error.status !== 404) continue;
      location.assign('/studio'); // deleted elsewhere
      return;
    }
    if (job.state === 'done' || job.state === 'failed') {
      location.reload();
      return;
    }
    const before = job.ahead === 1 ? 'one recording is before this one' : `${job.ahead} recordings are before this one`;
    say(job.state === 'waiting' ? (job.ahead ? `Waiting: ${before} …` : 'Waiting: this one is next …') : `${job.stage || 'Beginning'} …`);
    begun = job.state === 'running' ? begun ?? performance.now() : null;
    const guess = job.expected_seconds && begun ? Math.min(PATIENT_SHARE, (performance.now() - begun) / 1000 / job.expected_seconds) : null;
    const share = job.progress ?? guess;
    if (share === null) $('#share').removeAttribute('value'); else $('#share').value = share;
  }
}

/** Only what has changed: a screen reader reads it out. */
function say(text) {
  if ($('#stage').textContent !== text) $('#stage').textContent = text;
}

function scored(score) {
  if (!score) return [];
  const [db, low, high] = [score.si_snr_db, score.low_db, score.high_db].map((each) => each.toFixed(1).replace('-', '−'));
  const text = `${db} dB (${low} to ${high})`;
  return [make('span', { className: `tag ${GOOD[score.verdict] ?? ''}`, textContent: score.verdict }), make('span', { className: 'small', textContent: text })];
}

const remember = (address, label) => make('a', { href: address, className: 'small' }, 'Remember', make('span', { className: 'unseen', textContent: ` ${label}, to name it in meetings` }));

async function listen(root) {
  const job = JSON.parse($('#known').textContent);
  const { kind } = job;
  const scores = job.result.scores ?? [];
  const mixture = job.files.filter(({ role }) => role === 'mixture').slice(0, 1);
  const voices = job.files.filter(({ role }) => role === 'voice');
  const label = (index) => (kind === 'separate' ? `Voice ${index + 1}` : kind === 'enhance' ? 'Without noise' : 'The voice');
  const tracks = [
    ...mixture.map(({ address }) => ({ url: address, label: kind === 'separate' ? 'Mixture' : 'Recording', score: job.result.before?.[0], color: '--voice-0' })),
    ...voices.map(({ address, name }, index) => ({ url: address, enroll: job.id && `/studio/voices?${new URLSearchParams({ job: job.id, file: name })}`, label: label(index), score: scores[index], save: `${address}?save`, color: `--voice-${1 + (index % 4)}` })),
  ];
  const spoken = tracks.slice(kind === 'transcribe' ? 0 : mixture.length);
  const transcript = new Transcript($('#words'), JSON.parse($('#known-words').textContent), job, spoken.map((track) => track.label));
  const needed = (tracks.length + job.channels) * (job.result.audio_seconds ?? 0) * job.sample_rate * 4;
  if (needed > (navigator.deviceMemory ?? MEMORY_GB) * 1e9 * MEMORY_SHARE) return alone(root, tracks, transcript);
  let waves = [];
  const player = new Player(root, tracks, {
    group: true,
    onEvent: (name, { seconds }) => {
      if (name !== 'time') return;
      for (const wave of waves) wave.setTime(seconds);
      transcript.at(seconds);
    },
  });
  const first = tracks.length - spoken.length;
  transcript.onPlay = (voice, seconds) => {
    player.mute(first + voice, false);
    player.select(first + voice);
    player.seek(seconds);
    player.play();
  };
  player.controls.forEach(({ row }, index) => {
    row.append(...scored(tracks[index].score));
    if (tracks[index].enroll) row.append(remember(tracks[index].enroll, tracks[index].label));
    if (tracks[index].save) row.append(make('a', { href: tracks[index].save, className: 'small save' }, 'Download', make('span', { className: 'unseen', textContent: ` ${tracks[index].label} as FLAC` })));
  });
  await player.load();
  const pictures = player.controls.map(({ row }, index) => {
    const picture = make('div', { className: 'picture', role: 'img', 'aria-label': `Waveform and spectrogram of ${tracks[index].label}` });
    row.append(picture);
    return picture;
  });
  transcript.show(player.controls.slice(first).map(({ row }) => row));
  const { peak } = player;
  waves = await Promise.all(pictures.map((picture, index) => drawWave(picture, player.buffers[index], {
    spectrogram: true, color: tracks[index].color, peak, onSeek: (seconds) => player.seek(seconds),
  })));
  root.dataset.ready = 'true';
  return undefined;
}

/** Long recordings: streamed, one at a time. */
function alone(root, tracks, transcript) {
  root.append(
    make('p', { className: 'note', textContent: 'This recording is long: its voices are streamed, and play one at a time.' }),
    ...tracks.map(({ url, label, score, save, enroll }) => make('div', { className: 'card row' }, make('b', { textContent: label }), ...scored(score),
      make('audio', { controls: true, preload: 'none', src: url, 'aria-label': label }), ...(save ? [make('a', { href: save, className: 'small', textContent: 'Download' })] : []), ...(enroll ? [remember(enroll, label)] : []))),
  );
  const all = [...root.querySelectorAll('audio')];
  const first = all.length - transcript.labels.length;
  transcript.show(all.slice(first).map((one) => one.parentElement));
  transcript.onPlay = (voice, seconds) => {
    for (const one of all) one.pause();
    all[first + voice].currentTime = seconds;
    all[first + voice].play();
  };
  for (const one of all) {
    one.addEventListener('timeupdate', () => transcript.at(one.currentTime));
    one.addEventListener('play', () => {
      for (const other of all) {
        if (other === one || other.paused) continue;
        one.currentTime = other.currentTime;
        other.pause();
      }
    });
  }
}

async function share(button) {
  const { address } = await call('POST', `/api/studio/jobs/${button.dataset.job}/share`);
  const whole = new URL(address, location.href).href;
  $('#link a').href = address;
  $('#link').hidden = false;
  button.textContent = 'Copy the link';
  try {
    await navigator.clipboard.writeText(whole);
    $('#said').textContent = 'The link is copied.';
  } catch {
    $('#said').textContent = whole; // no clipboard without https
  }
}

for (const button of document.querySelectorAll('.delete')) {
  button.addEventListener('click', async () => {
    if (!confirm('Delete this recording, and what was made of it?')) return;
    try {
      await insist('DELETE', `/api/studio/jobs/${button.dataset.job}`);
      location.assign('/studio');
    } catch (error) { wrong(error); }
  });
}
$('#everything')?.addEventListener('click', async () => {
  if (!confirm('Delete all your recordings here, what was made of them, and all voices that you have enrolled?')) return;
  try {
    await insist('DELETE', '/api/studio/everything');
    location.assign('/studio');
  } catch (error) { wrong(error); }
});
$('#share-link')?.addEventListener('click', (event) => share(event.currentTarget).catch(wrong));
$('#unshare')?.addEventListener('click', async (event) => {
  try {
    await insist('DELETE', `/api/studio/jobs/${event.currentTarget.dataset.job}/share`);
    $('#link').hidden = true;
    $('#share-link').textContent = 'Share a link';
    $('#said').textContent = 'The link leads nowhere any more.';
    $('#share-link').focus();
  } catch (error) { wrong(error); }
});
$('#again')?.addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  try {
    const { kind, upload: recording, enrollments } = form.dataset;
    const more = enrollments ? { enrollments: enrollments.split(' ') } : {};
    const job = await insist('POST', '/api/studio/jobs', { ...chosen(form, kind), recordings: [recording], ...more });
    location.assign(`/studio/jobs/${job.id}`);
  } catch (error) { wrong(error); }
});
if ($('#ask')) ask($('#ask'));
if ($('#again')) for (const each of $('#again').querySelectorAll('[data-for]')) each.hidden = !each.dataset.for.split(' ').includes($('#again').dataset.kind);
if ($('#progress')) follow($('#progress'));
if ($('#meeting')) import('./meeting.js').then(({ meet }) => meet()).catch(wrong);
if ($('#player')) listen($('#player')).catch(() => {}); // the player says what is wrong
