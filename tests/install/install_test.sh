#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The installed tree, seen by somebody who has only that: a small program is built against it with
# pkg-config and with CMake, against the shared and the static library, and run. Also: -lrt still
# means glibc's library, GCC 12 is told why it may not, the shared library exports nothing but
# namespace rt, DESTDIR is honoured, and uninstall leaves nothing behind.
#
# Method: install into a fresh prefix below a temporary folder, without touching the system
# (LDCONFIG=:). Ends with a line of counts, as tests/run wants it.
set -u
cd "$(dirname "$0")/../.." || exit 1

here=tests/install
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
root=$tmp/root
passed=0 failed=0 skipped=0

setting() { sed -n "s/^$1 = //p" build/config.mk; }
cxx=$(setting CXX)
libdir=$root/lib
PKG_CONFIG_PATH=$libdir/pkgconfig
export PKG_CONFIG_PATH

# check WHAT COMMAND...: one test.
check() {
    what=$1
    shift
    if "$@" >"$tmp/output" 2>&1; then
        passed=$((passed + 1))
        echo "ok    $what"
    else
        failed=$((failed + 1))
        echo "FAIL  $what"
        sed 's/^/      | /' "$tmp/output"
    fi
}

skip() {
    skipped=$((skipped + 1))
    echo "skip  $1"
}

install_into_prefix() {
    make --no-print-directory install prefix="$root" libdir="$libdir" includedir="$root/include" \
        mandir="$root/share/man" DESTDIR= LDCONFIG=:
}

# The flags are words and the compiler may be several.
# shellcheck disable=SC2046,SC2086
{
    build() { $cxx -std=c++23 -O2 "$@"; }
    with_pkg_config_shared() {
        libraries=$(pkg-config --libs librt)
        build $(pkg-config --cflags librt) $here/hello.cc -o "$tmp/shared" $libraries
    }
    with_pkg_config_static() {
        libraries=$(pkg-config --static --libs librt | sed 's/-lrt-numa/-l:librt-numa.a/')
        build $(pkg-config --cflags librt) $here/hello.cc -o "$tmp/static" $libraries
    }
    with_glibc_rt() {
        build -L"$libdir" $here/old_rt.cc -o "$tmp/old_rt" -lrt -Wl,--trace
    }
}

runs() { LD_LIBRARY_PATH=$libdir timeout 20 "$1"; }
needs_librt() { readelf -d "$1" | grep 'NEEDED.*librt-numa\.so\.0'; }
needs_no_librt() { ! needs_librt "$1"; }

glibc_rt_is_used() {
    with_glibc_rt >"$tmp/trace" || return 1
    cat "$tmp/trace"
    ! grep -F "$root" "$tmp/trace" && needs_no_librt "$tmp/old_rt" && runs "$tmp/old_rt"
}

with_cmake() {
    cmake -S $here -B "$tmp/cmake-$1" -DCMAKE_CXX_COMPILER="${cxx##* }" \
        -DCMAKE_PREFIX_PATH="$root" -DLIBRT_USE_STATIC_LIBS="$2" && cmake --build "$tmp/cmake-$1"
}

refuses_gcc12() {
    ! g++ -std=c++23 -I"$root/include" -fsyntax-only $here/hello.cc 2>"$tmp/gcc" || return 1
    cat "$tmp/gcc"
    grep -q 'miscompiles coroutines' "$tmp/gcc"
}

# For a program without coroutines, and for the versions that are not refused.
gcc_reads_the_headers() {
    printf '#include <rt/rt.h>\nint main() {}\n' >"$tmp/all.cc"
    g++ -std=c++23 -DLIBRT_ALLOW_GCC12 -I"$root/include" -fsyntax-only "$tmp/all.cc"
}

# Prints what should not be there: a name outside of namespace rt.
exports_only_rt() {
    nm -D --defined-only "$libdir/librt-numa.so.0" | sed 's/.* //; s/@.*//' >"$tmp/exported"
    ours='^(_Z(N[VKRO]*2rt|T[VTISWH]N2rt|T[chv].*N2rt|(GV)?ZN[VKRO]*2rt|GVN2rt)'
    ours="$ours|librt_debug_root\$|LIBRT_NUMA_0\$)"
    ! grep -vE "$ours" "$tmp/exported" && grep -q _ZN2rt "$tmp/exported"
}

staged() {
    make --no-print-directory "$1" DESTDIR="$tmp/stage" prefix=/opt/librt libdir=/opt/librt/lib \
        includedir=/opt/librt/include mandir=/opt/librt/share/man
}

# Below DESTDIR lies the same tree as in the prefix, and after uninstall no file of it.
destdir_and_uninstall() {
    staged install || return 1
    (cd "$root" && find . ! -type d | sort) >"$tmp/in-prefix"
    (cd "$tmp/stage/opt/librt" && find . ! -type d | sort) >"$tmp/in-stage"
    diff "$tmp/in-prefix" "$tmp/in-stage" || return 1
    ! grep -rlF "$tmp" "$tmp/stage" --include='*.pc' --include='*.cmake' || return 1
    touch "$tmp/stage/opt/librt/lib/not-ours"
    staged uninstall || return 1
    left=$(find "$tmp/stage" ! -type d)
    echo "left: $left"
    [ "$left" = "$tmp/stage/opt/librt/lib/not-ours" ] && [ ! -e "$tmp/stage/opt/librt/include/rt" ]
}

has_every_header() {
    (cd include && find rt -name '*.h' | sort) >"$tmp/sources"
    (cd "$root/include" && find rt -name '*.h' ! -path rt/version.h | sort) >"$tmp/installed"
    diff "$tmp/sources" "$tmp/installed" && [ -f "$root/include/rt/version.h" ]
}

check "make install" install_into_prefix
check "every public header is there" has_every_header
check "pkg-config knows the version" pkg-config --exact-version="$(setting VERSION)" librt
check "pkg-config, shared: builds" with_pkg_config_shared
check "pkg-config, shared: runs" runs "$tmp/shared"
check "pkg-config, shared: needs librt-numa.so.0" needs_librt "$tmp/shared"
check "pkg-config, static: builds" with_pkg_config_static
check "pkg-config, static: runs" runs "$tmp/static"
check "pkg-config, static: needs no librt-numa.so" needs_no_librt "$tmp/static"
if command -v cmake >/dev/null; then
    check "CMake, shared: builds" with_cmake shared OFF
    check "CMake, shared: runs" runs "$tmp/cmake-shared/hello"
    check "CMake, shared: needs librt-numa.so.0" needs_librt "$tmp/cmake-shared/hello"
    check "CMake, static: builds" with_cmake static ON
    check "CMake, static: runs" runs "$tmp/cmake-static/hello"
    check "CMake, static: needs no librt-numa.so" needs_no_librt "$tmp/cmake-static/hello"
else
    skip "CMake is not installed"
fi
check "-lrt is glibc's, with our folder first" glibc_rt_is_used
if [ "$(g++ -dumpversion 2>/dev/null | cut -d. -f1)" = 12 ]; then
    check "GCC 12 is refused, with the reason" refuses_gcc12
    check "GCC reads the headers" gcc_reads_the_headers
else
    skip "g++ is not GCC 12"
fi
check "exports namespace rt and nothing else" exports_only_rt
check "DESTDIR, and uninstall" destdir_and_uninstall

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
