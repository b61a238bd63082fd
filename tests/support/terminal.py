# SPDX-License-Identifier: GPL-3.0-or-later
"""A command on a terminal of its own: begun, read, ended."""
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

LONG_S = 300  # a loaded machine is slow, not wrong


def size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def begin(command, rows, columns, **environment):
    """Its process id, and the end of the terminal that a person would be at."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", **environment)
        os.execv(command[0], command)
    size(fd, rows, columns)
    return pid, fd


def read(fd, word, seconds=LONG_S):
    """What it has written once `word`, a pattern, is in it; or after so long, or at its end."""
    out, end = "", time.monotonic() + seconds
    while not re.search(word, out) and time.monotonic() < end:
        if select.select([fd], [], [], 1)[0]:
            try:
                out += os.read(fd, 65536).decode(errors="replace")
            except OSError:
                break
    return out


def plain(text):
    """What stands on the screen: text without its escape sequences, lines ended by a newline alone."""
    return re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


def finish(pid, fd):
    """Takes what it still writes until it has ended; its exit code."""
    try:
        while os.read(fd, 65536):
            pass
    except OSError:  # how a terminal says that nobody is left at the other end
        pass
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
