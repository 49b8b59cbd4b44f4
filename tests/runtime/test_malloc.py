"""glibc's malloc is tuned by programs when they start, and by nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cnnviz
from cnnviz.runtime.malloc import trim_malloc

ROOT = Path(cnnviz.__file__).parent

REPORT = """
import ctypes, re, tempfile, threading
{tune}
libc = ctypes.CDLL(None)
if not hasattr(libc, "malloc_info"):
    raise SystemExit("no glibc")
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.fopen.restype = ctypes.c_void_p
libc.fclose.argtypes = [ctypes.c_void_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
def arenas_and_mapped():
    with tempfile.NamedTemporaryFile("r") as file:
        stream = libc.fopen(file.name.encode(), b"w")
        libc.malloc_info(0, stream)
        libc.fclose(stream)
        info = file.read()
    return info.count("<heap nr="), int(re.search(r'type="mmap" count="(\\d+)"', info)[1])
both = threading.Barrier(2)
def allocate():
    both.wait()
    libc.malloc(20 << 20)
    libc.malloc(1000)
    both.wait()
_, before = arenas_and_mapped()
threads = [threading.Thread(target=allocate) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
arenas, after = arenas_and_mapped()
print(arenas, after - before)
"""


def arenas_and_mapped_blocks(tune: str) -> tuple[int, int]:
    """In a process of its own, in which two threads have allocated 20 MiB each."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(tune=tune)], capture_output=True, text=True, timeout=240, check=False
    )
    if "no glibc" in done.stderr or sys.platform != "linux":
        pytest.skip("malloc is not glibc's")
    assert done.returncode == 0, done.stderr
    arenas, mapped = map(int, done.stdout.split())
    return arenas, mapped


@pytest.mark.needs("posix")
def test_threads_share_an_arena_that_large_blocks_come_from_too():
    plain = arenas_and_mapped_blocks("")
    tuned = arenas_and_mapped_blocks("from cnnviz.runtime.malloc import tune_malloc; tune_malloc()")
    assert tuned[0] == 1 < plain[0]
    assert tuned[1] == 0 < plain[1]


def test_trimming_is_safe_anywhere():
    trim_malloc()


def test_only_programs_tune_malloc():
    callers = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and any(alias.name == "tune_malloc" for alias in node.names)
    }
    assert callers <= {"cli/__init__.py", "runtime/executors/ray.py"}
