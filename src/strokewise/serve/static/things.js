// Correcting a canvas of the sprite world by its things: the recognizer finds them, a person drags, adds, recolors
// or erases them, the renderer draws the result. Both are the server's.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact-3.1.1.js";
import { api, at } from "./api.js";
import { attempt, pictureText } from "./actions.js";
import { Frame, useHistory } from "./editing.js";
import { nodeOf } from "./session.js";
import { Button } from "./parts.js";
import { state } from "./state.js";
import { T } from "./text.js";

const E = T.editor;
const UNIT = 1 / 128; // of the canvas: an arrow key's step
const FAR = 8; // units with Shift
const NEW_SIDE = 30 * UNIT; // the longer side of a thing that is added

const limit = (value, low, high) => Math.min(Math.max(value, low), high);

/** A box moved, kept on the canvas. */
function moved([x0, y0, x1, y1], dx, dy) {
  const x = limit(dx, -x0, 1 - x1), y = limit(dy, -y0, 1 - y1);
  return [x0 + x, y0 + y, x1 + x, y1 + y];
}

/** A box for a new thing around the middle of the emptiest of nine places. */
function freeBox(things, aspect) {
  const wide = NEW_SIDE * Math.min(1, aspect), high = NEW_SIDE / Math.max(1, aspect);
  const distance = ([x, y]) => Math.min(2, ...things.map(({ box }) => Math.hypot((box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y)));
  const spots = [0.5, 0.17, 0.83].flatMap((y) => [0.5, 0.17, 0.83].map((x) => [x, y]));
  const [x, y] = spots.reduce((best, spot) => (distance(spot) > distance(best) + 1e-6 ? spot : best));
  return moved([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], 0, 0);
}

/** A scene as the server draws it, as a data URL; undefined if it cannot. */
const drawn = (scene, size) => attempt(async () => {
  const things = scene.things.map(({ name, color, box }) => ({ name, color, box }));
  return `data:image/png;base64,${(await api.render(things, scene.background, size)).image}`;
});

/** The picture of a scene; while one is drawn only the newest next one waits. */
function useRendering(scene, size, first) {
  const [picture, show] = useState(first);
  const queue = useRef({ busy: false, next: null });
  useEffect(() => {
    if (!scene) return;
    const draw = async (wanted) => {
      queue.current.busy = true;
      const found = await drawn(wanted, size);
      queue.current.busy = false;
      if (found) show(found);
      const { next } = queue.current;
      queue.current.next = null;
      if (next) draw(next);
    };
    if (queue.current.busy) queue.current.next = scene;
    else draw(scene);
  }, [scene]);
  return picture;
}

export function ThingsEditor() {
  const { session, selected, world } = state;
  const node = nodeOf(session, selected);
  const history = useHistory(null);
  const [chosen, choose] = useState(null);
  const [unknown, setUnknown] = useState(0);
  const drag = useRef(null);
  const surface = useRef(null);
  const [size] = session.size;
  const scene = history.value;
  const base = state.base || at(node.canvas);
  const picture = useRendering(history.canUndo ? scene : null, size, null);

  useEffect(() => {
    attempt(async () => {
      const found = await api.recognize(await pictureText(base));
      setUnknown(found.unknown);
      const things = found.things.map(({ name, color, box }, key) => ({ key, name, color, box }));
      history.replaced({ things, background: found.background });
      setTimeout(() => surface.current?.querySelector(".thing")?.focus());
    });
  }, [node.id]);

  const withThings = (things) => ({ ...scene, things });
  const changed = (index, changes) => withThings(scene.things.map((thing, place) => (place === index ? { ...thing, ...changes } : thing)));
  const erase = (index) => {
    history.change(withThings(scene.things.filter((_, place) => place !== index)));
    choose(null);
  };
  const add = (name) => {
    const { aspect } = world.classes.find((one) => one.name === name);
    const key = Math.max(-1, ...scene.things.map((thing) => thing.key)) + 1;
    history.change(withThings([...scene.things, { key, name, color: null, box: freeBox(scene.things, aspect) }]));
    choose(scene.things.length);
  };

  const point = (event) => {
    const { left, top, width, height } = surface.current.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  };
  const onThing = (index) => ({
    onPointerDown: (event) => {
      choose(index);
      event.currentTarget.setPointerCapture(event.pointerId);
      drag.current = { from: point(event), box: scene.things[index].box, begun: false };
    },
    onPointerMove: (event) => {
      if (!drag.current) return;
      const [x, y] = point(event);
      const next = changed(index, { box: moved(drag.current.box, x - drag.current.from[0], y - drag.current.from[1]) });
      (drag.current.begun ? history.replaced : history.change)(next);
      drag.current.begun = true;
    },
    onPointerUp: () => {
      drag.current = null;
    },
    onKeyDown: (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      const by = UNIT * (event.shiftKey ? FAR : 1);
      if (way) history.change(changed(index, { box: moved(scene.things[index].box, by * way[0], by * way[1]) }));
      else if (event.key === "Delete" || event.key === "Backspace") erase(index);
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
  });

  if (!scene) return html`<p class="soft" role="status">${E.finding}</p>`;
  const current = scene.things[chosen];
  const tools = html`
    <label><span>${E.add}</span><select value="" aria-label=${E.add} onChange=${(event) => {
      if (event.target.value) add(event.target.value);
      event.target.value = "";
    }}>
      <option value="">${E.choose}</option>${world.classes.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
    <label><span>${E.background}</span><select value=${scene.background} onChange=${(event) => history.change({ ...scene, background: event.target.value })}>
      ${world.backgrounds.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>`;
  return html`<${Frame} history=${history} current=${() => drawn(scene, size)} tools=${tools}>
    <div class="surface" ref=${surface}>
      <img class=${size <= 256 ? "crisp" : ""} src=${(history.canUndo && picture) || base} alt=${E.title} draggable=${false} />
      ${scene.things.map((thing, index) => {
        const [x, y] = thing.box.map((value) => `${100 * value}%`);
        const [wide, high] = [thing.box[2] - thing.box[0], thing.box[3] - thing.box[1]].map((value) => `${100 * value}%`);
        return html`<button type="button" key=${thing.key} class=${`thing${index === chosen ? " chosen" : ""}`}
          aria-label=${E.thing(thing)} title=${`${E.thing(thing)}. ${E.thingHint}`} aria-pressed=${String(index === chosen)}
          style=${{ left: x, top: y, width: wide, height: high }} onFocus=${() => choose(index)} ...${onThing(index)} />`;
      })}
    </div>
    <div class="thing-bar">${current ? html`<strong>${E.thing(current)}</strong>
      <span class="colors" role="group" aria-label=${E.recolor}>
        <${Button} quiet pressed=${current.color === null} onClick=${() => history.change(changed(chosen, { color: null }))}>${E.natural}<//>
        ${world.colors.map(({ name, hex }) => html`<button type="button" key=${name} class="swatch" title=${name} aria-label=${name}
          aria-pressed=${String(current.color === name)} style=${{ background: hex }} onClick=${() => history.change(changed(chosen, { color: name }))} />`)}</span>
      <${Button} icon="bin" danger keys="Delete" onClick=${() => erase(chosen)}>${E.remove}<//>`
      : html`<span class="soft">${scene.things.length ? E.thingHint : E.noThings}</span>`}</div>
    ${unknown > 0 && html`<p class="refusal">${E.unknown(unknown)}</p>`}
  <//>`;
}
