// Small pieces every part of the page is made of: buttons, icons, dialogs.

import { html, useEffect, useRef } from "./vendor/htm-preact-3.1.1.js";
import { T } from "./text.js";

const PATHS = {
  plus: "M12 5v14M5 12h14",
  pause: "M8 5v14M16 5v14",
  play: "M7 4l13 8-13 8z",
  step: "M5 5l9 7-9 7zM18 5v14",
  canvas: "M4 5h16v14H4zM4 15l5-4 4 3 3-2 4 3",
  x: "M6 6l12 12M18 6L6 18",
  undo: "M9 14L4 9l5-5M4 9h10a6 6 0 010 12h-3",
  redo: "M15 14l5-5-5-5M20 9H10a6 6 0 000 12h3",
  star: "M12 3l2.7 5.8 6.3.8-4.6 4.3 1.2 6.2L12 17l-5.6 3.1 1.2-6.2L3 9.6l6.3-.8z",
  pen: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  dice: "M6 3.5h12a2.5 2.5 0 012.5 2.5v12a2.5 2.5 0 01-2.5 2.5H6A2.5 2.5 0 013.5 18V6A2.5 2.5 0 016 3.5zM8.5 8.5v.01M15.5 8.5v.01M12 12v.01M8.5 15.5v.01M15.5 15.5v.01",
  menu: "M4 6h16M4 12h16M4 18h16",
  compare: "M12 3v18M4 6h5v12H4M20 6h-5v12h5",
  difference: "M9 9m-5 0a5 5 0 1010 0 5 5 0 10-10 0M15 15m-5 0a5 5 0 1010 0 5 5 0 10-10 0",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  save: "M12 4v11M7 11l5 5 5-5M5 20h14",
  open: "M12 16V5M7 9l5-5 5 5M5 20h14",
  keys: "M3 7h18v11H3zM7 11h.01M11 11h.01M15 11h.01M8 15h8",
  sun: "M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M5 19l1.4-1.4M17.6 6.4L19 5",
  moon: "M20 14A8 8 0 1110 4a6.5 6.5 0 0010 10z",
  half: "M12 3a9 9 0 100 18 9 9 0 000-18zM12 3v18M12 7h4.5M12 12h9M12 17h5",
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  book: "M5 4h10a4 4 0 014 4v12H9a4 4 0 01-4-4zM9 9h6M9 13h6",
  recall: "M4 12a8 8 0 108-8 8 8 0 00-6 3M4 3v5h5M12 8v5l3 2",
  copy: "M8 8h12v12H8zM4 16V4h12",
  check: "M5 13l4 4L19 7",
  image: "M4 5h16v14H4zM9 10h.01M4 17l6-5 4 3 2-2 4 4",
  brush: "M20 4c-6 3-9 6-11 10l2 2c4-2 7-5 9-12zM8 15c-3 0-3 3-5 4 3 2 8 1 8-1z",
  eraser: "M8 19h11M4 14l9-9 7 7-7 7H8z",
  mask: "M4 4h4M12 4h4M20 4v4M20 12v4M20 20h-4M12 20H8M4 20v-4M4 12V8",
  pick: "M4 20l1-4 9-9 3 3-9 9zM13 6l5 5M16 3l5 5-3 3-5-5z",
  move: "M12 3v18M3 12h18M9 6l3-3 3 3M9 18l3 3 3-3M6 9l-3 3 3 3M18 9l3 3-3 3",
  swap: "M4 8h15M15 4l4 4-4 4M20 16H5M9 12l-4 4 4 4",
};

export const Icon = ({ name, filled }) => html`<svg class=${`icon${filled ? " filled" : ""}`} viewBox="0 0 24 24"
  aria-hidden="true"><path d=${PATHS[name]} /></svg>`;

/** A key as it is named on this machine. */
export const keyName = (keys) => keys.replaceAll("Mod", /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl");

/** A button with an icon, a word, or both; `hint` is its description. */
export function Button({ icon, filled, children, hint, keys, quiet, primary, danger, pressed, class: extra = "", ...rest }) {
  const title = [hint, keys && `(${keyName(keys)})`].filter(Boolean).join(" ");
  const name = children ? undefined : hint;
  const looks = ["button", quiet && "quiet", primary && "primary", danger && "danger", !children && "bare", extra];
  return html`<button type="button" class=${looks.filter(Boolean).join(" ")} title=${title || undefined} aria-label=${name}
    aria-pressed=${pressed === undefined ? undefined : String(Boolean(pressed))} ...${rest}>
    ${icon && html`<${Icon} name=${icon} filled=${filled} />`}${children && html`<span>${children}</span>`}</button>`;
}

/** A window over the page; Escape closes it and the focus returns to where it was. */
export function Dialog({ title, close, children, wide }) {
  const element = useRef(null);
  useEffect(() => {
    const { current } = element;
    current.showModal();
    return () => current.close();
  }, []);
  return html`<dialog ref=${element} class=${wide ? "wide" : ""} aria-label=${title} onCancel=${(event) => {
    event.preventDefault();
    close();
  }} onClick=${(event) => event.target === element.current && close()}>
    <header><h2>${title}</h2><${Button} icon="x" quiet hint=${T.close} onClick=${close} /></header>
    ${children}
  </dialog>`;
}

/** A button that opens a file. */
export function FileButton({ icon, label, accept, onFile, quiet }) {
  const input = useRef(null);
  return html`<${Button} icon=${icon} quiet=${quiet} onClick=${() => input.current.click()}>${label}<//>
    <input ref=${input} type="file" class="hidden" accept=${accept} aria-label=${label} tabindex="-1" onChange=${(event) => {
      const [file] = event.target.files;
      event.target.value = "";
      if (file) onFile(file);
    }} />`;
}
