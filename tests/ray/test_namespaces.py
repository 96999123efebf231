"""A cluster of two machines, as far as the network is concerned, and the cable between them that is pulled."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ray.scripts import coordinator
from tests.ray_cluster import HEALTH_CHECKS, OBJECT_STORE_BYTES, import_ray
from tests.support import wait_until

import rivers as rs

HERE, THERE = "10.213.77.1", "10.213.77.2"
PORT = 6399
ROOT = Path(__file__).parent.parent.parent


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)


class Namespaces:
    """Two network namespaces that a pair of virtual devices connects.

    Attributes:
        here: The name of the first, with the address `HERE`.
        there: The name of the second, with the address `THERE`.
    """

    def __init__(self):
        self.here, self.there = (f"rivers-{os.getpid()}-{number}" for number in (1, 2))
        self._started = []

    def make(self):
        for name in (self.here, self.there):
            ip("netns", "add", name)
        ip("link", "add", "cable", "netns", self.here, "type", "veth",
           "peer", "name", "cable", "netns", self.there)  # fmt: skip
        for name, address in ((self.here, HERE), (self.there, THERE)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                ip("-n", name, "link", "set", device, "up")

    def start(self, name, *command, **options):
        """Starts a command, with all that it starts, in a namespace."""
        inside = ["ip", "netns", "exec", name, *map(str, command)]
        process = subprocess.Popen(inside, start_new_session=True, **options)
        self._started.append(process)
        return process

    def pull_the_cable(self):
        ip("-n", self.there, "link", "set", "cable", "down")

    def close(self):
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for name in (self.here, self.there):
            inside = subprocess.run(
                ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
            )
            for process in map(int, inside.stdout.split()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@pytest.fixture
def namespaces():
    """Two connected network namespaces, where this process may make some."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the command ip")
    made = Namespaces()
    try:
        try:
            made.make()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
        yield made
    finally:
        made.close()


@pytest.mark.timeout(180)
def test_what_a_node_behind_a_pulled_cable_had_is_executed_here(namespaces, notes, tmp_path):
    import_ray()
    ray = shutil.which("ray", path=Path(sys.executable).parent)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        # Programs that meet over a network need the same one; Ray makes one for those of a session.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
    }
    folder = Path("/tmp", namespaces.here)  # A path that is short enough for Ray's sockets.
    out = (tmp_path / "out").open("w")
    options = {"env": environment, "stdout": out, "stderr": subprocess.STDOUT}
    node = ["--num-cpus=1", f"--object-store-memory={OBJECT_STORE_BYTES}", "--block"]
    head = ["--head", f"--port={PORT}", f"--node-ip-address={HERE}", f"--temp-dir={folder}",
            "--include-dashboard=false", f"--system-config={json.dumps(HEALTH_CHECKS)}"]  # fmt: skip
    address = f"{HERE}:{PORT}"
    storage = rs.Storage.embedded(tmp_path / "rivers.db")
    client = rs.BackfillClient(storage)
    try:
        namespaces.start(namespaces.here, ray, "start", *head, *node, **options)
        started = lambda: (tmp_path / "out").read_text().count("Ray runtime started.")  # noqa: E731
        wait_until(lambda: started() == 1)
        joins = [f"--address={address}", f"--node-ip-address={THERE}"]
        namespaces.start(namespaces.there, ray, "start", *joins, *node, **options)
        wait_until(lambda: started() == 2)
        (hold := notes.path.with_name("hold")).touch()
        command = [sys.executable, coordinator.__file__, storage.path, notes.path, address]
        process = namespaces.start(namespaces.here, *command, **options)
        wait_until(lambda: {line[1] for line in notes.lines()} == {HERE, THERE})
        (view,) = client.list_views()
        wait_until(lambda: str(client.get_view(view.backfill_id).workers) == "2 on 2 nodes")
        namespaces.pull_the_cable()
        hold.unlink()
        assert process.wait(90) == 0
    finally:
        print((tmp_path / "out").read_text())
        out.close()
        shutil.rmtree(folder, ignore_errors=True)
    table = client.backfill_partitions(view.backfill_id)
    assert table["status"].to_list() == ["completed"] * coordinator.COUNT
    called = {place: {key for key, own in notes.lines() if own == place} for place in (HERE, THERE)}
    assert called[HERE] & called[THERE], "nothing was lost"
    assert len(called[HERE] | called[THERE]) == coordinator.COUNT
