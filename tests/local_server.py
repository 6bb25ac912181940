"""Servers of this process that tests speak to over a socket."""

import threading
from contextlib import contextmanager


@contextmanager
def running(server):
    """A server whose requests are answered in a thread, until the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
