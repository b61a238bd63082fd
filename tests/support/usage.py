# SPDX-License-Identifier: GPL-3.0-or-later
"""The words that a test's script gets: --help and a missing one are answered with the script's own first lines."""
import argparse
import sys

_first = None


def arguments(*names):
    """The values of names in order: "BUILD" has to be there, "[FOLDER]" may be missing (None), "--skip" is whether it was
    given. The first call speaks for the script; modules that it imports get the first of its words."""
    global _first
    if _first is None:
        parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__,
                                         formatter_class=argparse.RawDescriptionHelpFormatter)
        for name in names:
            if name.startswith("--"):
                parser.add_argument(name, dest=name, action="store_true")
            else:
                parser.add_argument(name.strip("[]"), nargs="?" if name.startswith("[") else None)
        given = vars(parser.parse_args())
        _first = [given[name.strip("[]")] for name in names]
    return _first[:len(names)]
