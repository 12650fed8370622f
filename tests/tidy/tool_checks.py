# SPDX-License-Identifier: MIT
"""Checks that ask another program: the compiler about headers, clang-format, man(1) about pages.

Headers are the slow part. One that a .cc includes first has been compiled alone by the build; the
others are compiled here, two at a time, and the answer is kept in build/tidy-headers.json with the
hash of every file that it depends on, so that an unchanged tree costs nothing.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess

from source import CPP

JOBS = 2
FORMATTER = "clang-format-14"
SEARCHED = ["include", "src", "tests", "examples", "perf"]


def run(command, root, **options):
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, **options)


# ---- headers compile alone ---------------------------------------------------------------------


def digest(path):
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "absent"


def included_first(tree):
    """Headers that some .cc includes before anything else: the build proves that they compile."""
    paths = {source.path for source in tree.sources}
    proven = set()
    for source in tree.sources:
        if source.suffix == ".cc" and source.includes:
            path = source.includes[0][1]
            proven |= {f"{folder}/{path}" for folder in SEARCHED if f"{folder}/{path}" in paths}
    return proven


def compile_alone(tree, compiler, flags, path):
    """(message or None, the files it depends on); nothing is written."""
    command = [*compiler, *flags, "-fsyntax-only", "-MD", "-MF", "/dev/stdout", "-MT", "x"]
    program = f'#include "{tree.root / path}"\n'
    result = run([*command, "-x", "c++", "-"], tree.root, input=program)
    depends = [tree.root / word for word in result.stdout.replace("\\\n", " ").split()[1:]]
    inside = [str(p.resolve()) for p in depends if tree.root in p.resolve().parents]
    if result.returncode == 0:
        return None, inside
    first = re.search(r"(?m)^.*error:.*$", result.stderr)
    return (first.group(0) if first else result.stderr.strip() or "the compiler failed"), inside


def self_contained(tree):
    compiler = shlex.split(os.environ.get("CXX") or "clang++-19")
    flags = shlex.split(os.environ.get("CXXFLAGS") or "-std=c++23 -Iinclude -Isrc -Ibuild")
    flags += ["-Wno-unused", "-Itests", "-Iexamples", "-Iperf"]
    if not shutil.which(compiler[-1]):
        yield None, 0, f"{compiler[-1]} is not installed", "run make packages"
        return
    cache_path = tree.root / "build/tidy-headers.json"
    cache = json.loads(cache_path.read_text(encoding="utf-8")) if cache_path.exists() else {}
    proven = included_first(tree)
    headers = [s for s in tree.sources if s.suffix == ".h" and s.path not in proven]
    headers = [s for s in headers if not s.is_in("arch", "tests/configure")]

    def is_known(path):
        entry = cache.get(path)
        if not entry or entry["flags"] != flags:
            return False
        return all(digest(pathlib.Path(p)) == known for p, known in entry["depends"])

    stale = [source for source in headers if not is_known(source.path)]
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        answers = list(pool.map(lambda s: compile_alone(tree, compiler, flags, s.path), stale))
    for source, (message, depends) in zip(stale, answers):
        cache.pop(source.path, None)
        if message is None:
            hashes = [(p, digest(pathlib.Path(p))) for p in depends]
            cache[source.path] = {"flags": flags, "depends": hashes}
        else:
            yield source, 1, f"does not compile alone: {message}", "include what it uses"
    cache_path.parent.mkdir(exist_ok=True)
    cache_path.write_text(json.dumps(cache), encoding="utf-8")


# ---- format ------------------------------------------------------------------------------------


def formatted(tree):
    if not shutil.which(FORMATTER):
        yield None, 0, f"{FORMATTER} is not installed", "run make packages"
        return
    paths = [source.path for source in tree.sources if source.suffix in CPP]
    by_path = {source.path: source for source in tree.sources}
    if not paths:
        return
    result = run([FORMATTER, "--dry-run", "-Werror", "-style=file", *paths], tree.root)
    seen = set()
    for path, number in re.findall(r"(?m)^(\S+?):(\d+):\d+: error:", result.stderr):
        if path in by_path and path not in seen:
            seen.add(path)
            yield by_path[path], int(number), "not formatted", "run make format"
    if result.returncode != 0 and not seen:
        yield None, 0, result.stderr.strip().split("\n")[0], f"see what {FORMATTER} says"


# ---- manual pages ------------------------------------------------------------------------------

SECTION_ORDER = [
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "CANCELLATION",
    "THREADS",
    "RETURN VALUE",
    "ERRORS",
    "NOTES",
    "EXAMPLES",
    "SEE ALSO",
]


REFERENCE = re.compile(r'\b((?:rt|librt)[\w-]*)"?\s*"?\(([137])\)')


def man_pages(tree):
    """man(1) renders every page without a warning, sections are in order, links lead somewhere."""
    pages = tree.man_pages()
    if pages and not shutil.which("man"):
        yield None, 0, "man is not installed", "run make packages"
        return
    known = {source.path.split("/")[-1] for source in pages}
    for source in pages:
        command = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", source.path]
        result = run(command, tree.root, env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""})
        for line in result.stderr.strip().split("\n"):
            if line:
                number = re.search(r":(\d+):", line)
                yield source, int(number[1]) if number else 1, f"man warns: {line}", "mend it"
        yield from sections_in_order(source)
        for number, line in enumerate(source.lines, 1):
            for name, section in REFERENCE.findall(line.replace("\\-", "-")):
                if f"{name}.{section}" not in known:
                    what = f"refers to {name}({section})"
                    yield source, number, what, "write that page, or name another"


def sections_in_order(source):
    ranks = []
    for number, line in enumerate(source.lines, 1):
        title = line[3:].strip().strip('"') if line.startswith(".SH") else None
        if title in SECTION_ORDER:
            ranks.append((SECTION_ORDER.index(title), number))
    for (before, _), (after, number) in zip(ranks, ranks[1:]):
        if after < before:
            order = ", ".join(SECTION_ORDER)
            yield source, number, f"{SECTION_ORDER[after]} stands too late", f"the order is {order}"


CHECKS = {"self-contained": self_contained, "clang-format": formatted, "man": man_pages}
