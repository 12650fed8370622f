#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""The style sheet as a program: make tidy.

    tests/tidy/tidy.py [--root DIR] [CHECK]...

Runs every check (or those named) over the tree, prints FILE:LINE: CHECK: what. What to do., then
one line of counts in which a check counts as one test. A line, function or file that breaks a rule
for a good reason says so in a comment: tidy:allow CHECK: REASON, on the line or just above it (for
whole files, within the first 60 lines).

Each check is a generator over the tree that yields (source, line, what, what to do). They are
grouped by what they need to know: the text, the code, another program, or the names in code and
manual. tidy_test.py breaks every rule once and sees that it is caught.
"""

import argparse
import functools
import pathlib
import sys

import code_checks
import name_checks
import text_checks
import tool_checks
from source import Source, walk

CHECKS = {**text_checks.CHECKS, **code_checks.CHECKS, **tool_checks.CHECKS, **name_checks.CHECKS}


class Tree:
    """The files that somebody wrote, below the root."""

    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.home = pathlib.Path(__file__).resolve().parent

    @functools.cached_property
    def sources(self):
        return [Source(self.root, path) for path in walk(self.root)]

    def man_pages(self, *sections):
        sections = sections or ("1", "3", "7")
        return [s for s in self.sources if s.is_in("man") and s.suffix.lstrip(".") in sections]


def findings(tree, name):
    """What a check has to say, one line for each."""
    for source, line, what, instead in CHECKS[name](tree):
        where = f"{source.path}:{line}" if source else "."
        yield f"{where}: {name}: {what}. {instead[:1].upper()}{instead[1:]}."


def main():
    parser = argparse.ArgumentParser(description="checks the style sheet")
    parser.add_argument("--root", default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=", ".join(CHECKS))
    chosen = parser.parse_args()
    unknown = [name for name in chosen.checks if name not in CHECKS]
    if unknown:
        parser.error(f"no such check: {', '.join(unknown)}; there are {', '.join(CHECKS)}")

    tree = Tree(chosen.root)
    passed = failed = 0
    for name in chosen.checks or CHECKS:
        lines = list(findings(tree, name))
        print("".join(line + "\n" for line in lines), end="")
        passed += not lines
        failed += bool(lines)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
