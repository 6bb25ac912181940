"""A process that has imported everything, and forks itself for each command it is sent (run by the tests).

So a job begins at once, and is killed somewhere in its work and not mostly in its imports. For each line of
arguments, a JSON list, it prints the id of the new process, then its exit status.
"""

import json
import os
import sys

import pyarrow.parquet  # noqa: F401
import torch

import strokewise.data.build
import strokewise.evals.generate
import strokewise.inference.painter
import strokewise.recipes.registry
import strokewise.train.export
import strokewise.train.trainer  # noqa: F401
from strokewise.cli.main import main


def work(arguments):
    """Run a command; what it prints goes to the file ``log``."""
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1), os.dup2(log, 2)
    sys.argv = ["strokewise", *arguments]
    status = 1
    try:
        main()
    except SystemExit as ended:
        status = ended.code or 0
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)


torch.set_num_threads(1)
print("ready", flush=True)
for line in sys.stdin:
    if not (child := os.fork()):
        work(json.loads(line))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
