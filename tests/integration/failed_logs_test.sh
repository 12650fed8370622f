#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tests/run keeps what a failed suite has printed when it runs again, because a failure that comes
# seldom is gone by then. It runs in a tree of its own whose only suite is a script that fails as
# long as there is a file "fails".
# shellcheck source=tests/integration/support/server.sh
. "$(dirname "$0")/support/server.sh"

tree=$tmp/tree
failures=$tree/build/logs/failed
mkdir -p "$tree/tests/seldom" "$tree/build/tests"
cp tests/run "$tree/tests/run"
: >"$tree/tests/seldom/seldom_test.cc"
cat >"$tree/build/tests/seldom" <<'SUITE'
#!/bin/sh
echo "it is $(cat fails 2>/dev/null || echo well)"
[ ! -e fails ]
SUITE
chmod +x "$tree/build/tests/seldom"

fails() { ! "$tree/tests/run" --build build; }
passes() { "$tree/tests/run" --build build; }
keeps() { is "$(find "$failures" -type f | wc -l)" "$1"; }
has_kept() { cat "$failures"/*-seldom.log >"$tmp/kept" && contains "$tmp/kept" "$1"; }
last_log_is() { contains "$tree/build/logs/seldom.log" "$1"; }
makes_old_ones() {
    for number in $(seq 100 219); do
        echo old >"$failures/20000101-000$number-seldom.log" || return 1
    done
}

check 'a suite that passes leaves nothing among the failures' passes
check 'nothing there' keeps 0
echo 'rather unwell' >"$tree/fails"
check 'the suite fails' fails
check 'its log is kept' keeps 1
rm "$tree/fails"
check 'it passes the next time' passes
check 'the log of that run has replaced the other' last_log_is 'it is well'
check 'but what failed is still there' has_kept 'it is rather unwell'
check 'more failures than are kept' makes_old_ones
echo 'worse' >"$tree/fails"
check 'it fails once more' fails
check 'the newest hundred are kept' keeps 100
check 'this one among them' has_kept 'it is worse'
finish
