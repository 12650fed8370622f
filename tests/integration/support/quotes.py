#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that manual pages quote the examples as they are: quotes.py MAN-FOLDER EXAMPLES-FOLDER.

A quotation is a block between .EX and .EE in the section EXAMPLES, after a paragraph that names a
file as examples/NAME.cc. Its text must stand in that file, in one piece; a line of three dots is
what is left out between two pieces.
"""

import pathlib
import re
import sys


def plain(line):
    """A line of a page as the reader sees it."""
    return re.sub(r"\\&", "", line).replace("\\-", "-").replace("\\e", "\\")


def quotations(text):
    """(line, file, quoted text) of the section EXAMPLES."""
    section, named, block = None, None, None
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith(".SH"):
            section, named = line[3:].strip().strip('"'), None
        elif section == "EXAMPLES" and block is None:
            found = re.search(r"examples/([\w/]+\.cc)", plain(line))
            named = found.group(1) if found else named
            if line == ".EX" and named:
                block, start = [], number
        elif line == ".EE" and block is not None:
            yield start, named, "\n".join(block)
            block, named = None, None
        elif block is not None:
            block.append(plain(line))


def stands_in(text, quoted):
    """Every piece, in order."""
    position = 0
    for piece in re.split(r"\n\s*\.\.\.\n", quoted):
        position = text.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return True


def main(pages, examples):
    faults, count = [], 0
    for page in sorted(pathlib.Path(pages).glob("*.[137]")):
        for number, name, text in quotations(page.read_text(encoding="utf-8")):
            count += 1
            path = pathlib.Path(examples) / name
            if not path.exists() or not stands_in(path.read_text(encoding="utf-8"), text):
                faults.append(f"{page}:{number}: this does not stand in {path}")
    print("\n".join(faults) or f"{count} quotations")
    return 1 if faults or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
