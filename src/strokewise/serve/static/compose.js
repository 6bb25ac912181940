// The start of a painting: prompt, what the model knows, seed and options. Knows the draft, no session.

import { html, useEffect, useState } from "./vendor/htm-preact-3.1.1.js";
import { api, at } from "./api.js";
import { browseHistory, draft, paint, pictureText } from "./actions.js";
import { Button, FileButton, Icon } from "./parts.js";
import { set, state } from "./state.js";
import { SessionCard } from "./list.js";
import { T } from "./text.js";

const C = T.compose;
const READ_AFTER = 300; // milliseconds without a key
const RECENT = 8;

/** Ask how the prompt will be read, once its writer pauses. */
function useReading(prompt, editing) {
  useEffect(() => {
    if (!state.world || !prompt.trim()) {
      set({ readAs: null });
      return undefined;
    }
    const timer = setTimeout(async () => {
      const found = await api.readPrompt(prompt, editing).catch((error) => ({ error: error.code === "prompt" ? error.message : "" }));
      if (state.draft.prompt === prompt) set({ readAs: found });
    }, READ_AFTER);
    return () => clearTimeout(timer);
  }, [prompt, editing, Boolean(state.world)]);
}

/** Put a word where the cursor is. At once: what is typed next must find the words and the cursor in their new places. */
function addWord(word) {
  const box = document.getElementById("prompt");
  const [left, right] = [box.value.slice(0, box.selectionStart), box.value.slice(box.selectionEnd)];
  const [before, after] = [left && !left.endsWith(" ") ? " " : "", right && !right.startsWith(" ") ? " " : ""];
  box.setRangeText(before + word + after, box.selectionStart, box.selectionEnd, "end");
  const cursor = box.selectionEnd - after.length;
  box.focus();
  box.setSelectionRange(cursor, cursor);
  draft({ prompt: box.value });
}

export function Compose() {
  const { draft: mine, world, busy, readAs } = state;
  useReading(mine.prompt, Boolean(mine.image));
  const refused = readAs?.error && !mine.anyPrompt;
  return html`<section class="compose" aria-label=${T.list.new}>
    <h1>${C.title}</h1>
    <p class="lead">${C.lead}</p>
    <form class="card prompt-card" onSubmit=${(event) => {
      event.preventDefault();
      paint();
    }}>
      <label class="hidden" for="prompt">${C.prompt}</label>
      <textarea id="prompt" rows="2" maxlength=${state.server?.limits.prompt} placeholder=${C.placeholder} value=${mine.prompt}
        aria-describedby="reading" aria-invalid=${String(Boolean(refused))}
        onInput=${(event) => draft({ prompt: event.target.value })}
        onKeyDown=${(event) => {
          if (event.key === "Enter" && !event.shiftKey) {
            event.preventDefault();
            paint();
          } else if (event.altKey && ["ArrowUp", "ArrowDown"].includes(event.key)) {
            event.preventDefault();
            browseHistory(event.key === "ArrowUp" ? 1 : -1);
          }
        }} />
      <div id="reading" class="reading" aria-live="polite">
        ${refused && html`<${Refusal} text=${readAs.error} />`}
        ${readAs?.prompt && readAs.prompt !== mine.prompt.trim() && html`<p><span class="label">${C.readAs}</span> ${readAs.prompt}</p>`}
      </div>
      ${mine.image && html`<div class="given"><img src=${mine.image} alt=${C.image} />
        <${Button} icon="x" quiet hint=${C.removeImage} onClick=${() => draft({ image: null })} /></div>`}
      <div class="row">
        <label class="seed"><span>${C.seed}</span><input type="number" min="0" step="1" value=${mine.seed}
          onInput=${(event) => draft({ seed: Math.max(0, Math.floor(Number(event.target.value) || 0)) })} /></label>
        <${Button} icon="dice" quiet hint=${C.randomSeed} onClick=${() => draft({ seed: Math.floor(Math.random() * 10000) })} />
        <${FileButton} icon="image" quiet label=${C.addImage} accept="image/png,image/jpeg,image/webp"
          onFile=${async (file) => draft({ image: await pictureText(file) })} />
        <span class="gap" />
        <${Button} icon="step" disabled=${busy || !mine.prompt.trim()} onClick=${() => paint("stage")}>${C.paintStep}<//>
        <${Button} icon="brush" primary type="submit" keys="Enter" disabled=${busy || !mine.prompt.trim()}>${C.paint}<//>
      </div>
      <${Options} />
    </form>
    ${world && html`<${Examples} />`}
    ${world && html`<${Vocabulary} />`}
    ${state.sessions?.length > 0 && html`<section class="recent" aria-label=${C.recent}><h2>${C.recent}</h2>
      <ul class="cards">${state.sessions.slice(0, RECENT).map((one) => html`<${SessionCard} key=${one.id} summary=${one} large />`)}</ul>
    </section>`}
  </section>`;
}

/** What was not understood first, all that the model knows only on demand. */
function Refusal({ text }) {
  const [problem] = text.split(/This model knows:/);
  return html`<p class="refusal"><${Icon} name="x" /> ${problem.trim()}</p>
    <label class="check"><input type="checkbox" onChange=${() => draft({ anyPrompt: true })} /> ${C.anyPrompt}</label>`;
}

function Examples() {
  return html`<p class="examples"><span class="label">${C.examples}</span>
    ${state.world.examples.slice(0, 4).map((text) => html`<button type="button" key=${text} class="chip"
      onClick=${() => {
        draft({ prompt: text });
        document.getElementById("prompt").focus();
      }}>${text}</button>`)}</p>`;
}

function Options() {
  const { draft: mine, server } = state;
  if (!server) return null;
  const change = (name, text) => draft({ options: { ...mine.options, [name]: text === "" ? null : Number(text) } });
  const size = mine.options.size || null;
  const resize = (place, text) => {
    const other = size || [server.limits.size[0], server.limits.size[0]];
    const next = other.map((value, index) => (index === place ? Number(text) : value));
    draft({ options: { ...mine.options, size: text === "" ? null : next } });
  };
  const [smallest, largest, stride] = server.limits.size;
  const changed = Object.values(mine.options).some((value) => value !== null) || mine.anyPrompt;
  return html`<details class="options"><summary>${C.options}${changed ? " •" : ""}</summary>
    <div class="fields">
      ${Object.entries(C.option).map(([name, [label, more]]) => html`<label key=${name}><span>${label} <small>${more}</small></span>
        <input type="number" min="0" step=${["temperature", "text_guidance", "image_guidance"].includes(name) ? "0.1" : "1"}
          max=${server.limits[name]} placeholder=${C.default(server.defaults[name])} value=${mine.options[name] ?? ""}
          onInput=${(event) => change(name, event.target.value)} /></label>`)}
      <fieldset><legend>${C.size}</legend>
        ${[1, 0].map((place) => html`<input key=${place} type="number" min=${smallest} max=${largest} step=${stride}
          aria-label=${`${C.size} ${place ? "↔" : "↕"}`} placeholder=${place ? "↔" : "↕"} value=${size ? size[place] : ""}
          onChange=${(event) => resize(place, event.target.value)} />`)}
      </fieldset>
      <label class="check"><input type="checkbox" checked=${mine.anyPrompt}
        onChange=${(event) => draft({ anyPrompt: event.target.checked })} /> <span>${C.anyPrompt}</span></label>
    </div></details>`;
}

function Vocabulary() {
  const { world } = state;
  const [filter, look] = useState("");
  const [open, toggle] = useState(false);
  const found = world.classes.filter(({ name }) => name.includes(filter.trim().toLowerCase()));
  const words = (list) => list.map((word) => html`<button type="button" key=${word} class="chip" onClick=${() => addWord(word)}>${word}</button>`);
  return html`<details class="card vocabulary" onToggle=${(event) => toggle(event.target.open)}>
    <summary>${C.vocabulary} <small>${C.vocabularyLead(world.classes.length, world.colors.length)}</small></summary>
    ${open && html`<div class="row"><span class="label">${C.colors}</span>
        ${world.colors.map(({ name, hex }) => html`<button type="button" key=${name} class="chip" onClick=${() => addWord(name)}>
          <span class="dot" style=${{ background: hex }} />${name}</button>`)}</div>
      <div class="row"><span class="label">${C.relations}</span>${words(world.relations)}</div>
      <div class="row"><span class="label">${C.things}</span>
        <input type="search" aria-label=${C.filter} placeholder=${C.filter} value=${filter} onInput=${(event) => look(event.target.value)} /></div>
      <ul class="things">${found.map(({ name, icon }) => html`<li key=${name}><button type="button" onClick=${() => addWord(name)}>
        <img src=${at(icon)} alt="" loading="lazy" width="44" height="44" />${name}</button></li>`)}</ul>`}
  </details>`;
}
