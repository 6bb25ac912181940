// What the model wrote, what the critic says beside it, and the form in which a person writes it anew.

import { html, useEffect, useState } from "./vendor/htm-preact-3.1.1.js";
import { copyNode, editNode, keepRecord, leaveEditor, markNode, recall } from "./actions.js";
import { judgeOf, linesOf, partsOf } from "./session.js";
import { Button, Icon } from "./parts.js";
import { remember, set, state } from "./state.js";
import { shown } from "./stage.js";
import { T } from "./text.js";

const W = T.words;
const PARTS = { inspect: W.inspection, refine: W.correction, ins: W.stroke, des: W.scene };

export function toggleCritic() {
  remember("critic", !state.critic);
  set({ critic: !state.critic });
}

function Marks({ verdict }) {
  const known = verdict && (verdict.plan != null || verdict.sketch != null);
  if (!known) return html`<span class="mark">– ${W.verdict.unjudged}</span>`;
  if (verdict.plan !== false && verdict.sketch !== false) return html`<span class="mark good">✓ ${W.verdict.accepted}</span>`;
  return html`${verdict.plan === false && html`<span class="mark plan">✎ ${W.verdict.plan}</span>`}
    ${verdict.sketch === false && html`<span class="mark bad">✗ ${W.verdict.sketch}</span>`}`;
}

const HEAD = /^(?:the sketch shows|prompt|plan):/; // of a line of an inspection

/** An inspection, what each of its lines is about set off. */
function Inspection({ text, cursor }) {
  const lines = linesOf(text);
  return lines.map((line, number) => {
    const [head] = line.match(HEAD) || [""];
    return html`<p key=${number}>${head && html`<strong>${head}</strong>`}${line.slice(head.length)}${cursor && number === lines.length - 1 && CARET}</p>`;
  });
}

const CARET = html`<span class="caret" />`;

const Part = ({ name, text, cursor }) => (text
  ? html`<div class=${`part ${name}`}><span class="label">${PARTS[name]}</span>${name === "inspect"
    ? html`<${Inspection} text=${text} cursor=${cursor} />` : html`<p>${text}${cursor && CARET}</p>`}</div>` : null);

function Message({ message, live }) {
  const given = Object.keys(PARTS).filter((name) => message[name]);
  if (!given.length) return html`<p class="soft">${live ? W.writing : W.none}</p>`;
  const writing = live && ["plan", "inspect"].includes(live.stage);
  return given.map((name) => html`<${Part} key=${name} name=${name} text=${message[name]} cursor=${writing && name === given.at(-1)} />`);
}

export function Words() {
  const { session, view } = state;
  const { node, live, holder } = shown();
  const message = live && !node ? partsOf(live.text) : node?.message || {};
  const editing = view === "words" && node && !live;
  return html`<aside class="words" aria-label=${W.title}>
    <section class="card">
      <header><h2>${live || node ? T.round((live || node).step + 1) : W.title}</h2>
        ${node?.author === "person" && html`<span class="mark person"><${Icon} name="pen" /> ${W.byPerson}</span>`}
        <span class="gap" />
        ${node && !live && html`<${Button} quiet icon="star" filled=${node.star} pressed=${node.star} keys="*" hint=${node.star ? T.node.unstar : T.node.star}
          onClick=${() => markNode(node.id, { star: !node.star })} />`}</header>
      ${node && !live && html`<${Name} key=${node.id} node=${node} />`}
      ${editing ? html`<${Editor} key=${node.id} node=${node} />` : html`<${Message} message=${message} live=${live} />`}
      ${node && !live && !editing && html`<div class="row"><${Button} icon="pen" keys="W" onClick=${() => set({ view: "words", follow: false })}>${W.edit}<//>
        <small class="soft">${W.facts(node.seed, node.seconds)}</small></div>`}
      ${node?.stop && html`<p class="soft">${T.stop[node.stop] || node.stop}</p>`}
    </section>
    ${holder && node && !live && node.state !== "written" && html`<${Judgment} node=${holder} />`}
    ${node && !live && html`<${NodeActions} node=${node} />`}
  </aside>`;
}

function Name({ node }) {
  return html`<input class="name-input" id="node-name" aria-label=${T.node.name} placeholder=${T.node.namePlaceholder} value=${node.name} maxlength="80"
    onChange=${(event) => markNode(node.id, { name: event.target.value.trim() })}
    onKeyDown=${(event) => ["Enter", "Escape"].includes(event.key) && event.target.blur()} />`;
}

/** What the critic and the model say of a canvas, one after the other: the model says more. */
function Judgment({ node }) {
  const { session, critic, server, selected } = state;
  const judge = judgeOf(session, node);
  const inspection = judge?.message.inspect;
  const says = node.critic;
  const who = (label, verdict) => html`<div class="who"><span class="label">${label}</span><span><${Marks} verdict=${verdict} /></span></div>`;
  return html`<section class="card judgment"><header><h2>${W.judged}</h2><span class="gap" />
      ${server?.critic && html`<label class="check switch"><input type="checkbox" role="switch" checked=${critic} onChange=${toggleCritic} />
        <span>${W.showCritic}</span></label>`}</header>
    ${critic && server?.critic && html`<div class="critic">${who(W.critic(says?.by || server.critic), says)}
      ${says ? html`<p>${says.says}</p>${says.prompt != null && html`<p class="soft">${says.prompt ? `✓ ${W.shows}` : W.lacks}</p>`}`
        : html`<p class="soft">${W.notJudged}</p>`}</div>`}
    <div class="part inspect">${who(W.model, judge?.verdict)}
      ${!inspection && html`<p class="soft">${W.notInspected}</p>`}
      ${inspection && judge.id !== selected && html`<${Inspection} text=${inspection} />`}</div>
  </section>`;
}

function NodeActions({ node }) {
  const N = T.node;
  return html`<section class="actions" aria-label=${N.record}>
    ${node.author === "person" && html`<${Button} icon="book" keys="T" hint=${N.recordHint} onClick=${() => keepRecord(node.id, false)}>${N.record}<//>`}
    ${node.author !== "person" && node.canvas && html`<${Button} icon="check" quiet keys="T" hint=${N.acceptHint} onClick=${() => keepRecord(node.id, true)}>${N.accept}<//>`}
    <${Button} icon="recall" quiet keys="A" hint=${N.recallHint} onClick=${recall}>${N.recall}<//>
    <${Button} icon="copy" quiet keys="Shift+A" hint=${N.copyHint} onClick=${() => copyNode(node.id)}>${N.copy}<//>
    <${Button} icon="save" quiet keys="S" onClick=${() => set({ dialog: "save" })}>${T.save.title}<//>
  </section>`;
}

/** The parts of the message as a form; what is changed becomes a new branch. */
function Editor({ node }) {
  const [parts, write] = useState({ ...node.message });
  const [verdict, judge] = useState({ plan: node.verdict?.plan ?? null, sketch: node.verdict?.sketch ?? null });
  useEffect(() => {
    (document.getElementById("part-ins") || document.querySelector(".edit-words textarea"))?.focus();
  }, []);
  const apply = (run) => {
    const message = Object.fromEntries(Object.keys(PARTS).filter((name) => parts[name] !== node.message[name])
      .map((name) => [name, parts[name]]));
    const changes = {};
    if (Object.keys(message).length) changes.message = message;
    if (["plan", "sketch"].some((name) => verdict[name] !== (node.verdict?.[name] ?? null))) changes.verdict = verdict;
    if (!Object.keys(changes).length) leaveEditor();
    else editNode(node.id, changes, run);
  };
  const absent = Object.keys(PARTS).filter((name) => parts[name] == null);
  return html`<form class="edit-words" onSubmit=${(event) => {
    event.preventDefault();
    apply(true);
  }} onKeyDown=${(event) => {
    const given = event.key === "Enter" && (event.ctrlKey || event.metaKey);
    if (!given && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    if (given) apply(true);
    else leaveEditor();
  }}>
    ${Object.keys(PARTS).filter((name) => parts[name] != null && (name !== "inspect" || node.step > 0)).map((name) => html`<div key=${name} class="field">
      <label for=${`part-${name}`}>${PARTS[name]}</label>
      <textarea id=${`part-${name}`} rows=${name === "ins" || name === "refine" ? 2 : 4} value=${parts[name]}
        onInput=${(event) => write({ ...parts, [name]: event.target.value })} />
      ${name !== "inspect" && html`<${Button} quiet icon="x" hint=${`${W.leave}: ${PARTS[name]}`} onClick=${() => write({ ...parts, [name]: null })} />`}
      </div>`)}
    ${absent.length > 0 && html`<div class="row">${absent.filter((name) => node.step > 0 || name !== "refine").map((name) => html`<${Button} key=${name} quiet icon="plus"
      onClick=${() => write({ ...parts, [name]: "" })}>${W.add(PARTS[name])}<//>`)}</div>`}
    ${node.step > 0 && [["plan", W.planFits], ["sketch", W.sketchFits]].map(([name, question]) => html`<label key=${name} class="question"><span>${question}</span>
      <select value=${String(verdict[name])} onChange=${(event) => judge({ ...verdict, [name]: { true: true, false: false, null: null }[event.target.value] })}>
        <option value="true">${W.yes}</option><option value="false">${W.no}</option><option value="null">${W.unsaid}</option></select></label>`)}
    <div class="row"><${Button} primary type="submit" keys="Mod+Enter">${W.apply}<//>
      <${Button} onClick=${() => apply(false)}>${W.applyStop}<//>
      <${Button} quiet keys="Esc" onClick=${leaveEditor}>${T.cancel}<//></div>
  </form>`;
}
