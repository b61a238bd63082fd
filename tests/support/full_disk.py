# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk with little room, for subprocess: no file of the child grows beyond `most` bytes (EFBIG, "File too large")."""
import os
import resource
import signal


def room_for(most):
    """For preexec_fn."""
    def limit():
        os.environ["LLVM_PROFILE_FILE"] = os.devnull  # a build that counts its lines would say that it has no room for them
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # else it is ended
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    return limit
