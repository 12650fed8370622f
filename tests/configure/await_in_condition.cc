// SPDX-License-Identifier: MIT
//
// A co_await in a condition, in a coroutine without any other local variable. GCC 12 skips the
// whole body or runs into an undefined instruction (PR106188).
#include "promise.h"

static probe::task<bool> yes() {
    co_return true;
}

static probe::task<int> in_if() {
    if (co_await yes()) {
        co_return 10;
    }
    co_return 20;
}

static probe::task<int> in_while(int& turns) {
    while (co_await yes()) {
        if (++turns == 3) {
            break;
        }
    }
    co_return turns;
}

static probe::task<int> in_both_operands() {
    if (co_await yes() && !(co_await yes())) {
        co_return 1;
    }
    co_return 30;
}

int main() {
    int turns = 0;
    return in_if().run() == 10 && in_while(turns).run() == 3 && in_both_operands().run() == 30 ? 0
                                                                                               : 1;
}
