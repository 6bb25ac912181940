// The tree of canvases: every node a small picture, every edit a branch. Knows where nodes go, not how they came.

import { html, useEffect, useRef } from "./vendor/htm-preact-3.1.1.js";
import { at } from "./api.js";
import { follow, select } from "./actions.js";
import { canvasNode, childrenOf, nodeOf, paintedNode, places, wayTo } from "./session.js";
import { set, state } from "./state.js";
import { Icon } from "./parts.js";
import { T } from "./text.js";

const WIDE = 76, HIGH = 66, SIDE = 48, MARGIN = 14; // pixels

const left = ({ column }) => MARGIN + column * WIDE;
const top = ({ row }) => MARGIN + row * HIGH;

function edge(from, to, kind) {
  const [x0, y0, x1, y1] = [left(from) + SIDE, top(from) + SIDE / 2, left(to), top(to) + SIDE / 2];
  const middle = (x0 + x1) / 2;
  return html`<path class=${kind} d=${`M${x0} ${y0}C${middle} ${y0} ${middle} ${y1} ${x1} ${y1}`} />`;
}

/** Move through the tree: to the parent, the first child, or another branch. */
export function step(direction) {
  const { session, selected } = state;
  const node = nodeOf(session, selected);
  const children = childrenOf(session, selected);
  const way = wayTo(session, session.head);
  if (direction === "left" && node) select(node.parent);
  if (direction === "right" && children.length) select((children.find(({ id }) => way.includes(id)) || children[0]).id);
  if (direction === "up" || direction === "down") {
    const found = places(session);
    const here = found.get(selected);
    const rows = [...found].filter(([id, place]) => id !== selected && place.column === here.column
      && (direction === "up" ? place.row < here.row : place.row > here.row));
    rows.sort(([, a], [, b]) => Math.abs(a.row - here.row) - Math.abs(b.row - here.row));
    if (rows.length) select(rows[0][0]);
  }
  if (direction === "home") select(childrenOf(session, null)[0]?.id ?? null);
  if (direction === "end") follow();
  focusSelected();
}

function focusSelected() {
  if (document.activeElement?.closest(".tree")) setTimeout(() => document.querySelector(".tree [tabindex='0']")?.focus(), 40);
}

/** A click shows a node; while comparing, it chooses the right canvas. */
function choose(session, id) {
  const canvas = canvasNode(session, id);
  if (state.view === "compare" && canvas && canvas.id !== state.selected) set({ compareWith: canvas.id });
  else select(id);
}

export function Tree() {
  const { session, selected, view } = state;
  const box = useRef(null);
  const found = places(session);
  const live = session.under_way;
  const painted = paintedNode(session);
  const way = new Set(wayTo(session, state.follow ? session.head : selected));
  let phantom = null;
  if (live && !painted) {
    const parent = found.get(live.parent ?? null) || { column: 0, row: 0 };
    const taken = childrenOf(session, live.parent ?? null).length;
    phantom = { column: parent.column + 1, row: taken ? Math.max(...[...found.values()].map(({ row }) => row)) + 1 : parent.row };
  }
  const all = [...found.values(), ...(phantom ? [phantom] : [])];
  const width = left({ column: Math.max(...all.map(({ column }) => column)) }) + SIDE + MARGIN;
  const height = top({ row: Math.max(...all.map(({ row }) => row)) }) + SIDE + MARGIN + 6;
  const shownLive = state.follow && phantom;

  useEffect(() => {
    const target = box.current.querySelector(shownLive ? ".live" : "[aria-selected='true']");
    target?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [selected, session.nodes.length, Boolean(phantom)]);

  const item = (id, place, props, content, label) => html`<div key=${id ?? "root"} role="treeitem" aria-level=${place.column + 1}
    aria-selected=${String(!shownLive && selected === id)} tabindex=${selected === id ? "0" : "-1"} aria-label=${label}
    class=${`node ${props}`} style=${{ left: `${left(place)}px`, top: `${top(place)}px` }} title=${label}
    onClick=${() => choose(session, id)} onKeyDown=${(event) => event.key === "Enter" && choose(session, id)}>${content}</div>`;

  const draw = (node) => {
    const place = found.get(node.id);
    const person = node.author === "person";
    const marks = [node.name, person && T.tree.person, node.star && T.tree.starred, !node.message.ins && node.message.refine == null
      && !node.canvas && T.tree.ends, node === painted && T.tree.underWay].filter(Boolean).join(", ");
    const right = view === "compare" && state.compareWith === node.id;
    const judged = node.critic && (node.critic.sketch === false || node.critic.plan === false);
    const looks = [person && "person", node === painted && "live", right && "right", way.has(node.id) && "way",
      session.head === node.id && "head", state.critic && judged && "flawed"].filter(Boolean).join(" ");
    const picture = node === painted && live.preview ? `data:image/png;base64,${live.preview}` : at(node.canvas);
    return item(node.id, place, looks, html`
      ${picture ? html`<img src=${picture} alt="" draggable=${false} />` : html`<${Icon} name=${node.state === "written" ? "brush" : "check"} />`}
      ${person && html`<span class="badge person"><${Icon} name="pen" /></span>`}
      ${node.star && html`<span class="badge star"><${Icon} name="star" filled /></span>`}
      ${node.name && html`<span class="name">${node.name}</span>`}`, T.tree.item(node.step + 1, marks));
  };

  return html`<section class="tree-box" aria-label=${T.tree.title}>
    <header><h2>${T.tree.title}</h2><small>${view === "compare" ? T.compare.pick : T.tree.hint}</small></header>
    <div class="scroll" ref=${box}>
      <div class="tree" role="tree" aria-label=${T.tree.title} aria-orientation="horizontal"
        style=${{ width: `${width}px`, height: `${height}px` }}>
        <svg width=${width} height=${height} aria-hidden="true">
          ${session.nodes.map((node) => edge(found.get(node.parent), found.get(node.id), way.has(node.id) ? "way" : ""))}
          ${phantom && edge(found.get(live.parent ?? null) || { column: 0, row: 0 }, phantom, "live")}
        </svg>
        ${item(null, { column: 0, row: 0 }, "root", session.source ? html`<img src=${at(session.source)} alt="" />`
          : html`<${Icon} name="pen" />`, `${T.tree.root}: ${session.prompt}`)}
        ${session.nodes.map(draw)}
        ${phantom && html`<div key="live" role="treeitem" aria-level=${phantom.column + 1} aria-selected=${String(Boolean(shownLive))}
          tabindex="-1" aria-label=${T.tree.underWay} class="node live" style=${{ left: `${left(phantom)}px`, top: `${top(phantom)}px` }}
          onClick=${follow}>${live.preview ? html`<img src=${`data:image/png;base64,${live.preview}`} alt="" />` : html`<${Icon} name="brush" />`}</div>`}
      </div>
    </div></section>`;
}
