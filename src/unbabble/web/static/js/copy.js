// Buttons that copy, and a personal link's token, which stands behind the # of its address.

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
