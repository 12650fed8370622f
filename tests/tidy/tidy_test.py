#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""Tests tidy.py: a rule that never fires is not enforced.

Method: a small tree without a fault is written into a temporary folder, and must pass every check.
Then each case puts one fault into a fresh copy of it and must be told so by the check that is meant
to see it, at the line where it stands; a case without a line is something that looks like a fault
and is none. Ends with a line of counts, as tests/run wants it.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from tidy import CHECKS, Tree, findings

HERE = pathlib.Path(__file__).resolve().parent
SPDX = "// SPDX-License-Identifier: MIT\n"
MAN = '.\\" SPDX-License-Identifier: MIT\n'

CLEAN = {
    "include/rt/thing.h": SPDX
    + """#pragma once

#include <vector>

namespace rt {

class thing;

/// Adds.
template<typename T>
std::vector<T> add_things(T first, T second);

} // namespace rt
""",
    "src/base/text.h": SPDX
    + """#pragma once

namespace rt::base {

class text {
public:
    explicit text(int kind) noexcept
        : size_{0}
        , kind_(kind) {}

    int size() const noexcept { return size_; }

private:
    int size_;
    int kind_;
};

} // namespace rt::base
""",
    "src/base/text.cc": SPDX
    + """#include "base/text.h"

namespace rt::base {

int count(int limit) {
    int total = 0;
    for (int i = 0; i < limit; ++i) {
        if (i % 2 == 0) {
            total += i;
        } else if (i == 3) {
            total += 1'000;
        } else {
            continue;
        }
    }
    do {
        --total;
    } while (total > 0);
    return total;
}

} // namespace rt::base
""",
    "src/metrics/probes.h": SPDX
    + """#pragma once

// clang-format off
#define RT_PROBES_LIST(X) \\
    X(poll__start)
// clang-format on
""",
    "src/task/names.cc": SPDX
    + """#include "base/text.h"

const char* metric() {
    return "librt_polls";
}

const char* variable() {
    return "LIBRT_WORKERS";
}
""",
    "examples/hello.cc": SPDX
    + """int main() {
    return 0;
}
""",
    "tests/examples/hello_test.sh": """#!/bin/sh
# SPDX-License-Identifier: MIT
build/bin/hello
""",
    "man/rt_thing.3": MAN
    + """.TH RT_THING 3
.SH NAME
rt_thing \\- thing and add_things
.SH DESCRIPTION
See rt_thing(3).
.SH SEE ALSO
.BR rt_thing (3)
""",
    "man/librt-probes.7": MAN + ".TH PROBES 7\n.SH NAME\nlibrt\\-probes \\- poll__start\n",
    "man/librt-metrics.7": MAN + ".TH METRICS 7\n.SH NAME\nlibrt\\-metrics \\- librt_polls\n",
    "man/librt-tuning.7": MAN + ".TH TUNING 7\n.SH NAME\nlibrt\\-tuning \\- LIBRT_WORKERS\n",
}

LONG = "".join(f"int value_{i} = {i};\n" for i in range(70))
BODY = "".join(f"    value += {i};\n" for i in range(60))
CC, HH, THING = "src/base/a.cc", "src/base/a.h", "include/rt/thing.h"

# What it is, the check, the file, its text (or old and new text in it), the line to name or None.
# A C++ file gets its licence line, line 1, unless that is what the case is about.
CASES = [
    ("no licence line", "spdx", CC, "int a;\n", 1),
    ("no licence line in a script", "spdx", "perf/a.sh", "#!/bin/sh\nexit 0\n", 1),
    ("no licence line in a page", "spdx", "man/rt_a.3", ".TH A 3\n", 1),
    ("licence line below #!", "spdx", "perf/a", "#!/bin/sh\n#" + SPDX[2:], None),
    ("a long file without an essay", "essay", CC, LONG, 1),
    (
        "a long file with an essay",
        "essay",
        CC,
        "//\n// What this is.\n// Who uses it.\n// Why so.\n" + LONG,
        None,
    ),
    ("a source file of 501 lines", "file-length", CC, "\n" * 500, 501),
    ("a public header of 301 lines", "file-length", "include/rt/a.h", "\n" * 300, 301),
    ("a header of src of 301 lines", "file-length", HH, "\n" * 300, None),
    ("a line of 101 columns", "columns", CC, "// " + "x" * 98 + "\n", 2),
    ("100 columns of two bytes each", "columns", CC, "// " + "ü" * 97 + "\n", None),
    ("a tab", "whitespace", CC, "int\ta;\n", 2),
    ("white space at the end", "whitespace", CC, "int a; \n", 2),
    ("a carriage return", "whitespace", CC, "int a;\r\n", 2),
    ("no newline at the end", "whitespace", CC, "int a;", 2),
    ("std::atomic", "banned", CC, "std::atomic<int> a;\n", 2),
    ("memory_order", "banned", CC, "a.load(memory_order_relaxed);\n", 2),
    ("std::atomic in a comment", "banned", CC, "// not std::atomic\n", None),
    ("std::atomic in a string", "banned", CC, 'auto a = "std::atomic";\n', None),
    ("the wrapper itself", "banned", "include/rt/detail/atomic.h", "std::atomic<int> a;\n", None),
    ("a standard mutex", "banned", "src/task/a.cc", "std::mutex a;\n", 2),
    ("a mutex in the blocking pool", "banned", "src/blocking/a.cc", "std::mutex a;\n", None),
    ("throw", "banned", "src/net/a.cc", "void f() { throw 1; }\n", 2),
    ("a limit of one test", "banned", "tests/task/a_test.cc", "Test(a, b, .timeout = 3) {}\n", 2),
    ("a leftover mark", "banned", "examples/a.cc", "// FIX" + "ME later\n", 2),
    ("a TODO without an issue", "banned", CC, "// TO" + "DO: later\n", 2),
    ("a TODO with an issue", "banned", CC, "// TO" + "DO (#12): later\n", None),
    ("the CPU in an #if", "banned", CC, "#if defined(__x86_64__)\n#endif\n", 2),
    ("a path of one machine", "banned", CC, "// see /ho" + "me/me/notes\n", 2),
    ("a sleep in a test", "banned", "tests/base/a_test.cc", "usleep(1);\n", 2),
    (
        "a banned word with a reason",
        "banned",
        CC,
        "// tidy:allow banned: the wrapper calls this\nstd::atomic<int> a;\n",
        None,
    ),
    ("an allowance without a reason", "allow", CC, "// tidy:allow banned\n", 2),
    ("if without braces", "braces", CC, "void f() {\n    if (a) b();\n}\n", 3),
    ("else without braces", "braces", CC, "void f() {\n if (a) {\n } else b();\n}\n", 4),
    ("for without braces", "braces", CC, "void f() {\n for (;;) b();\n}\n", 3),
    ("while without braces", "braces", CC, "void f() {\n while (a())\n b();\n}\n", 3),
    ("an empty while", "braces", CC, "void f() {\n while (a());\n}\n", 3),
    ("#if in a function", "braces", CC, "void f() {\n#if A\n b();\n#endif\n}\n", None),
    (
        "if constexpr and consteval",
        "braces",
        CC,
        "void f() {\n if constexpr (a) {\n }\n if consteval {\n }\n}\n",
        None,
    ),
    ("a function of 62 lines", "function-length", CC, f"int f() {{\n{BODY}}}\n", 2),
    (
        "a long member function",
        "function-length",
        HH,
        f"class a {{\n    int f() const noexcept {{\n{BODY}    }}\n}};\n",
        3,
    ),
    (
        "a long test",
        "function-length",
        "tests/base/a_test.cc",
        f"\nTest(a, is_long, .timeout = 5) {{\n{BODY}}}\n",
        3,
    ),
    (
        "a long constructor behind brace initialisers",
        "function-length",
        CC,
        f"a::a(int x) noexcept\n    : b_{{x}}\n    , c_{{1}} {{\n{BODY}}}\n",
        2,
    ),
    (
        "a long table",
        "function-length",
        CC,
        "constexpr int table[] = {\n" + "    1,\n" * 70 + "};\n",
        None,
    ),
    (
        "a long class",
        "function-length",
        HH,
        "class a : public b<int()> {\n" + "    int f() { return 1; }\n" * 70 + "};\n",
        None,
    ),
    (
        "a long switch with a reason",
        "function-length",
        CC,
        f"// tidy:allow function-length: one case per code\nint f() {{\n{BODY}}}\n",
        None,
    ),
    ("no #pragma once", "pragma-once", HH, "int a();\n", 1),
    ("an upward include", "layers", CC, '#include "task/state.h"\n', 2),
    ("a sideways include", "layers", "src/metrics/a.cc", '#include "memory/pages.h"\n', 2),
    ("the sideways edge", "layers", "src/memory/a.cc", '#include "topology/topology.h"\n', None),
    ("a downward include", "layers", "src/task/a.cc", '#include "metrics/counter.h"\n', None),
    ("tools and the runtime", "layers", "src/tools/a.cc", '#include "net/tcp.h"\n', 2),
    ("tools and a public header", "layers", "src/tools/a.cc", "#include <rt/task.h>\n", 2),
    ("tools and the wire format", "layers", "src/tools/a.cc", "#include <rt/introspect.h>\n", None),
    ("arch past its contract", "layers", CC, '#include "cpu_arch.h"\n', 2),
    ("arch by its contract", "layers", "src/base/arch.h", '#include "cpu_arch.h"\n', None),
    ("a private header in a public one", "layers", "include/rt/a.h", '#include "base/text.h"\n', 2),
    ("a detail in an example", "layers", "examples/a.cc", "#include <rt/detail/list.h>\n", 2),
    ("an unknown layer", "layers", "src/attic/a.cc", '#include "base/text.h"\n', 2),
    ("an include without its folder", "layers", CC, '#include "text.h"\n', 2),
    (
        "another header first",
        "own-header",
        "src/base/text.cc",
        ('#include "base/text.h"', '#include <vector>\n\n#include "base/text.h"'),
        2,
    ),
    (
        "a header that needs another",
        "self-contained",
        THING,
        ("#include <vector>\n", ""),
        1,
    ),
    ("a badly formatted file", "clang-format", CC, "int   a;\n", 2),
    ("a class on no page", "public-names", THING, ("class thing;", "class widget;"), 8),
    ("a function on no page", "public-names", THING, ("add_things", "mul_things"), 11),
    (
        "an alias on no page",
        "public-names",
        THING,
        ("class thing;", "class thing;\nusing other = thing;"),
        9,
    ),
    (
        "a constant on no page",
        "public-names",
        THING,
        ("class thing;", "inline constexpr int answer = 42;"),
        8,
    ),
    (
        "a member and a detail",
        "public-names",
        THING,
        ("class thing;", "class thing {\n    int inner();\n};\nnamespace detail {\nint deep();\n}"),
        None,
    ),
    ("a probe on no page", "probes", "src/metrics/probes.h", ("poll__start", "poll__other"), 6),
    ("a metric on no page", "metrics", "src/task/names.cc", ("librt_polls", "librt_parks"), 5),
    ("a variable on no page", "environment", "src/task/names.cc", ("_WORKERS", "_CPUS"), 9),
    ("an example that no test runs", "examples", "examples/lost.cc", "int main() {}\n", 1),
    ("a behaviour without its line", "behaviours", "tests/behaviours", "B001  x | none: y\n", 1),
    ("a behaviour twice", "behaviours", "tests/behaviours", "B001  x | none: y\n" * 2, 2),
    ("a behaviour without a reason", "behaviours", "tests/behaviours", "B001  x | none:\n", 1),
    ("a test that is not there", "behaviours", "tests/behaviours", "# x\nB001  x | a/b\n", 2),
    ("a test in no list", "behaviours", "tests/a/a_test.cc", "\nTest(a, b001_b) {\n}\n", 3),
    ("a test without a number", "behaviours", "tests/a/a_test.cc", "\nTest(a, b) {\n}\n", None),
    ("a macro that man does not know", "man", "man/rt_thing.3", (".SH NAME", ".NO x\n.SH NAME"), 3),
    ("a link that leads nowhere", "man", "man/rt_thing.3", ("See rt_thing", "See rt_lost"), 6),
    (
        "sections out of order",
        "man",
        "man/rt_thing.3",
        (".SH SEE ALSO", ".SH NOTES\nNone.\n.SH ERRORS\nNone.\n.SH SEE ALSO"),
        9,
    ),
]


def write(root, path, text):
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text.encode())


def make_tree(root):
    for path, text in CLEAN.items():
        write(root, path, text)
    shutil.copy(HERE.parents[1] / ".clang-format", root / ".clang-format")


def try_case(check, path, text, line):
    """None if tidy said what it should, else what it said."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        make_tree(root)
        if isinstance(text, tuple):
            before, after = text
            assert before in CLEAN[path], f"the clean {path} has no {before!r}"
            text = CLEAN[path].replace(before, after)
        elif path.endswith((".cc", ".h")) and check != "spdx":
            text = SPDX + text
        write(root, path, text)
        said = "\n".join(findings(Tree(root), check))
    if line is None:
        return said or None
    wanted = re.compile(rf"(?m)^{re.escape(path)}:{line}: {check}: .+\. .+\.$")
    return None if wanted.search(said) else said


def try_clean():
    """The program as it is called, on a tree without a fault."""
    with tempfile.TemporaryDirectory() as folder:
        make_tree(pathlib.Path(folder))
        command = [sys.executable, "-B", str(HERE / "tidy.py"), "--root", folder]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    counts = f"{len(CHECKS)} passed, 0 failed\n"
    return None if result.returncode == 0 and result.stdout == counts else result.stdout


def main():
    passed = failed = 0
    outcomes = [("a tree without a fault", try_clean())]
    outcomes += [(name, try_case(*rest)) for name, *rest in CASES]
    silent = sorted(set(CHECKS) - {check for _, check, _, _, line in CASES if line is not None})
    outcomes.append(("every check has a case", ", ".join(silent) if silent else None))
    for name, said in outcomes:
        print(f"{'FAIL' if said is not None else 'ok  '}  {name}")
        if said is not None:
            print("      | " + (said.strip() or "nothing").replace("\n", "\n      | "))
        passed += said is None
        failed += said is not None
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
