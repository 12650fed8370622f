// SPDX-License-Identifier: MIT
//
// Results whose move throws, at each of the moves from co_return, or the return of a closure, to
// who awaits it.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/spawn_blocking.h>
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

enum class way { awaited, spawned, in_a_closure, in_a_spawned_closure };

// The number of moves that throw before one value arrives; -1 if anything is left over.
template<std::size_t Bytes>
task<int> moves_until_it_arrives(way how) {
    rt::test::census counted;
    int failures = 0;
    for (bool has_arrived = false; !has_arrived && failures < 100;) {
        try {
            const auto closure = [&counted, throws_at = failures + 1] {
                return hard_to_move<Bytes>(throws_at, counted);
            };
            if (how == way::awaited) {
                const auto got = co_await made<Bytes>(failures + 1, &counted);
                has_arrived = got.throws_at > 0;
            } else if (how == way::spawned) {
                const auto got = co_await rt::spawn(made<Bytes>, failures + 1, &counted);
                has_arrived = got.throws_at > 0;
            } else if (how == way::in_a_closure) {
                const auto got = co_await rt::blocking(closure);
                has_arrived = got.throws_at > 0;
            } else {
                const auto got = co_await rt::spawn_blocking(closure);
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
        for (const way how :
             {way::awaited, way::spawned, way::in_a_closure, way::in_a_spawned_closure}) {
            const bool is_spawned = how == way::spawned || how == way::in_a_spawned_closure;
            const int least = is_spawned ? 4 : 2;
            cr_assert_geq(runtime.block_on(moves_until_it_arrives<1>(how)), least);
            cr_assert_geq(runtime.block_on(moves_until_it_arrives<100>(how)), least);
            cr_assert_geq(runtime.block_on(moves_until_it_arrives<5000>(how)), least);
        }
    });
}

namespace {

// The second move is that out of the promise, when the frame is about to go.
task<void> detaches_one_whose_result_cannot_be_kept() {
    rt::test::census counted;
    rt::spawn(made<1>, 2, &counted).detach();
    while (counted.made.load_acquire() < 2 || counted.live.load_acquire() != 0) {
        co_await rt::yield();
    }
}

} // namespace

Test(throwing_move, what_it_throws_is_reported_if_nobody_awaits_the_task) {
    const rt::test::captured got = rt::test::capture([] {
        rt::runtime runtime(rt::test::with_workers(1));
        runtime.block_on(detaches_one_whose_result_cannot_be_kept());
    });
    cr_assert(got.has_exited(), "%s", got.text.c_str());
    cr_assert(
        got.says("ended with an exception that nobody awaits: moved too often"),
        "%s",
        got.text.c_str()
    );
}
