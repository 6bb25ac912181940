// The server's answers. Knows addresses and errors; refuses to know what the page does with them.

import { T } from "./text.js";

/** What a request failed of: `code` as in the API, or "unreachable". */
export class ApiError extends Error {
  constructor(message, { status = 0, code = "unreachable", param = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, code, param, retryAfter });
  }
}

/** An address of the server relative to the page, so that a proxy may put both below a path. */
export const at = (url) => (url ? url.replace(/^\//, "") : url);

async function request(method, path, { json, form, headers = {} } = {}) {
  let answer;
  try {
    answer = await fetch(at(path), {
      method,
      headers: json === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: json === undefined ? form : JSON.stringify(json),
    });
  } catch {
    throw new ApiError(T.offline);
  }
  if (answer.ok) return answer;
  const found = await answer.json().then((body) => body.error, () => null);
  throw new ApiError(found?.message || T.unexpected(answer.status), {
    status: answer.status,
    code: found?.code || "unknown",
    param: found?.param,
    retryAfter: Number(answer.headers.get("Retry-After")) || null,
  });
}

const value = async (...args) => {
  const answer = await request(...args);
  return answer.status === 204 ? null : answer.json();
};
const post = (path, json = {}, headers = {}) => value("POST", path, { json, headers });
// randomUUID is missing where the page is served without TLS to another machine.
const random = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join("");
/** A header by which the server tells a repetition from a second wish. */
export const once = () => ({ "Idempotency-Key": random() });

const of = (id, rest = "") => `v1/sessions/${encodeURIComponent(id)}${rest}`;
const node = (id, number, rest = "") => of(id, `/nodes/${number}${rest}`);

export const api = {
  server: () => value("GET", "v1/server"),
  login: (key) => post("v1/login", { key }),
  world: () => value("GET", "v1/world"),
  readPrompt: (prompt, editing) => post("v1/world/prompt", { prompt, editing }),
  recognize: (image) => post("v1/world/recognize", { image }),
  render: (things, background, size) => post("v1/world/render", { things, background, size }),

  sessions: (query) => value("GET", `v1/sessions?${new URLSearchParams(query)}`),
  create: (body, key) => post("v1/sessions", body, key),
  session: (id) => value("GET", of(id)),
  rename: (id, changes) => value("PATCH", of(id), { json: changes }),
  remove: (id) => value("DELETE", of(id)),
  pause: (id) => post(of(id, "/pause")),
  cancel: (id) => post(of(id, "/cancel")),
  continue: (id, body) => post(of(id, "/continue"), body),
  edit: (id, number, body) => post(node(id, number, "/edit"), body, once()),
  mark: (id, number, changes) => value("PATCH", node(id, number), { json: changes }),
  copy: (id, number) => post(of(id, "/copy"), { node: number }, once()),
  record: (id, number, body) => post(node(id, number, "/record"), body),
  import: (file) => {
    const form = new FormData();
    form.append("file", file);
    return value("POST", "v1/sessions/import", { form, headers: once() });
  },

  records: () => value("GET", "v1/records"),
  removeRecord: (id) => value("DELETE", `v1/records/${encodeURIComponent(id)}`),
  recordsUrl: "v1/records/export",

  eventsUrl: (id, last) => of(id, "/events") + (last ? `?last_event_id=${encodeURIComponent(last)}` : ""),
  differenceUrl: (id, a, b) => of(id, `/difference?a=${a}&b=${b}`),
  exportUrl: (id, format, number) => of(id, `/export?format=${format}${number == null ? "" : `&node=${number}`}`),
  iconUrl: (name, color) => `v1/world/icons/${encodeURIComponent(name)}.png?size=64${color ? `&color=${color}` : ""}`,
};
