// SPDX-License-Identifier: MIT
//
// Results whose move throws, at each of the moves from co_return to who awaits it.
#include "support/test.h"
#include "task/gate.h"

#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/task.h>
#include <rt/yield.h>

#include <cstddef>
#include <stdexcept>
#include <utility>

namespace {

using rt::task;
using rt::test::on_each_flavor;

// Throws in its move number `throws_at`, wherever that is.
template<std::size_t Bytes>
struct hard_to_move {
    explicit hard_to_move(int number, rt::test::census& counted)
        : throws_at(number)
        , owned(counted) {}
    hard_to_move(hard_to_move&& other)
        : throws_at(other.throws_at - 1)
        , owned(std::move(other.owned)) {
        if (throws_at == 0) {
            throw std::runtime_error("moved too often");
        }
    }

    int throws_at;
    rt::test::member owned;
    char filling[Bytes]{};
};

template<std::size_t Bytes>
task<hard_to_move<Bytes>> made(int throws_at, rt::test::census* counted) {
    co_await rt::yield();
    co_return hard_to_move<Bytes>(throws_at, *counted);
}

// The number of moves that throw before one value arrives; -1 if anything is left over.
template<std::size_t Bytes>
task<int> moves_until_it_arrives(bool is_spawned) {
    rt::test::census counted;
    int failures = 0;
    for (bool has_arrived = false; !has_arrived && failures < 100;) {
        try {
            if (is_spawned) {
                const auto got = co_await rt::spawn(made<Bytes>, failures + 1, &counted);
                has_arrived = got.throws_at > 0;
            } else {
                const auto got = co_await made<Bytes>(failures + 1, &counted);
                has_arrived = got.throws_at > 0;
            }
        } catch (const std::runtime_error&) {
            ++failures;
        }
    }
    co_return counted.live.load_acquire() == 0 ? failures : -1;
}

} // namespace

Test(throwing_move, what_the_move_of_a_result_throws_is_thrown_by_the_await) {
    on_each_flavor([](rt::runtime& runtime) {
        // Into the promise and out of it; and in between, into the header by way of the stack.
        for (const bool is_spawned : {false, true}) {
            const int least = is_spawned ? 4 : 2;
            cr_assert_geq(runtime.block_on(moves_until_it_arrives<1>(is_spawned)), least);
            cr_assert_geq(runtime.block_on(moves_until_it_arrives<100>(is_spawned)), least);
            cr_assert_geq(runtime.block_on(moves_until_it_arrives<5000>(is_spawned)), least);
        }
    });
}
