// SPDX-License-Identifier: MIT
//
// A part of a select that loses although it has been woken: the other part is woken first, and what
// this one waits for comes before the task has its turn. With several workers the turn may come
// earlier, and the part loses before it is woken: what must be true afterwards is the same.
#pragma once

#include "support/test.h"
#include "sync/waiting.h"
#include "task/gate.h"

#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/task.h>

#include <utility>

namespace rt::test {

inline task<void> passes(gate* at) {
    co_await at->wait();
}

/// Loses what `make` returns to `first`.
template<typename Make>
task<void> loser(gate* first, Make make) {
    const auto won = co_await select(passes(first), make());
    cr_assert_eq(won.index(), 0);
}

/// The same; `grant` gives the part what it waits for.
template<typename Make, typename Grant>
task<void> lose(Make make, Grant grant) {
    gate first;
    join_handle<void> loses = spawn(loser<Make>, &first, std::move(make));
    co_await until_waiting(loses);
    first.open();
    grant();
    co_await std::move(loses);
}

} // namespace rt::test
