// SPDX-License-Identifier: MIT
//
// The program that install_test.sh builds against an installed librt, in every way that it offers.
#include <rt/rt.h>

static rt::task<int> answer() {
    co_return 42;
}

int main() {
    return rt::block_on(answer()) == 42 ? 0 : 1;
}
