// Windows over the page: keyboard, saving, training records, and the key of a server that asks for one.

import { html, useState } from "./vendor/htm-preact-3.1.1.js";
import { api } from "./api.js";
import { dropRecord, login } from "./actions.js";
import { Button, Dialog, keyName } from "./parts.js";
import { remember, set, state } from "./state.js";
import { T } from "./text.js";

const close = () => set({ dialog: null });

export function Dialogs() {
  if (state.needsKey) return html`<${Login} />`;
  if (state.dialog === "keys") return html`<${Keys} />`;
  if (state.dialog === "save" && state.session) return html`<${Save} />`;
  if (state.dialog === "records" && state.records) return html`<${Records} />`;
  return null;
}

function Login() {
  const [wrong, fail] = useState("");
  return html`<${Dialog} title=${T.login.title} close=${() => {}}>
    <form class="column" onSubmit=${async (event) => {
      event.preventDefault();
      await login(event.target.elements.key.value).catch((error) => fail(error.code === "unauthorized" ? T.login.wrong : error.message));
    }}>
      <label><span>${T.login.key}</span><input name="key" type="password" autocomplete="current-password" required /></label>
      ${wrong && html`<p class="refusal" role="alert">${wrong}</p>`}
      <${Button} primary type="submit">${T.login.enter}<//></form><//>`;
}

function Keys() {
  const { title, groups, single, singleHint } = T.keys;
  return html`<${Dialog} title=${title} close=${close} wide>
    <div class="keys">${groups.map(([name, rows]) => html`<section key=${name}><h3>${name}</h3><dl>${rows.map(([key, what]) => html`<div key=${key}>
      <dt><kbd>${keyName(key)}</kbd></dt><dd>${what}</dd></div>`)}</dl></section>`)}</div>
    <label class="check"><input type="checkbox" checked=${state.singleKeys} onChange=${(event) => {
      remember("singleKeys", event.target.checked);
      set({ singleKeys: event.target.checked });
    }} /> <span>${single} <small class="soft">${singleHint}</small></span></label><//>`;
}

function Save() {
  const { session, selected } = state;
  return html`<${Dialog} title=${T.save.title} close=${close}>
    <ul class="links">${["page", "zip", "parquet", "json"].map((format) => html`<li key=${format}>
      <a href=${api.exportUrl(session.id, format, selected)} download onClick=${() => setTimeout(close)}>${T.save[format]}</a>
      <small class="soft">${T.save[`${format}Hint`]}</small></li>`)}</ul><//>`;
}

function Records() {
  const { conflict, alignment, records } = state.records;
  const { title, lead, empty, counts, remove } = T.records;
  return html`<${Dialog} title=${title} close=${close} wide>
    <p class="soft">${lead}</p>
    ${records.length ? html`<p>${counts(conflict, alignment)}</p>
      <ul class="records">${records.map((one) => html`<li key=${one.id}><span class="mark">${one.subset}</span>
        <a href=${`#/${one.session}/${one.node}`} onClick=${close}>${one.what}</a>
        <${Button} quiet icon="bin" hint=${`${remove}: ${one.what}`} onClick=${() => dropRecord(one.id)} /></li>`)}</ul>
      <a class="button primary" href=${api.recordsUrl} download>${T.records.export}</a>` : html`<p>${empty}</p>`}<//>`;
}
