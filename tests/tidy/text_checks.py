# SPDX-License-Identifier: MIT
"""Checks that read a file as text: licence, essay, length, columns, white space, banned words.

Each is a generator over the tree; see tidy.py. Which words are banned, where, and what to write
instead is in banned.txt: a new rule of that kind needs no line here.
"""

import re

from source import CPP

SCRIPT_SUFFIXES = {".py", ".sh"}
OTHER_SUFFIXES = {".map", ".in", ".md", ".txt", ".bt", ".mk", ".cmake", ".1", ".3", ".7"}
COLUMNS = 100
ESSAY_FROM = 60  # lines; a file that is longer opens with an essay
ESSAY_LINES = 3

# The longest that a file of a folder may be; the first that fits counts.
LIMITS = [
    ("include/rt/detail", 500),
    ("include", 300),
    ("src", 500),
    ("arch", 500),
    ("examples", 500),
    ("tests", 500),
    ("perf", 500),
    ("Makefile", 250),
    ("configure", 400),
]


def is_script(source):
    return source.suffix in SCRIPT_SUFFIXES or source.text.startswith("#!")


def is_text(source):
    named = source.path in ("Makefile", "configure", ".clang-format", ".gitignore")
    return named or is_script(source) or source.suffix in CPP | OTHER_SUFFIXES


def spdx(tree):
    for source in tree.sources:
        first = source.lines[:2] if source.text.startswith("#!") else source.lines[:1]
        if is_text(source) and not any("SPDX-License-Identifier: MIT" in line for line in first):
            yield source, 1, "no licence line", "put SPDX-License-Identifier: MIT on the first line"


def essay(tree):
    for source in tree.sources:
        if not (source.suffix in CPP or is_script(source)) or len(source.lines) <= ESSAY_FROM:
            continue
        # A test file's subject is the file that it is named after; its tests say what they show.
        is_test = source.path.rsplit(".", 1)[0].endswith("_test")
        if is_test or source.is_allowed("essay", 1, ESSAY_FROM):
            continue
        if longest_comment(source.lines[:ESSAY_FROM]) < ESSAY_LINES:
            yield (
                source,
                1,
                f"{len(source.lines)} lines without an essay",
                "open with what this is, who uses it from which thread, the invariants",
            )


COMMENT = re.compile(r"\s*(//|#(?!\s*(include|pragma|if|define)))")


def longest_comment(lines):
    """The number of lines with words in the longest comment of these lines."""
    longest = current = 0
    in_docstring = False
    for line in lines:
        quotes = line.count('"""')
        is_comment = in_docstring or quotes or COMMENT.match(line)
        in_docstring ^= quotes % 2 == 1
        if not is_comment:
            current = 0
        elif re.search(r"\w{2,}", line) and "SPDX" not in line and not line.startswith("#!"):
            current += 1
            longest = max(longest, current)
    return longest


def file_length(tree):
    for source in tree.sources:
        if not (source.suffix in CPP or is_script(source) or source.path == "Makefile"):
            continue
        limit = next((limit for where, limit in LIMITS if source.is_in(where)), None)
        if not limit or source.is_allowed("file-length", 1, ESSAY_FROM):
            continue
        if len(source.lines) > limit:
            yield (
                source,
                limit + 1,
                f"{len(source.lines)} lines, {limit} are allowed",
                "two concepts are in this file: give each its own",
            )


def columns(tree):
    for source in tree.sources:
        if not (source.suffix in CPP or is_script(source) or source.path == "Makefile"):
            continue
        for number, line in enumerate(source.lines, 1):
            if len(line) > COLUMNS and not source.is_allowed("columns", number):
                yield source, number, f"{len(line)} columns", f"break it: {COLUMNS} are allowed"


def whitespace(tree):
    for source in tree.sources:
        if not is_text(source) or not source.lines:
            continue
        if not source.text.endswith("\n"):
            yield source, len(source.lines), "no newline at the end", "add it"
        for number, line in enumerate(source.lines, 1):
            if "\r" in line:
                yield source, number, "a carriage return", "lines end in LF alone"
            elif line != line.rstrip():
                yield source, number, "white space at the end", "remove it"
            elif "\t" in line and source.suffix in CPP | SCRIPT_SUFFIXES:
                yield source, number, "a tab", "indent with spaces"


class Rule:
    """One line of banned.txt."""

    def __init__(self, line):
        where, folders, pattern, self.instead = (field.strip() for field in line.split(" | ", 3))
        self.in_code = where == "code"
        self.pattern = re.compile(pattern)
        self.folders = [f for f in folders.split() if not f.startswith("!")]
        self.exempt = [f[1:] for f in folders.split() if f.startswith("!")]

    def applies(self, source):
        if self.in_code and source.suffix not in CPP:
            return False
        return source.is_in(*self.folders) and not source.is_in(*self.exempt)


def banned(tree):
    lines = (tree.home / "banned.txt").read_text(encoding="utf-8").splitlines()
    rules = [Rule(line) for line in lines if line and not line.startswith("#")]
    for source in tree.sources:
        for rule in (rule for rule in rules if rule.applies(source)):
            text = source.code if rule.in_code else source.text
            for number, line in enumerate(text.split("\n"), 1):
                found = rule.pattern.search(line)
                if found and not source.is_allowed("banned", number):
                    what = f"'{found.group(0).strip()}' is banned"
                    yield source, number, what, f"use {rule.instead}"


def allow_has_reason(tree):
    for source in tree.sources:
        if source.is_in("tests/tidy"):
            continue
        for number, line in enumerate(source.lines, 1):
            if re.search(r"tidy:allow\s+[\w-]+\s*$", line):
                yield source, number, "tidy:allow without a reason", "write tidy:allow CHECK: why"


CHECKS = {
    "spdx": spdx,
    "essay": essay,
    "file-length": file_length,
    "columns": columns,
    "whitespace": whitespace,
    "banned": banned,
    "allow": allow_has_reason,
}
