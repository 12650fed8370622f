# SPDX-License-Identifier: MIT
"""Checks that what the code names is written down: public names, probes, metrics, variables.

The code is the list and the manual is compared with it, never the other way round: a page may well
say more than the code, but nothing that a user can meet may be missing from the pages. The tests
are compared with the examples in the same way.
"""

import re

from source import CPP, scan, strip_templates

NOT_NAMES = {"requires", "noexcept", "alignas", "decltype", "explicit", "sizeof", "constexpr"}
DECORATION = re.compile(r"__attribute__\s*\(\(.*?\)\)|alignas\s*\([^()]*\)|\bRT_API\b", re.S)
TYPE_NAME = re.compile(r"\s*(?:class|struct|union|enum(?:\s+class|\s+struct)?)\s+([\w:]+)\s*(<?)")


def declared_name(header):
    """The name that a declaration at namespace scope introduces, or None."""
    header = DECORATION.sub(" ", strip_templates(header))
    match = re.match(r"\s*concept\s+(\w+)", header) or re.match(r"\s*using\s+(\w+)\s*=", header)
    if match:
        return match.group(1)
    if re.match(r"\s*(using|namespace|friend|static_assert|extern\s+template|template)\b", header):
        return None
    if re.search(r"\boperator\b", header):
        return None
    match = TYPE_NAME.match(header)
    if match and "(" not in header.split(":")[0].split("{")[0]:
        return None if match.group(2) else match.group(1)
    header = re.sub(r"\brequires\s*\([^()]*(\([^()]*\)[^()]*)*\)", " ", header)
    before = header.split("=")[0]
    for found in re.finditer(r"([\w:]+)\s*\(", before):
        if found.group(1) not in NOT_NAMES:
            return None if "::" in found.group(1) else found.group(1)
    match = re.search(r"(\w+)\s*(\[[^\]]*\])?\s*$", before)
    return match.group(1) if match else None


def is_directly_in_rt(parents):
    names = [re.sub(r"^\s*(inline\s+)?namespace\s*", "", p.header).strip() for p in parents]
    return all(p.kind == "namespace" for p in parents) and "::".join(names) == "rt"


def public_names(tree):
    manual = "\n".join(page.text.replace("\\-", "-") for page in tree.man_pages("3", "7"))
    words = set(re.findall(r"\w+", manual))
    headers = [s for s in tree.sources if s.is_in("include/rt") and s.suffix == ".h"]
    for source in headers:
        if source.is_in("include/rt/detail"):
            continue
        blocks, statements = scan(source)
        found = {}
        for header, start, parents in statements + [(b.header, b.start, b.parents) for b in blocks]:
            if is_directly_in_rt(parents):
                name = declared_name(header)
                if name and not name.startswith("RT_"):
                    skipped = len(header) - len(header.lstrip())
                    found.setdefault(name, source.line_of(start + skipped))
        for name, number in found.items():
            if name not in words and not source.is_allowed("public-names", number):
                what = f"rt::{name} is on no manual page"
                yield source, number, what, "describe it in a man/*.3 or man/*.7"


def compare(tree, names, page_path, what):
    """names: (source, line, name); every one must be on the page."""
    page = next((source for source in tree.sources if source.path == page_path), None)
    text = page.text.replace("\\-", "-").replace("\\_", "_") if page else ""
    for source, number, name in names:
        if name not in text and not source.is_allowed("names", number):
            yield source, number, f"the {what} {name} is not in {page_path}", "describe it there"


def literals(tree, pattern):
    """The strings in src that match, each where it stands first."""
    seen = set()
    for source in tree.sources:
        if source.is_in("src") and source.suffix in CPP:
            for number, line in enumerate(source.lines, 1):
                for name in re.findall(pattern, line):
                    if name not in seen and not line.lstrip().startswith("//"):
                        seen.add(name)
                        yield source, number, name


def probes(tree):
    def listed():
        for source in tree.sources:
            if source.path == "src/metrics/probes.h":
                for number, line in enumerate(source.lines, 1):
                    for name in re.findall(r"^\s*X\(\s*(\w+)", line):
                        yield source, number, name

    yield from compare(tree, listed(), "man/librt-probes.7", "probe")


def metrics(tree):
    names = literals(tree, r'"(librt_[a-z0-9_]+)')
    yield from compare(tree, names, "man/librt-metrics.7", "metric")


def environment(tree):
    names = literals(tree, r'"(LIBRT_[A-Z0-9_]+)')
    yield from compare(tree, names, "man/librt-tuning.7", "variable")


def examples(tree):
    """Every example is run by some test."""
    programs = {}
    for source in tree.sources:
        parts = source.path.split("/")
        if parts[0] == "examples" and source.suffix == ".cc":
            programs.setdefault(parts[1].removesuffix(".cc"), source)
    tests = [s for s in tree.sources if re.match(r"tests/.*_test\.(sh|py|cc)$", s.path)]
    for name, source in programs.items():
        run = re.compile(rf"bin[\"'}})]*\s*/\s*[\"']?{re.escape(name)}\b")
        if not any(run.search(test.text) for test in tests):
            instead = f"write tests/examples/{name}_test.sh, which runs build/bin/{name}"
            yield source, 1, f"no test runs {name}", instead


TEST = re.compile(r"^Test\(\s*(\w+)\s*,\s*(\w+)", re.M)
BEHAVIOUR = re.compile(r"B(\d{3})  ([^|]+) \| (none: \S.*|\w+/\w+(?: \w+/\w+)*)$")
BEHAVIOURS = 233


def numbered_tests(tree):
    """Every unit test: suite/name, the numbers that the name begins with, and where it is."""
    for source in tree.sources:
        if re.match(r"tests/.*_test\.cc$", source.path):
            for match in TEST.finditer(source.text):
                suite, name = match.groups()
                prefix = re.match(r"(?:b\d{3}_)*", name).group(0)
                numbers = [int(number) for number in re.findall(r"\d{3}", prefix)]
                yield f"{suite}/{name}", numbers, source, source.line_of(match.start())


def behaviours(tree):
    """tests/behaviours and the tests name each other."""
    tests = list(numbered_tests(tree))
    known = {test for test, *_ in tests}
    page = next((source for source in tree.sources if source.path == "tests/behaviours"), None)
    shown = {}  # number -> the tests of its line
    for line, text in enumerate(page.lines if page else (), 1):
        if text.startswith("#"):
            continue
        match = BEHAVIOUR.match(text)
        if not match or int(match.group(1)) in shown:
            instead = "write each number once: B001  what it is | SUITE/TEST... or none: why"
            yield page, line, "a line that says nothing new", instead
            continue
        proof = match.group(3)
        shown[int(match.group(1))] = [] if proof.startswith("none:") else proof.split()
        for test in shown[int(match.group(1))]:
            if test not in known:
                yield page, line, f"there is no test {test}", "name one that there is, or none: why"
    for number in range(1, BEHAVIOURS + 1) if page else ():
        if number not in shown:
            yield page, 1, f"B{number:03} is missing", "add its line"
    for test, numbers, source, line in tests:
        for number in numbers:
            if test not in shown.get(number, ()):
                what = f"{test} is not in tests/behaviours"
                yield source, line, what, f"add it to the line B{number:03}"


CHECKS = {
    "public-names": public_names,
    "probes": probes,
    "metrics": metrics,
    "environment": environment,
    "examples": examples,
    "behaviours": behaviours,
}
