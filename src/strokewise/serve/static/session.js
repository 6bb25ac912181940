// A session as the page knows it: nodes, what is under way, and the events that change both. No requests, no HTML.

const TAGS = ["refine", "ins", "des"];

/** The parts of a message of which only the beginning may be written. */
export function partsOf(text) {
  const clean = text.replace(/<[^>]*$/, "");
  const first = clean.search(/<(refine|ins|des)>/);
  const found = { inspect: (first < 0 ? clean : clean.slice(0, first)).trim(), refine: null, ins: null, des: null };
  for (const tag of TAGS) {
    const match = clean.match(new RegExp(`<${tag}>([^<]*)`));
    if (match) found[tag] = match[1].trim();
  }
  return found;
}

/** An inspection in lines: what the canvas shows, then the checks of the plan, then those of the canvas, where it holds them. */
export const linesOf = (text) => text.split(/(?<=\.) (?=(?:prompt|plan): )/);

export const nodeOf = (session, id) => (id == null ? null : session.nodes.find((node) => node.id === id) || null);
export const childrenOf = (session, id) => session.nodes.filter((node) => node.parent === id);

/** The node whose canvas is being painted, where its words are there already. */
export function paintedNode(session) {
  const live = session.under_way;
  if (!live) return null;
  const head = nodeOf(session, session.head);
  if (head?.state === "written") return head;
  return null;
}

/** Whether a painting ended with this node's words: nothing can follow them, but another step may. */
export const isEnd = (node) => Boolean(node) && node.state === "finished" && !node.canvas;

/** The node itself or the nearest before it that has a canvas. */
export function canvasNode(session, id) {
  let node = nodeOf(session, id);
  while (node && !node.canvas) node = nodeOf(session, node.parent);
  return node;
}

/** The canvas before a node's own. */
export const canvasBefore = (session, node) => (node ? canvasNode(session, node.parent) : null);

/** The child whose words judge a node's canvas: the one on the way to the head, else the newest. */
export function judgeOf(session, node) {
  const children = childrenOf(session, node.id);
  const way = wayTo(session, session.head);
  return children.find((child) => way.includes(child.id)) || children.at(-1) || null;
}

/** Ids from the first step to a node. */
export function wayTo(session, id) {
  const way = [];
  for (let node = nodeOf(session, id); node; node = nodeOf(session, node.parent)) way.unshift(node.id);
  return way;
}

/** The ends of all branches that have a canvas. */
export function branchEnds(session) {
  const ends = session.nodes.filter((node) => !childrenOf(session, node.id).length);
  return [...new Set(ends.map((node) => canvasNode(session, node.id)?.id))].filter((id) => id != null);
}

/**
 * The later of what the page knows of a session and the server's answer about it: events may overtake an answer.
 * Event ids are "RUN.NUMBER", where RUN changes when the server is restarted.
 */
export function later(known, answer) {
  const [[run, seen], [other, answered]] = [known, answer].map((one) => one.event_id.split("."));
  return run === other && Number(seen) > Number(answered) ? known : answer;
}

function begin(session, event, changes) {
  const parent = nodeOf(session, session.head);
  const before = parent?.state === "written" ? parent.parent : session.head;
  const live = session.under_way || { parent: before, text: "", preview: null, flow_step: 0, num_steps: 0 };
  return { ...live, step: event.step, ...changes };
}

/** The session after an event; null once it is deleted. */
export function after(session, event) {
  const live = session?.under_way;
  switch (event.type) {
    case "snapshot":
      return event.session;
    case "state":
      return { ...event.session, nodes: session.nodes };
    case "node": {
      const nodes = session.nodes.filter((node) => node.id !== event.node.id);
      return { ...session, nodes: [...nodes, event.node].sort((a, b) => a.id - b.id) };
    }
    case "text_started":
      return { ...session, under_way: begin(session, event, { stage: event.stage, text: "", preview: null, flow_step: 0 }) };
    case "text_delta":
      return live ? { ...session, under_way: { ...live, text: live.text + event.text } } : session;
    case "text_finished":
      return live ? { ...session, under_way: { ...live, text: event.text } } : session;
    case "image_started":
      return {
        ...session,
        under_way: begin(session, event, { stage: event.stage, flow_step: 0, num_steps: event.num_steps, preview: null }),
      };
    case "image_preview":
      return live
        ? { ...session, under_way: { ...live, flow_step: event.flow_step, num_steps: event.num_steps, preview: event.png } }
        : session;
    case "image_finished":
      return live ? { ...session, under_way: { ...live, flow_step: live.num_steps, preview: event.png } } : session;
    case "finished":
      return { ...session, under_way: null };
    case "error":
      return { ...session, under_way: null, error: event.message };
    case "deleted":
      return null;
    default:
      return session;
  }
}

/**
 * Places of the nodes in the tree: {id: {column, row}}, the first child in its parent's row.
 * Column 0 is the prompt.
 */
export function places(session) {
  const found = new Map([[null, { column: 0, row: 0 }]]);
  let rows = 0;
  const visit = (id, row) => {
    childrenOf(session, id).forEach((child, index) => {
      const own = index ? (rows += 1) : row;
      found.set(child.id, { column: child.step + 1, row: own });
      visit(child.id, own);
    });
  };
  visit(null, 0);
  return found;
}
