// The page: its frame, and what happens when it opens. Everything else is in the modules it names.

import { html, render } from "./vendor/htm-preact-3.1.1.js";
import { hello, listAgain, openPlace } from "./actions.js";
import { Compose } from "./compose.js";
import { Dialogs } from "./dialogs.js";
import { onKey } from "./keys.js";
import { SessionList } from "./list.js";
import { Button, Icon } from "./parts.js";
import { Stage } from "./stage.js";
import { onChange, set, state } from "./state.js";
import { T } from "./text.js";
import { Tree } from "./tree.js";
import { Words } from "./words.js";

const ICON = new URL("./icon.svg", import.meta.url).href; // wherever this version lies
const LIST_EVERY = 5000, HELLO_EVERY = 2000; // milliseconds

function App() {
  const { session, server, theme, view } = state;
  const correcting = view === "things" || view === "paint"; // the canvas then has the room of the tree
  document.documentElement.dataset.theme = theme;
  document.title = session ? `${session.name || session.prompt} · ${T.title}` : T.title;
  return html`<a class="skip" href="#main" onClick=${(event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  }}>${T.skip}</a>
    <header class="top">
      <${Button} quiet icon="menu" class="menu" hint=${T.menu} aria-expanded=${String(state.listOpen)} onClick=${() => set({ listOpen: !state.listOpen })} />
      <a class="brand" href="#"><img src=${ICON} alt="" width="24" height="24" />${T.title}</a>
      ${server && html`<span class="model">${server.model}</span>`}
      <span class="gap" />
      ${server && (server.queue.running || server.queue.waiting) ? html`<span class="soft queue">${T.queue(server.queue.running, server.queue.waiting)}</span>` : null}
      <${Button} quiet icon="keys" hint=${T.help} keys="?" onClick=${() => set({ dialog: "keys" })} />
    </header>
    <${Notices} />
    <div class=${`body${session ? " open" : ""}`}>
      <${SessionList} />
      <main id="main" tabindex="-1" class=${session ? "studio" : ""}>
        ${session ? html`<${Stage} key=${session.id} /><${Words} />${correcting || html`<${Tree} />`}` : html`<${Compose} />`}
      </main>
    </div>
    <${Dialogs} />`;
}

function Notices() {
  const { error, notice, online, joined } = state;
  const lost = !online ? T.offline : (!joined && T.reconnecting);
  const retry = error?.retry;
  return html`<div class="notices">
    <div role="status">${lost && html`<p class="notice lost"><${Icon} name="recall" /> ${lost}</p>`}
      ${notice && html`<p class="notice good"><${Icon} name="check" /> <span>${notice}</span>
        <${Button} quiet icon="x" hint=${T.dismiss} onClick=${() => set({ notice: "" })} /></p>`}</div>
    <div role="alert">${error && (online || error.code !== "unreachable") && html`<p class="notice bad"><${Icon} name="x" />
      <span>${error.code === "queue_full" && error.retryAfter ? T.queueFull(error.retryAfter) : error.message}</span>
      ${retry && html`<${Button} onClick=${retry}>${T.tryAgain}<//>`}
      <${Button} quiet icon="x" hint=${T.dismiss} onClick=${() => set({ error: null })} /></p>`}</div>
  </div>`;
}

/** Keep the list fresh while somebody looks; a server that was away is greeted anew. */
function stayInTouch() {
  setInterval(async () => {
    if (document.hidden || state.needsKey || !state.online) return;
    await hello();
    await listAgain();
  }, LIST_EVERY);
  setInterval(async () => {
    if (state.online || !(await hello())) return;
    set({ error: null });
    await listAgain();
    if (!state.session) openPlace();
  }, HELLO_EVERY);
}

/** What the server told of itself with the page; nothing where it asks for a key first. */
const known = () => JSON.parse(document.getElementById("known").textContent);

onChange(() => render(html`<${App} />`, document.getElementById("app")));
window.addEventListener("keydown", onKey);
window.addEventListener("hashchange", openPlace);
set(known());
(state.server ? Promise.resolve() : hello()).then(() => {
  listAgain();
  openPlace();
});
stayInTouch();
