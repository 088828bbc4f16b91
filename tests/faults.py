"""What goes wrong with disks, brought about in a process of the command line before it begins."""

import ctypes
import os
import resource
import signal


def small_files(size: int) -> None:
    """No file can grow beyond `size` bytes: as on a full disk, each write fails in the middle."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def without_privileges() -> None:
    """Root may write to folders that are read-only; after this it may not (Linux)."""
    if os.geteuid() == 0:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # the third version of capset's structure, this process
        if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
            raise OSError(ctypes.get_errno(), "capset")
