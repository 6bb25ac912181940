// What both editors of a canvas share: their frame, their history, and handing the new canvas over. Knows no tools.

import { html, useState } from "./vendor/htm-preact-3.1.1.js";
import { editNode, leaveEditor } from "./actions.js";
import { Button } from "./parts.js";
import { set, state } from "./state.js";
import { T } from "./text.js";

const E = T.editor;

/** A value with undo and redo: {value, change(next), undo(), redo(), canUndo, canRedo}; `replaced` keeps no step. */
export function useHistory(first) {
  const [{ past, value, future }, write] = useState({ past: [], value: first, future: [] });
  return {
    value,
    canUndo: past.length > 0,
    canRedo: future.length > 0,
    change: (next) => write(({ past: p, value: v }) => ({ past: [...p, v], value: next, future: [] })),
    replaced: (next) => write(({ past: p, future: f }) => ({ past: p, value: next, future: f })),
    undo: () => write((all) => (all.past.length
      ? { past: all.past.slice(0, -1), value: all.past.at(-1), future: [all.value, ...all.future] } : all)),
    redo: () => write((all) => (all.future.length
      ? { past: [...all.past, all.value], value: all.future[0], future: all.future.slice(1) } : all)),
  };
}

/** Continue in the other editor with what was done in this one. */
async function change(view, tool, { history, current }) {
  const base = history.canUndo ? await current() : state.base;
  set({ view, tool, base });
}

const TOOL_KEYS = { b: "brush", e: "eraser", x: "mask" };

/** Keys of an editor, before those of the page: undo, redo, apply, leave, tools, and the editor's own. */
function editorKeys(event, editor) {
  const { history: { undo, redo }, apply, other } = editor;
  const mod = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  const typing = event.target.matches("input:not([type=range]):not([type=color]), select");
  let done = true;
  if (mod && key === "enter") apply(true);
  else if (mod && key === "z" && !event.shiftKey) undo();
  else if (mod && (key === "y" || (key === "z" && event.shiftKey))) redo();
  else if (typing && key !== "escape") done = false;
  else if (key === "escape") leaveEditor();
  else if (mod || event.altKey) done = false;
  else if (TOOL_KEYS[key] && state.view === "paint") set({ tool: TOOL_KEYS[key] });
  else if (TOOL_KEYS[key]) change("paint", TOOL_KEYS[key], editor);
  else if (key === "v" && state.world && state.view === "paint") change("things", null, editor);
  else done = Boolean(other?.(key));
  if (done) event.preventDefault();
  event.stopPropagation();
}

/** The frame of an editor: its two kinds, undo and redo, the end of it. */
export function Frame({ history, current, other, children, tools }) {
  const changed = history.canUndo || Boolean(state.base);
  const apply = async (run) => {
    if (!changed) return;
    const canvas = history.canUndo ? await current() : state.base;
    if (canvas) editNode(state.selected, { canvas }, run);
  };
  const editor = { history, current, apply, other };
  const tab = (view, name) => html`<${Button} quiet pressed=${state.view === view} keys=${view === "things" ? "V" : "B"}
    onClick=${() => state.view !== view && change(view, view === "paint" ? "brush" : null, editor)}>${name}<//>`;
  return html`<section class="editor" aria-label=${E.title} onKeyDown=${(event) => editorKeys(event, editor)}>
    <div class="toolbar" role="toolbar" aria-label=${E.title}>
      ${state.world && html`${tab("things", E.things)}${tab("paint", E.paint)}`}
      <span class="gap" />
      <${Button} quiet icon="undo" keys="Mod+Z" hint=${E.undo} disabled=${!history.canUndo} onClick=${history.undo} />
      <${Button} quiet icon="redo" keys="Mod+Shift+Z" hint=${E.redo} disabled=${!history.canRedo} onClick=${history.redo} />
    </div>
    <div class="toolbar" role="toolbar" aria-label=${E.tools}>${tools}</div>
    ${children}
    <div class="toolbar end">
      <${Button} primary icon="check" keys="Mod+Enter" disabled=${!changed} onClick=${() => apply(true)}>${E.apply}<//>
      <${Button} disabled=${!changed} onClick=${() => apply(false)}>${E.applyStop}<//>
      <${Button} quiet keys="Esc" onClick=${leaveEditor}>${E.cancel}<//>
    </div></section>`;
}
