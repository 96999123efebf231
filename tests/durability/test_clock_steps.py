"""The machine's clock is set forwards or back by an hour while backfills run."""

import shutil
import subprocess

import pytest

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long step(void) {
    char text[32] = {0};
    const char *path = getenv("CLOCK_STEP");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
    return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (clock == CLOCK_REALTIME) time->tv_sec += step();
    return result;
}
"""

PROGRAM = """
step = int(sys.argv[2])

def set_clock():
    (folder / "step").write_text(str(step))

tries = []

@rs.Asset(
    partitions_def=rs.PartitionsDefinition.static_([str(n) for n in range(40)]),
    retry=rs.RetryPolicy(max_retries=1, backoff=rs.Backoff.constant(0.3)),
)
def work(context):
    if context.partition_key == "0" and not tries:
        tries.append(1)
        before = time.time()
        set_clock()
        assert abs(time.time() - before - step) < 60  # The step reaches this process.
        raise ValueError("once")
    time.sleep(0.01)

def main():
    repo = rs.CodeRepository([work], default_executor=EXECUTOR).resolve(
        rs.Storage.embedded(folder / "rivers.db")
    )
    began = time.monotonic()
    result = repo.backfill(partition_range=rs.PartitionKeyRange.single("0", "39"), max_concurrency=2)
    assert (result.status, result.completed) == ("completed", 40), result
    runs = repo.backfill_runs(result.backfill_id)
    durations = [took.total_seconds() for took in runs["duration"]]
    assert 0 <= min(durations) and max(durations) < 60, durations
    # A request of another process.
    held = repo.backfill(partition_range=rs.PartitionKeyRange.single("0", "39"), block=False, max_concurrency=1)
    repo.pause_backfill(held.backfill_id)
    (folder / "step").write_text(str(-step))
    note(held.backfill_id)
    status = repo.wait_backfill(held.backfill_id, timeout=40)
    assert status.status == "canceled", status
    assert time.monotonic() - began < 60
    print("ok")

EXECUTOR = rs.Executor.in_process()
main()
"""

CANCEL = """
repo = rs.CodeRepository([]).resolve(rs.Storage.embedded(folder / "rivers.db"))
repo.cancel_backfill(sys.argv[2])
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no compiler")
@pytest.mark.parametrize("step", [3600, -3600])
def test_a_step_of_the_clock_delays_nothing(processes, tmp_path, monkeypatch, step):
    (tmp_path / "shim.c").write_text(SHIM)
    command = ["gcc", "-shared", "-fPIC", "-O1", "-o", "shim.so", "shim.c", "-ldl"]
    subprocess.run(command, cwd=tmp_path, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "shim.so"))
    monkeypatch.setenv("CLOCK_STEP", str(tmp_path / "step"))
    process = processes.start(PROGRAM, step)
    processes.wait_for_notes(1)
    processes.end(processes.start(CANCEL, processes.notes()[0]))
    assert processes.end(process) == "ok"
