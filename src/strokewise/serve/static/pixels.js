// Correcting a canvas by its pixels: brush, eraser, mask, a picture laid on it. Knows tools and pointers; the pixels
// themselves are the layer's.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact-3.1.1.js";
import { at } from "./api.js";
import { attempt } from "./actions.js";
import { Frame } from "./editing.js";
import { Layer } from "./layer.js";
import { canvasBefore, nodeOf } from "./session.js";
import { Button, FileButton } from "./parts.js";
import { set, state } from "./state.js";
import { T } from "./text.js";

const E = T.editor;
const TOOLS = [["brush", "B"], ["eraser", "E"], ["mask", "X"], ["pick", "Alt"]];

const picture = (source) => new Promise((done, failed) => {
  const image = new Image();
  image.onload = () => done(image);
  image.onerror = () => failed(new Error(E.upload));
  image.src = source;
});

export function PixelEditor() {
  const { session, selected, tool } = state;
  const node = nodeOf(session, selected);
  const [height, width] = session.size;
  const canvas = useRef(null);
  const layer = useRef(null);
  const last = useRef(null);
  const [size, resize] = useState(Math.max(2, Math.round(width / 16)));
  const [color, paintWith] = useState("#d33a2c");
  const [past, setPast] = useState({ undo: [], redo: [] });
  const [cursor, point] = useState([width / 2, height / 2]);

  const draw = () => layer.current?.show(canvas.current);
  useEffect(() => {
    attempt(async () => {
      layer.current = new Layer(await picture(state.base || at(node.canvas)), width, height);
      draw();
      canvas.current.focus();
    });
  }, [node.id]);

  const keep = (before) => setPast(({ undo }) => ({ undo: [...undo, before], redo: [] }));
  /** A change of the layer as one step of the history. */
  const change = (doing) => {
    keep(layer.current.snapshot());
    doing(layer.current);
    draw();
  };
  const back = (from, to) => setPast((both) => {
    if (!both[from].length) return both;
    const now = layer.current.snapshot();
    layer.current.restore(both[from].at(-1));
    draw();
    return { ...both, [from]: both[from].slice(0, -1), [to]: [...both[to], now] };
  });
  const history = {
    canUndo: past.undo.length > 0,
    canRedo: past.redo.length > 0,
    undo: () => back("undo", "redo"),
    redo: () => back("redo", "undo"),
  };

  const place = (event) => {
    const box = canvas.current.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  };
  const down = (event) => {
    if (!layer.current) return;
    const spot = place(event);
    if (tool === "pick" || event.altKey) {
      paintWith(layer.current.colorAt(spot));
      set({ tool: "brush" });
      return;
    }
    event.currentTarget.setPointerCapture(event.pointerId);
    keep(layer.current.snapshot());
    layer.current.begin();
    last.current = spot;
    move(event);
  };
  const move = (event) => {
    point(place(event));
    if (!last.current) return;
    for (const part of event.getCoalescedEvents?.() || [event]) {
      layer.current.line(tool, last.current, place(part), size, color);
      last.current = place(part);
    }
    draw();
  };
  const up = () => {
    last.current = null;
  };
  const bigger = (by) => resize(Math.max(1, Math.min(width, size + by * Math.max(1, Math.round(size / 4)))));
  const surfaceKeys = (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const dab = (from, to) => change((one) => {
      one.begin();
      one.line(tool === "pick" ? "brush" : tool, from, to, size, color);
    });
    if (event.key === " ") dab(cursor, cursor);
    else if (way) {
      const by = Math.max(1, Math.round(size / 2));
      const next = [Math.min(width, Math.max(0, cursor[0] + by * way[0])), Math.min(height, Math.max(0, cursor[1] + by * way[1]))];
      if (event.shiftKey) dab(cursor, next);
      point(next);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const other = (key) => {
    if (key !== "[" && key !== "]") return false;
    bigger(key === "[" ? -1 : 1);
    return true;
  };

  const before = canvasBefore(session, node);
  const tools = html`<span role="group" aria-label=${E.tools} class="group">
      ${TOOLS.map(([name, letter]) => html`<${Button} key=${name} quiet icon=${name} hint=${E[name]} keys=${letter} pressed=${tool === name}
        onClick=${() => set({ tool: name })} />`)}</span>
    <label><span class="hidden">${E.color}</span><input type="color" value=${color} aria-label=${E.color} onInput=${(event) => paintWith(event.target.value)} /></label>
    <label class="size"><span>${E.size}</span><input type="range" min="1" max=${Math.round(width / 2)} value=${size} aria-label=${E.size}
      onInput=${(event) => resize(Number(event.target.value))} /></label>
    <${FileButton} quiet icon="image" label=${E.upload} accept="image/png,image/jpeg,image/webp" onFile=${(file) => attempt(async () => {
      const address = URL.createObjectURL(file);
      const laid = await picture(address);
      change((one) => one.lay(laid));
      URL.revokeObjectURL(address);
    })} />
    ${before && html`<${Button} quiet icon="undo" onClick=${() => attempt(async () => {
      const laid = await picture(at(before.canvas));
      change((one) => one.lay(laid));
    })}>${E.restore}<//>`}
    ${tool === "mask" && html`<${Button} quiet onClick=${() => change((one) => one.invertMask())}>${E.invertMask}<//>
      <${Button} quiet onClick=${() => change((one) => one.clearMask())}>${E.clearMask}<//>`}`;
  const percent = (value, whole) => `${(100 * value) / whole}%`;
  return html`<${Frame} history=${history} current=${() => layer.current.toDataURL()} other=${other} tools=${tools}>
    <div class="surface" style=${{ aspectRatio: `${width}/${height}` }}>
      <canvas ref=${canvas} width=${width} height=${height} class=${width <= 256 ? "crisp" : ""} tabindex="0" role="application" aria-label=${E.surface}
        onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} onKeyDown=${surfaceKeys} />
      <span class=${`cursor ${tool}`} style=${{ left: percent(cursor[0], width), top: percent(cursor[1], height), width: percent(size, width) }} />
    </div>
    ${tool === "mask" && html`<p class="soft">${E.maskHint}</p>`}
  <//>`;
}
