# SPDX-License-Identifier: MIT
"""Checks that read a file as C++: braces, function length, layers, include paths.

Each is a generator over the tree; see tidy.py. They use what source.py makes of a file: its code
without comments and literals, its blocks, its includes. What layers may do is in layers.txt, so
that the table can be read, and changed, without knowing this program.
"""

import re

from source import CPP, matching, scan

FUNCTION_LINES = 60


def cpp(tree):
    return (source for source in tree.sources if source.suffix in CPP)


def braces(tree):
    for source in cpp(tree):
        text = source.bare
        for match in re.finditer(r"\b(if|else|for|while|do)\b", text):
            if is_braced(text, match):
                continue
            number = source.line_of(match.start())
            if not source.is_allowed("braces", number):
                yield source, number, f"'{match.group(1)}' without braces", "put braces around it"


def is_braced(text, match):
    """Does the statement that begins with this keyword have a block?"""
    keyword, end = match.group(1), match.end()
    if keyword in ("if", "for", "while"):
        head = re.match(r"\s*(constexpr\b|!?\s*consteval\b)?\s*", text[end:])
        opening = end + head.end()
        if head.group(1) and "consteval" in head.group(1):
            end = opening
        elif text[opening : opening + 1] != "(":
            return True  # part of something else, a macro's name perhaps
        else:
            end = matching(text, opening) + 1
    after = text[end:].lstrip()
    if after.startswith("{") or after.startswith("[["):
        return True
    if keyword == "else":
        return re.match(r"if\b", after) is not None
    # The end of do { } while (condition);
    ends_do = after.startswith(";") and text[: match.start()].rstrip().endswith("}")
    return keyword == "while" and ends_do


def function_length(tree):
    for source in cpp(tree):
        for block in scan(source)[0]:
            if block.kind != "function" or block.end < 0:
                continue
            skipped = len(block.header) - len(block.header.lstrip())
            first = source.line_of(block.start + skipped)
            last = source.line_of(block.end)
            length = last - first + 1
            if length > FUNCTION_LINES and not source.is_allowed("function-length", first, last):
                yield (
                    source,
                    first,
                    f"a function of {length} lines, {FUNCTION_LINES} are allowed",
                    "split it; a table or a switch may say tidy:allow function-length: REASON",
                )


def pragma_once(tree):
    for source in cpp(tree):
        if source.suffix == ".h" and not re.search(r"(?m)^#pragma once$", source.text):
            yield source, 1, "no #pragma once", "put it below the essay"


class Layers:
    """layers.txt: who may include whom."""

    def __init__(self, path):
        self.level, self.beside, self.only, self.arch_gate = {}, set(), {}, ""
        rows = []
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split("#")[0].split()
            if not words:
                continue
            if words[0] == "layer":
                rows.append(words[1:])
            elif words[0] == "beside":
                arrow = words.index("->")
                self.beside |= {(a, b) for a in words[1:arrow] for b in words[arrow + 1 :]}
            elif words[0] == "only":
                self.only[words[1]] = words[3:]
            elif words[0] == "arch":
                self.arch_gate = words[1]
        for height, row in enumerate(reversed(rows)):
            self.level.update({folder: height for folder in row})

    def objection(self, folder, other):
        """Why src/<folder> may not include src/<other>, or None."""
        if folder == other or (folder, other) in self.beside:
            return None
        if other not in self.level:
            return f"'{other}' is no layer of layers.txt"
        if folder in self.only:
            return None if other in self.only[folder] else f"{folder} may not include {other}"
        if self.level[other] > self.level[folder]:
            return f"{folder} includes upwards, from {other}"
        if self.level[other] == self.level[folder]:
            return f"{folder} includes sideways, from {other}"
        return None


def layers(tree):
    table = Layers(tree.home / "layers.txt")
    for source in cpp(tree):
        for number, path, quoted in source.includes:
            objection = object_to(table, source, path, quoted)
            if objection and not source.is_allowed("layers", number):
                yield source, number, objection, "see the layer table in src/README.md"


def object_to(table, source, path, quoted):
    """Why this file may not include that path, or None."""
    parts = source.path.split("/")
    is_arch = path.endswith("_arch.h")
    if is_arch and source.path != "src/" + table.arch_gate and parts[0] != "tests":
        return f"only {table.arch_gate} includes the headers of arch/<cpu>"
    if parts[0] == "include":
        return "a public header includes a private one" if quoted else None
    if parts[0] == "arch":
        return "a header of arch includes one of src" if quoted and not is_arch else None
    if parts[0] == "examples":
        return "an example uses a private header" if path.startswith("rt/detail/") else None
    if parts[0] != "src" or len(parts) < 3:
        return None
    folder = parts[1]
    if folder not in table.level:
        return f"'{folder}' is no layer of layers.txt"
    if not quoted:
        allowed = table.only.get(folder)
        if allowed and path.startswith("rt/") and path not in allowed:
            return f"{folder} may not include <{path}>"
        return None
    if path == "config.h" or is_arch:
        return None
    if "/" not in path:
        return f'"{path}" without its folder'
    return table.objection(folder, path.split("/")[0])


def own_header_first(tree):
    known = {source.path for source in tree.sources}
    for source in cpp(tree):
        own = re.sub(r"\.cc$", ".h", source.path)
        if source.suffix != ".cc" or own not in known or not source.includes:
            continue
        number, path, _ = source.includes[0]
        if not own.endswith("/" + path) and not source.is_allowed("own-header", number):
            yield source, number, "its own header is not the first include", "put it first"


CHECKS = {
    "braces": braces,
    "function-length": function_length,
    "pragma-once": pragma_once,
    "layers": layers,
    "own-header": own_header_first,
}
