"""A machine clock that tests set forwards or back, for the processes that they start."""

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

needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no compiler")


def preload(folder, monkeypatch):
    """Has the clock of processes that are started stepped by as many seconds as a file in the folder says."""
    (folder / "shim.c").write_text(SHIM)
    command = ["gcc", "-shared", "-fPIC", "-O1", "-o", "shim.so", "shim.c", "-ldl"]
    subprocess.run(command, cwd=folder, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(folder / "shim.so"))
    monkeypatch.setenv("CLOCK_STEP", str(folder / "step"))
