// The events of one session, rejoined after every loss. Knows EventSource; refuses to know what events mean.

const TYPES = [
  "snapshot", "state", "node", "text_started", "text_delta", "text_finished", "image_started", "image_preview",
  "image_finished", "finished", "error", "deleted",
];
const FIRST_WAIT = 500, LONGEST_WAIT = 8000; // milliseconds between tries

/**
 * Listen to a session.
 *
 * @param address (last event id) => URL
 * @param hear (event, id) for every event
 * @param joined (whether) when the connection is found or lost
 * @returns a function that ends it
 */
export function listen(address, hear, joined) {
  let source = null, last = "", wait = FIRST_WAIT, timer = null, ended = false;

  const open = () => {
    source = new EventSource(address(last));
    source.onopen = () => {
      wait = FIRST_WAIT;
      joined(true);
    };
    source.onerror = (error) => {
      if (error instanceof MessageEvent) return; // an event of the painting that is named "error"
      source.close();
      joined(false);
      if (ended) return;
      timer = setTimeout(open, wait);
      wait = Math.min(2 * wait, LONGEST_WAIT);
    };
    for (const type of TYPES) {
      source.addEventListener(type, (message) => {
        if (!(message instanceof MessageEvent) || ended) return;
        last = message.lastEventId || last;
        hear(JSON.parse(message.data).event, last);
      });
    }
  };

  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    source.close();
  };
}
