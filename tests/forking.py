"""A process that has imported what commands import, and forks itself for each that is asked for.

Run by ``tests.forked``. Each message of the socket that it inherits is one command: what would follow
``python``, its folder, environment and limits, and four descriptors, of its standard streams and of where its
process id and exit status are told.
"""

import atexit
import importlib
import json
import os
import resource
import runpy
import socket
import sys
import threading
import traceback
from contextlib import suppress
from functools import partial

PRELOADED = (
    "pyarrow.parquet",
    "torch",
    "torch._dynamo",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "strokewise.cli.main",
    "strokewise.data.build",
    "strokewise.evals.generate",
    "strokewise.inference.painter",
    "strokewise.models.bagel",
    "strokewise.recipes.registry",
    "strokewise.serve.server",
    "strokewise.train.export",
    "strokewise.train.trainer",
)


def main():
    """Fork until nobody is at the other end of the socket; what was forked carries on alone."""
    for name in PRELOADED:
        importlib.import_module(name)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        while True:
            message, descriptors, *_ = socket.recv_fds(connection, 1 << 20, 4)
            if not message:
                break
            if os.fork() == 0:
                connection.close()
                keep(json.loads(message), *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def keep(wanted, *descriptors):
    """Be the parent of a process to its end, and tell its exit status."""
    *streams, told = descriptors
    if (process := os.fork()) == 0:
        if wanted["start_new_session"]:
            os.setsid()
        os.write(told, b"%d\n" % os.getpid())
        os.close(told)
        begin(wanted, streams)
    for stream in (0, 1, 2, *streams):
        os.close(stream)
    os.write(told, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
    os._exit(0)


def begin(wanted, streams):
    """Become what ``python`` would be in this folder and environment with these arguments and streams."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["env"])
    encoding = os.environ.get("PYTHONIOENCODING")
    sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding, "backslashreplace", closefd=False)  # noqa: SIM115
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if wanted["file_size"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (wanted["file_size"],) * 2)
    first, *sys.argv = wanted["command"]
    if first == "-m":
        sys.path[0] = os.getcwd()
        run = partial(runpy.run_module, sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv.insert(0, first)
        sys.path[0] = os.path.dirname(first)
        run = partial(runpy.run_path, first, run_name="__main__")
    end(run)


def end(run):
    """Run it and exit as Python does, but for taking the interpreter apart, which would take a second."""
    status = 0
    try:
        run()
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    with suppress(OSError):
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush(), sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
