"""Real processes of ours that begin at once, because they are forked from one that has imported everything.

They are what ``subprocess.Popen`` gives: processes with their own streams, groups, signals and ends. That a
process begins from nothing is what ``tests/test_cli.py`` and a few others test.
"""

import json
import os
import select
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

SCRIPT = Path(__file__).with_name("forking.py")


class Forks:
    """The process that forks; it is begun when it is first needed."""

    def __init__(self):
        self._connection = self._process = None

    def start(self, *command, **options):
        """Start ``python COMMAND``, a script or ``-m`` and a module: a ``Forked``."""
        if self._process is None:
            self._connection, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with other:
                self._process = subprocess.Popen(
                    [sys.executable, str(SCRIPT), str(other.fileno())],
                    pass_fds=[other.fileno()],
                    env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
                )
        return Forked(self._connection, command, **options)

    def run(self, *command, timeout=300, **options):
        """Run it to its end: what ``subprocess.run`` gives."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process = self.start(*command, **options)
        out, err = process.communicate(timeout)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def close(self):
        """End the process that forks; what it forked goes on."""
        if self._process is not None:
            self._connection.close()
            self._process.wait(60)


class Forked:
    """A process that was forked, used as a ``subprocess.Popen``."""

    def __init__(
        self,
        connection,
        command,
        *,
        cwd=None,
        env=None,
        stdout=None,
        stderr=None,
        text=False,
        start_new_session=False,
        file_size=None,
    ):
        wanted = {
            "command": [*map(str, command)],
            "cwd": str(cwd or Path.cwd()),
            "env": {**os.environ, **(env or {})},
            "start_new_session": start_new_session,
            "file_size": file_size,
        }
        self.returncode = None
        with open(os.devnull) as nothing:
            self.stdout, out = _stream(stdout, 1, text)
            self.stderr, err = (None, out) if stderr == subprocess.STDOUT else _stream(stderr, 2, text)
            told, tells = os.pipe()
            given = [nothing.fileno(), out, err, tells]
            socket.send_fds(connection, [json.dumps(wanted).encode()], given)
        for descriptor in {out, err, tells}:
            os.close(descriptor)
        self._told = open(told, "rb", buffering=0)  # noqa: SIM115
        self.pid = int(self._told.readline())

    def poll(self):
        """The exit status, or None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout=None):
        """Its exit status, as soon as it has ended."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a forked process", timeout)
            with self._told:
                self.returncode = int(self._told.readline())
        return self.returncode

    def communicate(self, timeout=None):
        """What it and its children write until they have ended."""
        with ThreadPoolExecutor(2) as pool:
            streams = [stream and pool.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            found = tuple(stream and stream.result() for stream in streams)
        for stream in (self.stdout, self.stderr):
            if stream:
                stream.close()
        return found

    def send_signal(self, number):
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """End it at once."""
        self.send_signal(SIGKILL)


def _stream(wanted, inherited, text):
    """What is read here, if anything is, and a descriptor of what is written there."""
    if wanted == subprocess.PIPE:
        ours, theirs = os.pipe()
        return open(ours, "r" if text else "rb"), theirs
    if wanted == subprocess.DEVNULL:
        return None, os.open(os.devnull, os.O_WRONLY)
    if wanted is None:
        return None, os.dup(inherited)
    return None, os.dup(wanted if isinstance(wanted, int) else wanted.fileno())
