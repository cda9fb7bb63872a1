// Buttons that copy; a personal link's token, which stands behind the # of its address; and forms after which nothing
// that was not sent stays in this browser.

import { forget } from './unsent.js';

for (const button of document.querySelectorAll('[data-copy]')) {
  const source = document.getElementById(button.dataset.copy);
  button.addEventListener('click', async () => {
    const text = source.value ?? source.textContent.trim();
    const status = button.parentElement.querySelector('[role="status"]');
    try {
      await navigator.clipboard.writeText(text);
      status.textContent = 'Copied.';
    } catch {
      status.textContent = 'Your browser does not copy: select it by hand.';
    }
  });
}

const field = document.querySelector('input[name="token"]:not([type="hidden"])');
if (field) {
  if (location.hash.length > 1) {
    field.value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, '', location.pathname);
  }
  field.form.addEventListener('submit', () => { field.value = field.value.split('#').pop().trim(); });
}

for (const form of document.querySelectorAll('form[data-forget]')) {
  form.addEventListener('submit', async (event) => {
    if (form.dataset.forgotten) return;
    event.preventDefault();
    await forget(form.dataset.forget);
    form.dataset.forgotten = 'yes';
    form.requestSubmit(event.submitter);
  });
}
