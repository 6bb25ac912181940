// What a person can do with paintings: requests, and what they change in the state. No HTML.

import { api, at, once } from "./api.js";
import { after, canvasNode, isEnd, later, nodeOf } from "./session.js";
import { EMPTY_DRAFT, remember, set, state } from "./state.js";
import { listen } from "./stream.js";
import { T } from "./text.js";

const HISTORY = 50;
const TOLD_FOR = 6000; // milliseconds that good news stay, which may cover something
let leave = null; // ends the listening to the session's events
let listing = null; // the timer of the next look at the list
let telling = null; // the timer of the end of good news

/** Run a request; show what it failed of, with a way to try again. */
export async function attempt(doing) {
  try {
    const result = await doing();
    set({ error: null });
    return result;
  } catch (error) {
    if (error.code === "unauthorized") set({ needsKey: true });
    else set({ error: Object.assign(error, { retry: () => attempt(doing) }) });
    return undefined;
  }
}

// --- the server and the list -----------------------------------------------------------------------------

/** Ask what serves this page; true if it answers. */
export async function hello() {
  try {
    const server = await api.server();
    const world = server.world && !state.world ? await api.world() : state.world;
    set({ server, world, online: true, needsKey: false });
    return true;
  } catch (error) {
    if (error.code === "unauthorized") set({ needsKey: true, online: true });
    else set({ online: false });
    return false;
  }
}

export async function login(key) {
  await api.login(key);
  await hello();
  await listAgain();
}

/** The list and the queue anew, once for all that happens in a moment. */
function listSoon() {
  listing ??= setTimeout(() => {
    listing = null;
    hello();
    listAgain();
  }, 300);
}

/** The list as it is now; a server that cannot be reached is reported elsewhere. */
export async function listAgain() {
  const query = { limit: 100 };
  if (state.search) query.q = state.search;
  if (state.starredOnly) query.star = true;
  try {
    set({ sessions: (await api.sessions(query)).sessions, online: true });
  } catch (error) {
    set({ online: error.code !== "unreachable" });
  }
}

export function removeSession(summary) {
  if (!confirm(T.list.confirmDelete(summary.name || summary.prompt))) return;
  attempt(async () => {
    await api.remove(summary.id);
    if (state.session?.id === summary.id) close();
    await listAgain();
  });
}

export const starSession = (summary) => attempt(async () => {
  await api.rename(summary.id, { star: !summary.star });
  await listAgain();
});

export const importFile = (file) => attempt(async () => {
  const session = await api.import(file);
  adopt(session);
  await listAgain();
});

// --- opening and following -------------------------------------------------------------------------------

const PLACE = /^#\/([^/]+)(?:\/(\d+))?$/;

/** Open what the address names, after a reload or a click on a link. */
export async function openPlace() {
  const [, id, number] = location.hash.match(PLACE) || [];
  if (!id) return close();
  if (state.session?.id === id) return number ? select(Number(number)) : undefined;
  try {
    adopt(await api.session(decodeURIComponent(id)));
    if (number) select(Number(number));
  } catch (error) {
    if (error.code === "unreachable") setTimeout(openPlace, 2000);
    else set({ error });
  }
  return undefined;
}

function setPlace() {
  const { session, follow, selected } = state;
  const hash = session ? `#/${session.id}${follow || selected == null ? "" : `/${selected}`}` : "";
  if (location.hash !== hash) history.replaceState(null, "", hash || location.pathname);
}

/** Show a session and listen to it. */
export function adopt(session) {
  if (state.session?.id !== session.id) {
    leave?.();
    set({ before: [], after: [], compareWith: null, error: null });
    leave = listen((last) => api.eventsUrl(session.id, last), hear, (joined) => set({ joined }));
  }
  set({ session, follow: true, selected: session.head, view: "canvas", listOpen: false, instructing: false });
  setPlace();
}

/** Leave the session; the painting continues without us. */
export function close() {
  leave?.();
  leave = null;
  set({ session: null, joined: true, view: "canvas", dialog: null, listOpen: false, error: null });
  setPlace();
}

function hear(event, id) {
  if (!state.session) return;
  const found = after(state.session, event);
  if (!found) {
    close();
    listAgain();
    return;
  }
  const session = { ...found, event_id: id };
  set({ session, online: true, selected: state.follow ? session.head : state.selected });
  if (["snapshot", "state"].includes(event.type)) listSoon();
}

/** Whether something is open that would be lost if another node were shown. */
export const isEditing = () => ["words", "things", "paint"].includes(state.view);

/** Leave an editor without applying it; the keys pressed from now on are for the page, though it is not drawn anew yet. */
export function leaveEditor() {
  document.activeElement?.blur();
  set({ view: "canvas" });
}

/** Show a node; null is the prompt. */
export function select(id) {
  const live = state.session.under_way;
  const view = isEditing() ? "canvas" : state.view;
  set({ selected: id, follow: !live && id === state.session.head, instructing: false, view });
  setPlace();
}

export function follow() {
  set({ follow: true, selected: state.session.head });
  setPlace();
}

// --- painting --------------------------------------------------------------------------------------------

const stated = (options) => Object.fromEntries(Object.entries(options).filter(([, value]) => value !== null && value !== ""));

export function draft(changes) {
  set({ draft: { ...state.draft, ...changes }, historyAt: -1 });
  const { image, ...kept } = state.draft;
  remember("draft", kept);
}

export async function paint(until = "end") {
  const { prompt, seed, options, image, anyPrompt } = state.draft;
  if (!prompt.trim() || state.busy) return;
  const body = { prompt, seed, until, options: stated(options), any_prompt: anyPrompt };
  if (image) body.image = image;
  const key = once();
  set({ busy: true });
  await attempt(async () => {
    const session = await api.create(body, key);
    const past = [prompt, ...state.history.filter((other) => other !== prompt)].slice(0, HISTORY);
    remember("history", past);
    set({ history: past, historyAt: -1 });
    adopt(session);
    listAgain();
  });
  set({ busy: false });
}

/** An earlier prompt (1) or a later one (-1). */
export function browseHistory(direction) {
  const place = Math.max(-1, Math.min(state.historyAt + direction, state.history.length - 1));
  if (place === state.historyAt) return;
  const prompt = place < 0 ? "" : state.history[place];
  set({ draft: { ...state.draft, prompt }, historyAt: place });
}

/** Take over the answer to a change of the painting; where it branched, undo leads back. */
function arrived(answer, from) {
  if (state.session?.id !== answer.id) return; // somebody went elsewhere meanwhile
  const session = later(state.session, answer);
  const step = { session: session.id, from, to: answer.head };
  if (from !== answer.head) set({ before: [...state.before, step], after: [] });
  set({ session, follow: true, selected: session.head, view: "canvas", instructing: false });
  setPlace();
}

const changed = (asking) => attempt(async () => {
  const answer = await asking(state.session.id);
  if (state.session?.id === answer.id) set({ session: later(state.session, answer) });
});
export const pause = () => changed(api.pause);
export const cancel = () => changed(api.cancel);

/** Resume from the node that is shown; anywhere but at the head, and with another seed, that branches. */
export function goOn(until = "end", { instruction, anew = false } = {}) {
  const { session, selected } = state;
  const node = nodeOf(session, selected);
  const from = node && (anew || isEnd(node)) ? node.parent : selected;
  const body = { until };
  if (anew || from !== session.head) body.node = from;
  if (anew) body.seed = Math.floor(Math.random() * 2 ** 31);
  if (instruction) body.instruction = instruction;
  return attempt(async () => arrived(await api.continue(session.id, body), selected));
}

export function editNode(id, changes, run) {
  const { session } = state;
  return attempt(async () => {
    arrived(await api.edit(session.id, id, { ...changes, run }), id);
    return true;
  });
}

export function undo() {
  const last = state.before.at(-1);
  if (!last) return;
  set({ before: state.before.slice(0, -1), after: [...state.after, last] });
  select(last.from);
}

export function redo() {
  const next = state.after.at(-1);
  if (!next) return;
  set({ after: state.after.slice(0, -1), before: [...state.before, next] });
  select(next.to);
}

// --- a node ----------------------------------------------------------------------------------------------

export const markNode = (id, changes) => attempt(() => api.mark(state.session.id, id, changes)); // an event shows it

/** Prompt, seed, options and source of the session into the box for a new one. */
export async function recall() {
  const { session } = state;
  const image = session.source ? await attempt(() => pictureText(at(session.source))) : null;
  const known = Object.keys(T.compose.option);
  const options = Object.fromEntries(Object.entries(session.options).filter(([name]) => known.includes(name)));
  if (session.options.size) options.size = session.options.size;
  close();
  draft({ ...EMPTY_DRAFT, prompt: session.original_prompt || session.prompt, seed: session.seed, options, image });
}

export const copyNode = (id) => attempt(async () => {
  adopt(await api.copy(state.session.id, id));
  listAgain();
});

export const keepRecord = (id, accept) => attempt(async () => {
  const record = await api.record(state.session.id, id, accept ? { accept: true } : {});
  set({ notice: T.node.kept(record.what) });
  clearTimeout(telling);
  telling = setTimeout(() => set({ notice: "" }), TOLD_FOR);
});

export const showRecords = () => attempt(async () => set({ records: await api.records(), dialog: "records" }));
export const dropRecord = (id) => attempt(async () => {
  await api.removeRecord(id);
  set({ records: await api.records() });
});

/** The canvas shown, and the one to compare it with: the one before it, unless another was chosen. */
export function startComparing() {
  const { session, selected } = state;
  const left = canvasNode(session, selected);
  if (!left) return;
  const other = session.nodes.filter((node) => node.canvas && node.id !== left.id);
  const chosen = other.find((node) => node.id === state.compareWith)
    || other.filter((node) => node.step === left.step).at(-1) || other.at(-1);
  if (!chosen) return;
  set({ view: "compare", selected: left.id, follow: false, compareWith: chosen.id, swapped: false });
}

// --- pictures --------------------------------------------------------------------------------------------

const readAs = (blob) => new Promise((done, failed) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result);
  reader.onerror = () => failed(reader.error);
  reader.readAsDataURL(blob);
});

/** A picture's bytes as a data URL, from an address or a file. */
export async function pictureText(from) {
  return readAs(from instanceof Blob ? from : await (await fetch(from)).blob());
}
