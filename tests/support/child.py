# SPDX-License-Identifier: GPL-3.0-or-later
"""Children that end with whoever started them: a benchmark that is killed leaves no daemon and no busy loop behind."""
import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1


def bound(then=None):
    """For Popen's preexec_fn, in a thread that lives as long as the child is to: SIGKILL for the child when that
    thread ends, however it does. then: called in the child afterwards."""
    parent, libc = os.getpid(), ctypes.CDLL(None, use_errno=True)

    def run():
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        if os.getppid() != parent:  # it ended in between
            os._exit(1)
        if then:
            then()

    return run
