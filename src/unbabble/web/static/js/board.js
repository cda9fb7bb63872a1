// The leaderboard: tables that sort and are filtered, archives that are sent, and a word on how far an entry is.

import { call, insist, upload } from './api.js';

const POLL = 2000;

/** Buttons in the heads of a table, which sort its rows; empty cells stay last. */
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.dataset.sort) return;
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'plain sort';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const first = head.dataset.sort === 'number' ? 'descending' : 'ascending';
      const other = first === 'descending' ? 'ascending' : 'descending';
      const order = head.getAttribute('aria-sort') === first ? other : first;
      heads.forEach((each) => each.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', order);
      const sign = order === 'ascending' ? 1 : -1;
      const value = (row) => row.cells[column].dataset.value ?? '';
      const numeric = head.dataset.sort === 'number';
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [one, two] = [value(a), value(b)];
        if (one === '' || two === '') return (one === '') - (two === '');
        return sign * (numeric ? one - two : one.localeCompare(two));
      });
      table.tBodies[0].append(...rows);
    });
  });
}

function filters(form) {
  form.hidden = false;
  const found = form.querySelector('[data-found]');
  const apply = () => {
    const wanted = form.elements.system.value.trim().toLowerCase();
    const kind = form.elements.kind.value;
    const rows = [...document.querySelectorAll('tr[data-system]')];
    rows.forEach((row) => { row.hidden = !row.dataset.system.toLowerCase().includes(wanted); });
    document.querySelectorAll('[data-kind]').forEach((part) => { part.hidden = kind !== '' && part.dataset.kind !== kind; });
    const names = new Set(rows.filter((row) => !row.hidden && !row.closest('[data-kind][hidden]')).map((row) => row.dataset.system));
    found.textContent = wanted || kind ? `${names.size} ${names.size === 1 ? 'system' : 'systems'}` : '';
  };
  form.addEventListener('input', apply);
  form.addEventListener('submit', (event) => event.preventDefault());
}

/** Upload the archive of a form, then tell what it is; goes where that leads. */
function sender(form) {
  const said = form.querySelector('[data-said]');
  const wrong = form.querySelector('[data-wrong]');
  const bar = form.querySelector('progress');
  const button = form.querySelector('button.primary');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const { file, ...fields } = Object.fromEntries(new FormData(form));
    if ('talkers' in fields) fields.talkers = Number(fields.talkers);
    button.disabled = true;
    wrong.hidden = true;
    bar.hidden = false;
    try {
      const state = await upload(file, file.name, 'archive', (share, waiting) => {
        bar.value = share;
        said.textContent = waiting ? 'No connection: trying again …' : `Sent ${Math.round(100 * share)} %`;
      });
      const made = await insist('POST', form.dataset.address, { ...fields, upload: state.id });
      location.assign(form.dataset.send === 'entry' ? `/leaderboard/entries/${made.id}` : '/leaderboard/manage');
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
      said.textContent = '';
      bar.hidden = true;
      button.disabled = false;
    }
  });
}

async function follow(note) {
  const said = note.querySelector('[data-said]');
  const bar = note.querySelector('progress');
  for (;;) {
    await new Promise((done) => setTimeout(done, POLL));
    try {
      const entry = await call('GET', `/api/leaderboard/entries/${note.dataset.entry}`);
      if (entry.state !== 'waiting') break;
      if (entry.progress !== null) {
        bar.value = entry.progress;
        said.textContent = `Being scored: ${Math.round(100 * entry.progress)} %`;
      }
    } catch (error) {
      if (error.status === 404) break;
      said.textContent = 'No connection: trying again …';
    }
  }
  location.reload();
}

document.querySelectorAll('table[data-sortable]').forEach(sortable);
document.querySelectorAll('form[data-filters]').forEach(filters);
document.querySelectorAll('form[data-send]').forEach(sender);
document.querySelectorAll('[data-entry]').forEach(follow);
