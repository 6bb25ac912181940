"""A data set in a bucket: built there, killed, continued elsewhere, read by training.

Runs where s3fs and moto (with flask and flask-cors) are installed. They ask for an older python-dateutil than
is pinned, so they are no part of the development environment.
"""

import signal
import subprocess
import sys
import time

import pytest

from strokewise.data.build import Recipe, build
from strokewise.data.storage import MANIFEST
from strokewise.datasets.records import Shards
from strokewise.io.remote import RemoteFolder, local

pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")

N = 700  # three shards
CLI = "from strokewise.cli.main import main; main()"


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """An empty bucket of a server in this process; address and keys are in the environment."""
    import s3fs

    running = server.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    given = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    for name, value in {**given, "AWS_DEFAULT_REGION": "us-east-1", "XDG_CACHE_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("bucket")
    yield "s3://bucket/data"
    s3fs.S3FileSystem.clear_instance_cache()
    running.stop()


def begun(url, folder):
    """A build of the command in a folder of its own."""
    folder.mkdir()
    command = ["data", "build", "conflict", "--n", N, "--seed", 7, "--size", 64, "--out", url]
    return subprocess.Popen([sys.executable, "-c", CLI, *map(str, command)], cwd=folder)


def test_a_build_is_killed_and_continued_elsewhere_and_trained_on(bucket, tmp_path, tiny_tokenizer):
    build(Recipe("conflict", N, 7, 64), tmp_path / "plain")
    remote = RemoteFolder(bucket)
    process = begun(bucket, tmp_path / "one")
    while process.poll() is None and "part-00000.parquet" not in remote.names():
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert MANIFEST not in remote.names()
    assert begun(bucket, tmp_path / "two").wait() == 0
    there = {name: remote.read(name) for name in remote.names()}
    assert there == {path.name: path.read_bytes() for path in (tmp_path / "plain").iterdir()}
    source = Shards(str(local(bucket)), "process").open(tiny_tokenizer)
    assert source.size == N
    assert source.sample(N - 1).parts
