// Two canvases beside each other, behind a slider, or as their difference.

import { html, useState } from "./vendor/htm-preact-3.1.1.js";
import { api, at } from "./api.js";
import { canvasNode } from "./session.js";
import { Button } from "./parts.js";
import { set, state } from "./state.js";
import { T } from "./text.js";

const C = T.compare;
const MODES = ["side", "slider", "difference"];

export function nextMode() {
  set({ compareMode: MODES[(MODES.indexOf(state.compareMode) + 1) % MODES.length] });
}

const label = (node) => node.name || T.round(node.step + 1);

export function Compare() {
  const { session, swapped, compareMode } = state;
  const [divider, move] = useState(50);
  const pair = [canvasNode(session, state.selected), canvasNode(session, state.compareWith)];
  if (pair.includes(null)) return null;
  if (swapped) pair.reverse();
  const [a, b] = pair;
  const [high, wide] = session.size;
  const crisp = Math.max(wide, high) <= 256 ? "crisp" : "";
  const picture = (node, extra = {}) => html`<img class=${crisp} src=${at(node.canvas)} width=${wide} height=${high}
    alt=${T.view.canvasOf(node.step + 1, node.message.des || "")} ...${extra} />`;
  const caption = (node, side) => html`<figcaption><span class="label">${side}</span>${label(node)}<br />
    ${node.message.ins || node.message.refine || ""}</figcaption>`;
  return html`<section class="compare" aria-label=${C.title}>
    <div class="toolbar" role="toolbar" aria-label=${C.title}>
      ${MODES.map((mode) => html`<${Button} key=${mode} quiet pressed=${compareMode === mode} onClick=${() => set({ compareMode: mode })}>${C[mode]}<//>`)}
      <span class="gap" />
      <${Button} quiet icon="swap" keys="C" onClick=${() => set({ swapped: !swapped })}>${C.swap}<//>
      <${Button} keys="Esc" onClick=${() => set({ view: "canvas" })}>${C.done}<//>
    </div>
    ${compareMode === "side" && html`<div class="pair">
      ${[[a, C.a], [b, C.b]].map(([node, side]) => html`<figure key=${side}>${picture(node)}${caption(node, side)}</figure>`)}</div>`}
    ${compareMode === "slider" && html`<div class="slider">
      <div class="layers" style=${{ aspectRatio: `${wide}/${high}` }}>${picture(a)}
        ${picture(b, { class: `${crisp} over`, style: { clipPath: `inset(0 0 0 ${divider}%)` } })}
        <span class="line" style=${{ left: `${divider}%` }} />
        <input type="range" min="0" max="100" value=${divider} aria-label=${C.divider} onInput=${(event) => move(Number(event.target.value))} /></div>
      <div class="pair">${[[a, C.a], [b, C.b]].map(([node, side]) => html`<figure key=${side}>${caption(node, side)}</figure>`)}</div></div>`}
    ${compareMode === "difference" && html`<figure class="single"><img class=${crisp} src=${api.differenceUrl(session.id, a.id, b.id)}
      width=${wide} height=${high} alt=${C.differenceAlt} />
      <figcaption>${C.differenceAlt}</figcaption></figure>`}
  </section>`;
}
