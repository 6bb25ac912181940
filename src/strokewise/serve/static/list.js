// The list of paintings beside the page.

import { html } from "./vendor/htm-preact-3.1.1.js";
import { at } from "./api.js";
import { close, importFile, listAgain, removeSession, showRecords, starSession } from "./actions.js";
import { Button, FileButton, Icon } from "./parts.js";
import { remember, set, state } from "./state.js";
import { T } from "./text.js";

const L = T.list;

/** The status of a session in a word or two. */
export function statusText({ status, position, pausing, stop, error }) {
  if (status === "queued") return T.status.queued(position);
  if (status === "running") return pausing ? T.status.pausing : T.status.running;
  if (error) return error;
  if (status === "paused") return stop === "interrupted" ? T.status.interrupted : T.status.paused;
  return T.stop[stop] || T.status.finished;
}

const shortStatus = ({ status, stop, node_count: count }) => {
  if (status === "queued" || status === "running") return status === "queued" ? T.status.queued(null) : T.status.running;
  if (status === "paused") return T.status.paused;
  return stop === "failed" ? T.stop.failed : L.canvases(count);
};

export function SessionCard({ summary, large }) {
  const { id, thumbnail, prompt, original_prompt: original, name, star, status } = summary;
  const title = name || original || prompt;
  const current = state.session?.id === id;
  return html`<li class=${`session-card${large ? " large" : ""}${current ? " current" : ""}`}>
    <a href=${`#/${id}`} aria-current=${current ? "page" : undefined}>
      ${thumbnail ? html`<img src=${at(thumbnail)} alt="" loading="lazy" />` : html`<span class="blank"><${Icon} name="brush" /></span>`}
      <span class="what"><span class="prompt">${title}</span>
        <small class=${status}>${shortStatus(summary)}</small></span>
    </a>
    <span class="marks">
      <${Button} quiet icon="star" filled=${star} hint=${`${star ? T.node.unstar : T.node.star}: ${title}`} onClick=${() => starSession(summary)} />
      ${!large && html`<${Button} quiet icon="bin" hint=${`${L.delete}: ${title}`} onClick=${() => removeSession(summary)} />`}
    </span></li>`;
}

let searching = null;
function search(text) {
  set({ search: text });
  clearTimeout(searching);
  searching = setTimeout(listAgain, 250);
}

export function SessionList() {
  const { sessions, listOpen } = state;
  return html`<nav class=${`list${listOpen ? " open" : ""}`} aria-label=${L.title}>
    <${Button} icon="plus" keys="N" onClick=${close}>${L.new}<//>
    <div class="row"><input type="search" aria-label=${L.search} placeholder=${L.search} value=${state.search}
        onInput=${(event) => search(event.target.value)} />
      <${Button} quiet icon="star" filled=${state.starredOnly} pressed=${state.starredOnly} hint=${L.starredOnly} onClick=${() => {
        set({ starredOnly: !state.starredOnly });
        listAgain();
      }} /></div>
    ${sessions && !sessions.length && html`<p class="soft">${state.search || state.starredOnly ? L.none : L.empty}</p>`}
    <ul class="cards">${sessions?.map((one) => html`<${SessionCard} key=${one.id} summary=${one} />`)}</ul>
    <footer>
      <${FileButton} icon="open" quiet label=${L.open} accept=".html,.zip" onFile=${importFile} />
      <${Button} icon="book" quiet onClick=${showRecords}>${L.records}<//>
      <${Theme} />
    </footer>
  </nav>`;
}

function Theme() {
  const order = ["auto", "light", "dark"];
  const next = order[(order.indexOf(state.theme) + 1) % order.length];
  return html`<${Button} quiet icon=${{ auto: "half", light: "sun", dark: "moon" }[state.theme]} onClick=${() => {
    remember("theme", next);
    set({ theme: next });
  }}>${T.theme[state.theme]}<//>`;
}
