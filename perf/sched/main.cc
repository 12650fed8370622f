// SPDX-License-Identifier: MIT
//
// perf-sched ROW [--workers N] [--seconds S]: measures one row and prints a line of JSON. The rows
// are those of the files beside this one, each of which adds its own.
#include "support/bench.h"

int main(int argc, char** argv) {
    return perf::run_tables(argc, argv);
}
