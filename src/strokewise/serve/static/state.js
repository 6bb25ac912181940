// What the page shows, in one object, and the one function that draws it anew. Knows no server and no HTML.

const stored = (name, otherwise) => {
  try {
    return JSON.parse(localStorage.getItem(`strokewise.${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
};

/** Remember a preference or a draft over reloads; without storage the page works and forgets. */
export function remember(name, value) {
  try {
    localStorage.setItem(`strokewise.${name}`, JSON.stringify(value));
  } catch { /* storage is full or forbidden */ }
}

export const EMPTY_DRAFT = { prompt: "", seed: 0, options: {}, image: null, anyPrompt: false };

export const state = {
  server: null, // GET /v1/server
  world: null, // GET /v1/world; null where there is none
  needsKey: false,
  online: true,
  joined: true, // whether the events of the session arrive
  error: null, // an ApiError to show, with `retry`
  notice: "", // the last good news
  sessions: null, // summaries, newest first
  search: "",
  starredOnly: false,
  listOpen: false, // on narrow screens

  draft: { ...EMPTY_DRAFT, ...stored("draft", {}), image: null },
  history: stored("history", []),
  historyAt: -1, // place in the history while browsing it
  readAs: null, // {prompt} or {error} of the prompt being written
  busy: false, // a painting is being asked for

  session: null,
  follow: true, // show what is being painted
  selected: null, // id of the node shown while not following
  before: [], // places to return to: {session, from, to}
  after: [],

  view: "canvas", // canvas, difference, compare, words (editing), things, paint
  tool: null, // of the pixel editor
  base: null, // the canvas as the other editor left it, a data URL
  compareWith: null, // id of the right canvas
  compareMode: "side",
  swapped: false,
  actual: false, // one picture pixel a screen pixel
  critic: stored("critic", true),
  instructing: false,
  dialog: null, // keys, save, records
  records: null,

  theme: stored("theme", "auto"),
  singleKeys: stored("singleKeys", true),
};

let draw = () => {};
let waiting = false;

/** Give the function that draws the state. */
export function onChange(callback) {
  draw = callback;
}

/** Change the state and draw it, once for all changes of a moment. */
export function set(changes = {}) {
  Object.assign(state, changes);
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    draw();
  });
}
