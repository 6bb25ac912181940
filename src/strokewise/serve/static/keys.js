// Keys to actions, for the whole page. Editors and forms take theirs first and stop them.

import {
  cancel, close, copyNode, follow, goOn, isEditing, keepRecord, markNode, paint, pause, recall, redo, startComparing, undo,
} from "./actions.js";
import { nextMode } from "./compare.js";
import { isEnd, nodeOf } from "./session.js";
import { correct, isActive } from "./stage.js";
import { set, state } from "./state.js";
import { step } from "./tree.js";
import { toggleCritic } from "./words.js";

const ARROWS = { arrowleft: "left", arrowright: "right", arrowup: "up", arrowdown: "down", home: "home", end: "end" };

/** Focus an element, at once if it is there: keys that follow are for it. */
function focusOn(id) {
  const found = document.getElementById(id);
  if (found) found.focus();
  else setTimeout(() => document.getElementById(id)?.focus(), 40);
}
const view = (name) => set({ view: state.view === name ? "canvas" : name });
const withNode = (doing) => {
  const node = nodeOf(state.session, state.selected);
  if (node) doing(node);
};

const further = (until) => !isEnd(nodeOf(state.session, state.selected)) && goOn(until);

/** Keys with Ctrl or Cmd; they work in text fields too, where the field has no use for them. */
const MOD = {
  enter: () => (state.session ? null : paint()),
  z: (event) => (event.shiftKey ? redo() : undo()),
  y: redo,
  0: () => set({ actual: !state.actual }),
};

/** Single keys while a painting is open. */
const OPEN = {
  " ": () => (isActive(state.session) ? pause() : further("end")),
  ".": () => further("stage"),
  ",": () => further("canvas"),
  "shift+x": () => isActive(state.session) && cancel(),
  "shift+g": () => !isActive(state.session) && withNode(() => goOn("end", { anew: true })),
  i: () => set({ instructing: true }),
  d: () => view("difference"),
  c: () => (state.view === "compare" ? set({ swapped: !state.swapped }) : startComparing()),
  m: () => state.view === "compare" && nextMode(),
  k: toggleCritic,
  w: () => withNode(() => !(state.follow && state.session.under_way) && set({ view: "words", follow: false })),
  v: () => correct(),
  b: () => correct("brush"),
  e: () => correct("eraser"),
  x: () => correct("mask"),
  "*": () => withNode((node) => markNode(node.id, { star: !node.star })),
  f2: () => focusOn("node-name"),
  t: () => withNode((node) => (node.author === "person" || node.canvas) && keepRecord(node.id, node.author !== "person")),
  a: recall,
  "shift+a": () => withNode((node) => copyNode(node.id)),
  s: () => set({ dialog: "save" }),
  escape: () => (state.view === "canvas" ? follow() : set({ view: "canvas" })),
};

const ALWAYS = {
  "?": () => set({ dialog: "keys" }),
  n: () => {
    close();
    focusOn("prompt");
  },
  p: () => {
    if (state.session) close();
    focusOn("prompt");
  },
};

function actionOf(event) {
  const key = event.key.toLowerCase();
  const typing = event.target.matches("input:not([type=checkbox]):not([type=range]), textarea, select");
  if (event.ctrlKey || event.metaKey) return typing && key !== "enter" ? null : MOD[key];
  if (event.altKey || typing || (!state.singleKeys && !["escape"].includes(key))) return null;
  if (key === " " && event.target.closest("button, a, summary, [role=treeitem]")) return null;
  if (!state.session) return ALWAYS[key];
  if (ARROWS[key] && !isEditing() && !event.target.closest("[type=range], dialog")) return () => step(ARROWS[key]);
  const letter = event.shiftKey && /^[a-z]$/.test(key) ? `shift+${key}` : key;
  return OPEN[letter] || ALWAYS[key];
}

export function onKey(event) {
  if (state.dialog || state.needsKey) return;
  const action = actionOf(event);
  if (!action) return;
  event.preventDefault();
  action(event);
}
