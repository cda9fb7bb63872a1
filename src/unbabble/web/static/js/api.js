// Calls to the server: with the token against forged requests, errors as sentences, uploads that survive a lost line.

export class Refused extends Error {
  constructor(status, sentence) { super(sentence); this.status = status; }
}

const token = () => document.querySelector('meta[name="csrf"]').content;
const PATIENCE = [500, 1000, 2000, 4000, 8000, 8000, 8000, 8000];

/** Call `address`; `body` is sent as JSON unless it is a Blob. Returns JSON; throws Refused with one sentence. */
export async function call(method, address, body, headers = {}) {
  const raw = body instanceof Blob;
  const answer = await fetch(address, {
    method,
    headers: { accept: 'application/json', 'x-csrf-token': token(), ...(raw || body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    body: body === undefined ? undefined : raw ? body : JSON.stringify(body),
  });
  const text = await answer.text();
  let content = null;
  try { content = text ? JSON.parse(text) : null; } catch { /* a proxy's page, say */ }
  if (!answer.ok) throw new Refused(answer.status, content?.detail ?? `The server answered ${answer.status}.`);
  return content;
}

/** As `call`, again and again while there is no connection or the server is busy. */
export async function insist(method, address, body, onWait = () => {}) {
  for (let turn = 0; ; turn++) {
    try {
      return await call(method, address, body);
    } catch (error) {
      const passing = !(error instanceof Refused) || [429, 502, 503, 504, 507].includes(error.status);
      if (!passing || turn >= PATIENCE.length) throw error;
      onWait(error);
      await new Promise((done) => setTimeout(done, PATIENCE[turn]));
    }
  }
}

/** Send a Blob in pieces; goes on where it was when the connection was lost. Returns the server's word on it. */
export async function upload(blob, name, purpose, onProgress = () => {}) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
  const sha256 = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  let state = await insist('POST', '/api/uploads', { name, bytes: blob.size, purpose });
  while (state.received < blob.size) {
    onProgress(state.received / blob.size);
    const piece = blob.slice(state.received, state.received + state.piece_bytes);
    try {
      state = await call('PUT', `/api/uploads/${state.id}?offset=${state.received}`, piece);
    } catch (error) {
      if (error instanceof Refused && ![409, 429, 502, 503, 504, 507].includes(error.status)) throw error;
      state = await insist('GET', `/api/uploads/${state.id}`, undefined, () => onProgress(state.received / blob.size, true));
    }
  }
  onProgress(1);
  state = await insist('POST', `/api/uploads/${state.id}/finish`, { sha256 });
  if (state.state === 'refused') throw new Refused(422, state.error);
  return state;
}
