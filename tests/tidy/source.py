# SPDX-License-Identifier: MIT
"""Reading C++ well enough for tidy: which files there are, and what stands where in them.

This is no parser. Comments, strings and preprocessor lines are blanked out, position by position,
so that line numbers hold; what is left is cut at braces, parentheses and semicolons. That suffices
for formatted code, takes a second for the whole tree, and needs no compiler. libclang would know
more, and would need every flag right to know anything.
"""

import functools
import pathlib
import re

CPP = {".cc", ".h"}
SKIPPED_FOLDERS = {".git", "build", "__pycache__"}
ALLOW = re.compile(r"tidy:allow\s+([\w-]+)(?::\s*(\S.*))?")


class Source:
    """One file: its text, its lines, and its code without what a compiler does not see."""

    def __init__(self, root, path):
        self.root = root
        self.path = path.relative_to(root).as_posix()
        self.text = path.read_bytes().decode("utf-8", errors="replace")
        self.lines = self.text.split("\n")
        if self.lines and self.lines[-1] == "":
            self.lines.pop()
        self.suffix = path.suffix
        self.allowed = {}  # check -> lines that carry tidy:allow
        for number, line in enumerate(self.lines, 1):
            found = ALLOW.search(line)
            if found and found.group(2):
                self.allowed.setdefault(found.group(1), []).append(number)

    @functools.cached_property
    def code(self):
        """The text with comments and literals blanked, preprocessor lines kept."""
        return blank(self.text)

    @functools.cached_property
    def bare(self):
        """The code with preprocessor lines blanked too, continuation lines included."""
        lines, in_directive = [], False
        for line in self.code.split("\n"):
            starts = in_directive or line.lstrip().startswith("#")
            in_directive = starts and line.endswith("\\")
            lines.append(" " * len(line) if starts else line)
        return "\n".join(lines)

    @functools.cached_property
    def includes(self):
        """(line, path, is_quoted) for every #include."""
        found = []
        for number, line in enumerate(self.lines, 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if match:
                found.append((number, match.group(2), match.group(1) == '"'))
        return found

    def line_of(self, position):
        return self.text.count("\n", 0, position) + 1

    def is_in(self, *folders):
        return any(self.path == f or self.path.startswith(f + "/") for f in folders)

    def is_allowed(self, check, first, last=None):
        """Is there a tidy:allow for this check in these lines, or on the line above them?"""
        last = last or first
        return any(first - 1 <= line <= last for line in self.allowed.get(check, ()))


def blank(text):
    """Replaces comments and the insides of string and character literals by spaces."""
    token = re.compile(
        r"//(?:\\\n|[^\n])*|/\*.*?\*/"
        r'|R"(?P<mark>[^ ()\\\t\n]*)\(.*?\)(?P=mark)"'
        r'|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
        re.S,
    )

    def spaces(match):
        found = match.group(0)
        inside = re.sub(r"[^\n]", " ", found)
        if found[0] == "/":
            return inside
        return '"' + inside[1:-1] + '"'

    return token.sub(spaces, text)


def walk(root):
    """Every text file of the tree that somebody wrote."""
    paths = []
    for path in sorted(pathlib.Path(root).rglob("*")):
        relative = path.relative_to(root)
        if SKIPPED_FOLDERS & set(relative.parts) or not path.is_file() or path.is_symlink():
            continue
        paths.append(path)
    return paths


def matching(text, position, opening="(", closing=")"):
    """The position of the bracket that closes the one at `position`, or -1."""
    depth = 0
    for index in range(position, len(text)):
        if text[index] == opening:
            depth += 1
        elif text[index] == closing:
            depth -= 1
            if depth == 0:
                return index
    return -1


class Block:
    """What a brace opens: kind is namespace, type, function, initialiser or other."""

    def __init__(self, kind, header, start, depth, parents):
        self.kind = kind
        self.header = header  # the text before the brace
        self.start = start  # where that begins
        self.depth = depth  # of parentheses around the brace
        self.parents = parents
        self.end = -1


TYPE = re.compile(r"\b(class|struct|union|enum)\b")
NAMESPACE = re.compile(r"^\s*(inline\s+)?namespace\b")
INITIALISER = re.compile(r"(=|,|\(|\breturn)\s*$")


def kind_of(header, parents):
    """Tells a function's brace from that of a namespace, a type or an initialiser."""
    if parents and parents[-1].kind in ("function", "other"):
        return "other"
    if NAMESPACE.search(header) or re.match(r'^\s*extern\s+"[^"]*"\s*$', header):
        return "namespace"
    plain = strip_templates(header)
    if TYPE.search(plain) and not re.search(r"\)\s*(const|noexcept|->|$)", plain.split("=")[0]):
        return "type"
    if INITIALISER.search(plain) or "(" not in plain:
        return "other"
    # In foo::foo() : member_{x} { the first brace belongs to a member.
    has_members = re.search(r"\)[^()]*?[^:]:[^:]", plain) and re.search(r"[\w>]\s*$", plain)
    if has_members and not re.search(r"\)\s*(const|noexcept)\s*$", plain):
        return "initialiser"
    return "function"


def strip_templates(header):
    """Drops template<...> and requires-less attributes from the front of a declaration."""
    header = re.sub(r"\[\[.*?\]\]", " ", header, flags=re.S)
    while True:
        match = re.match(r"\s*template\s*<", header)
        if not match:
            return header
        end = matching(header, match.end() - 1, "<", ">")
        if end < 0:
            return header
        header = header[end + 1 :]


def scan(source):
    """All blocks of a file, and all declarations that end in a semicolon, outside of functions."""
    text = source.bare
    stack, blocks, statements = [], [], []
    start = 0  # where the current header begins
    depth = 0  # of parentheses: a semicolon or a brace inside of them ends nothing
    for position, char in enumerate(text):
        if char == "(":
            depth += 1
        elif char == ")":
            depth = max(0, depth - 1)
        elif char == "{":
            kind = "other" if depth else kind_of(text[start:position], stack)
            block = Block(kind, text[start:position], start, depth, list(stack))
            stack.append(block)
            blocks.append(block)
            depth, start = 0, position + 1
        elif char == "}" and stack:
            block = stack.pop()
            block.end = position
            depth = block.depth
            # An initialiser is part of the declaration that goes on behind it.
            start = block.start if block.kind in ("initialiser", "other") else position + 1
        elif char == ";" and depth == 0:
            if not any(block.kind in ("function", "other") for block in stack):
                statements.append((text[start:position], start, list(stack)))
            start = position + 1
        elif char == ":" and re.search(r"\b(public|private|protected)\s*$", text[start:position]):
            start = position + 1
    return blocks, statements
