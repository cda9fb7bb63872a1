// Recordings that have not been sent yet, kept by the browser (IndexedDB), so that a closed page or a lost line costs
// nothing. Where the browser keeps nothing (private windows), all of this quietly does nothing.

const NAME = 'unbabble', STORE = 'unsent';

function opened() {
  return new Promise((done, failed) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE);
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => failed(asked.error);
  });
}

async function within(mode, act) {
  try {
    const database = await opened();
    return await new Promise((done, failed) => {
      const transaction = database.transaction(STORE, mode);
      const asked = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => { database.close(); done(asked.result); };
      transaction.onerror = transaction.onabort = () => { database.close(); failed(transaction.error); };
    });
  } catch {
    return undefined;
  }
}

/** Keep `take`, the one of this participant. */
export const keep = (participant, take) => within('readwrite', (store) => store.put(take, participant));

/** The one of this participant, if any. */
export const kept = (participant) => within('readonly', (store) => store.get(participant));

/** It was sent, or thrown away. */
export const forget = (participant) => within('readwrite', (store) => store.delete(participant));
