// The middle of the page while there is a painting: what is being done, the canvas, and what can be done next.

import { html, useEffect, useRef } from "./vendor/htm-preact-3.1.1.js";
import { api, at } from "./api.js";
import {
  cancel, follow, goOn, pause, redo, startComparing, undo,
} from "./actions.js";
import { canvasBefore, canvasNode, isEnd, nodeOf, paintedNode } from "./session.js";
import { statusText } from "./list.js";
import { Button } from "./parts.js";
import { set, state } from "./state.js";
import { Compare } from "./compare.js";
import { PixelEditor } from "./pixels.js";
import { ThingsEditor } from "./things.js";
import { T } from "./text.js";

const V = T.view, P = T.transport;

/**
 * What the canvas area shows: {node, live, holder, picture, old}. `holder` is the node whose canvas it is; `old` says
 * that another canvas is about to take its place.
 */
export function shown() {
  const { session, selected } = state;
  const live = state.follow ? session.under_way : null;
  const node = live ? paintedNode(session) : nodeOf(session, selected);
  if (live?.preview) return { node, live, picture: `data:image/png;base64,${live.preview}`, old: false };
  const holder = live ? canvasNode(session, node ? node.parent : live.parent) : canvasNode(session, selected);
  const picture = holder ? at(holder.canvas) : at(session.source);
  const awaited = live ? ["sketch", "refine"].includes(live.stage) : node?.state === "written";
  return { node, live, holder, picture, old: Boolean(picture) && awaited };
}

export const isActive = (session) => session.status === "queued" || session.status === "running";

export function Stage() {
  const { session, view } = state;
  const editing = view === "things" || view === "paint";
  return html`<div class="stage">
    <header class="session-head">
      <h1>${session.original_prompt || session.prompt}</h1>
      ${session.original_prompt && html`<p class="soft"><span class="label">${T.compose.readAs}</span> ${session.prompt}</p>`}
    </header>
    <${Progress} />
    ${view === "compare" && html`<${Compare} />`}
    ${view === "things" && html`<${ThingsEditor} />`}
    ${view === "paint" && html`<${PixelEditor} />`}
    ${!editing && view !== "compare" && html`<${Canvas} />`}
    ${!editing && view !== "compare" && html`<${Transport} />`}
  </div>`;
}

function Progress() {
  const { session } = state;
  const live = session.under_way;
  const painting = live && live.num_steps > 0 && ["sketch", "refine"].includes(live.stage);
  const now = live && `${T.round(live.step + 1)}, ${T.doing[live.stage]}`;
  return html`<div class="progress">
    <ol class="stages" aria-label=${T.stagesLabel}>${Object.entries(T.stages).map(([name, label]) => html`<li key=${name}
      class=${live?.stage === name ? "now" : ""} aria-current=${live?.stage === name ? "step" : undefined}>${label}</li>`)}</ol>
    <p class=${`status ${session.error ? "failed" : session.status}`}>
      ${session.status === "running" && !session.pausing && now ? now : statusText(session)}
      ${painting && html` · ${T.progress(live.flow_step, live.num_steps)}`}</p>
    <p class="hidden" role="status" aria-live="polite">${now ? T.announce(live.step + 1, T.doing[live.stage]) : statusText(session)}</p>
    ${painting && html`<progress max=${live.num_steps} value=${live.flow_step} aria-label=${T.doing[live.stage]} />`}
  </div>`;
}

function Canvas() {
  const { session, view, actual } = state;
  const { node, live, holder, picture, old } = shown();
  const before = !live && canvasBefore(session, holder);
  const difference = view === "difference" && !live;
  const source = difference && before && holder ? at(api.differenceUrl(session.id, before.id, holder.id)) : picture;
  const [high, wide] = session.size;
  const text = node?.message.des || node?.message.ins || "";
  let alt = holder ? V.canvasOf(holder.step + 1, holder === node ? text : "") : V.source;
  if (live?.preview) alt = V.preview(live.flow_step, live.num_steps);
  if (difference && before) alt = V.differenceOf;
  return html`<figure class="canvas" aria-label=${V.label}>
    <div class=${`frame${live ? " live" : ""}${old && !difference ? " old" : ""}${actual ? " actual" : ""}`} style=${{ "--ratio": wide / high }}>
      ${source ? html`<img class=${Math.max(wide, high) <= 256 ? "crisp" : ""} src=${source} alt=${alt} width=${wide} height=${high} />`
        : html`<div class="blank" style=${{ aspectRatio: `${wide}/${high}` }}><p>${V.empty}</p></div>`}
    </div>
    ${difference && !before && html`<figcaption>${V.noDifference}</figcaption>`}
    ${old && !difference && html`<figcaption>${holder ? V.before : V.source}</figcaption>`}
  </figure>`;
}

function Transport() {
  const { session, view, selected } = state;
  const active = isActive(session);
  const node = nodeOf(session, selected);
  const here = !active && selected === session.head;
  const ended = isEnd(node);
  const { holder, live } = shown();
  const many = session.nodes.filter(({ canvas }) => canvas).length > 1;
  return html`<div class="transport" role="toolbar" aria-label=${P.label}>
    <div class="group">
      ${active && html`<${Button} icon="pause" primary keys="Space" hint=${P.pauseHint} disabled=${session.pausing} onClick=${pause}>${P.pause}<//>`}
      ${active && !state.follow && html`<${Button} icon="brush" keys="End" hint=${P.watchHint} onClick=${follow}>${P.watch}<//>`}
      ${!ended && (!active || !state.follow) && html`<${Button} icon="play" primary=${!active} keys="Space" onClick=${() => goOn()}>
        ${here ? P.continue : P.continueHere}<//>`}
      ${!ended && html`<${Button} icon="step" keys="." hint=${P.stepHint} onClick=${() => goOn("stage")}>${P.step}<//>`}
      ${!ended && html`<${Button} icon="canvas" keys="," hint=${P.canvasHint} onClick=${() => goOn("canvas")}>${P.canvas}<//>`}
      ${active && html`<${Button} icon="x" keys="Shift+X" hint=${P.cancelHint} onClick=${cancel}>${P.cancel}<//>`}
      ${!active && node && html`<${Button} icon="dice" keys="Shift+G" hint=${P.againHint} onClick=${() => goOn("end", { anew: true })}>${P.again}<//>`}
    </div>
    <div class="group">
      <${Button} icon="undo" quiet keys="Mod+Z" hint=${`${P.undo}: ${P.undoHint}`} disabled=${!state.before.length} onClick=${undo} />
      <${Button} icon="redo" quiet keys="Mod+Shift+Z" hint=${P.redo} disabled=${!state.after.length} onClick=${redo} />
      <${Button} icon="difference" quiet keys="D" hint=${`${V.difference}: ${V.differenceHint}`} pressed=${view === "difference"}
        onClick=${() => set({ view: view === "difference" ? "canvas" : "difference" })} />
      <${Button} icon="compare" quiet keys="C" hint=${`${V.compare}: ${V.compareHint}`} pressed=${view === "compare"} disabled=${!many}
        onClick=${() => (view === "compare" ? set({ view: "canvas" }) : startComparing())} />
      <${Button} icon="fit" quiet keys="Mod+0" hint=${state.actual ? V.fit : V.actual} pressed=${state.actual} onClick=${() => set({ actual: !state.actual })} />
      <${Button} icon="pen" keys="V" disabled=${!holder || live} onClick=${correct}>${V.correct}<//>
      <${Instruct} />
    </div>
  </div>`;
}

/** Open the editor of the canvas shown: its things where the world is known, else its pixels. */
export function correct(tool) {
  const { holder, live } = shown();
  if (!holder || live) return;
  const view = state.world && !["brush", "eraser", "mask"].includes(tool) ? "things" : "paint";
  set({ view, selected: holder.id, follow: false, tool: view === "paint" ? tool || "brush" : null, base: null });
}

function Instruct() {
  const input = useRef(null);
  useEffect(() => {
    if (state.instructing) input.current?.focus();
  }, [state.instructing]);
  if (!state.instructing) {
    return html`<${Button} quiet icon="pen" keys="I" hint=${P.instructHint} onClick=${() => set({ instructing: true })}>${P.instruct}<//>`;
  }
  return html`<form class="instruct" onSubmit=${(event) => {
    event.preventDefault();
    if (input.current.value.trim()) goOn("end", { instruction: input.current.value.trim() });
  }}>
    <input ref=${input} aria-label=${P.instruct} placeholder=${P.instructPlaceholder} maxlength=${state.server?.limits.text}
      onKeyDown=${(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        set({ instructing: false });
      }} />
    <${Button} primary type="submit">${P.send}<//></form>`;
}

