// SPDX-License-Identifier: MIT
//
// rt::try_join: all values, or the first error; who is cancelled for it; and what comes of
// exceptions beside errors.
#include "support/test.h"
#include "task/gate.h"

#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/try_join.h>
#include <rt/yield.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::result;
using rt::task;
using rt::test::census;
using rt::test::everywhere;
using rt::test::gate;
using rt::test::member;
using rt::test::on_each_flavor;

template<typename T>
task<result<T>> gives(T value, int yields) {
    for (int i = 0; i < yields; ++i) {
        co_await rt::yield();
    }
    co_return value;
}

task<result<void>> succeeds() {
    co_return result<void>();
}

task<result<int>> fails(int code, int yields) {
    for (int i = 0; i < yields; ++i) {
        co_await rt::yield();
    }
    co_return rt::failure(code, "test");
}

task<result<int>> waits(gate* at, census* counted) {
    const member local(*counted);
    co_await at->wait();
    co_return 1;
}

task<result<int>> throws_after(int yields) {
    for (int i = 0; i < yields; ++i) {
        co_await rt::yield();
    }
    throw std::runtime_error("a part failed");
}

// Fails when it is cancelled, which is too late.
task<result<int>> fails_late(census* counted) {
    struct watcher {
        explicit watcher(census& of)
            : counted(of) {}
        ~watcher() { late.detach(); }
        member counted;
        rt::join_handle<result<int>> late = rt::spawn(fails, EIO, 0);
    } const local(*counted);
    co_await rt::sleep(1h);
    co_return 0;
}

task<bool> joins_values() {
    auto got = co_await rt::try_join(
        gives(4, 3), gives(std::make_unique<int>(5), 1), succeeds(), rt::spawn(gives<int>, 6, 0)
    );
    if (!got) {
        co_return false;
    }
    auto& [number, owned, nothing, spawned] = *got;
    static_assert(std::is_same_v<decltype(nothing), std::monostate>);
    const result<void> only_void = co_await rt::try_join(succeeds(), succeeds());
    co_return number == 4 && *owned == 5 && spawned == 6 && only_void.has_value();
}

task<bool> joins_vectors() {
    std::vector<task<result<int>>> parts;
    for (int i = 0; i < 100; ++i) {
        parts.push_back(gives(i, i % 7));
    }
    const auto got = co_await rt::try_join(std::move(parts));
    bool is_good = got.has_value() && got->size() == 100;
    for (int i = 0; is_good && i < 100; ++i) {
        is_good = (*got)[static_cast<std::size_t>(i)] == i;
    }
    const auto none = co_await rt::try_join(std::vector<task<result<int>>>());
    std::vector<task<result<void>>> silent;
    silent.push_back(succeeds());
    const result<void> nothing = co_await rt::try_join(std::move(silent));
    co_return is_good&& none.has_value() && none->empty() && nothing.has_value();
}

// The first error in time, not in place; the others have unwound when it is known.
task<int> first_error(census* counted) {
    gate never;
    const auto got = co_await rt::try_join(
        waits(&never, counted), fails(ENOENT, 5), fails(EPERM, 2), fails_late(counted)
    );
    if (got || counted->live.load_acquire() != 0) {
        co_return 0;
    }
    co_return got.error().code();
}

task<int> first_error_of_a_vector(census* counted) {
    gate never;
    std::vector<task<result<int>>> parts;
    parts.push_back(waits(&never, counted));
    parts.push_back(fails(ENOENT, 5));
    parts.push_back(fails(EPERM, 2));
    const auto got = co_await rt::try_join(std::move(parts));
    co_return got || counted->live.load_acquire() != 0 ? 0 : got.error().code();
}

// A part that is not begun yet when another fails is destroyed unstarted.
task<bool> fails_at_once(census* counted) {
    gate open;
    open.open();
    const auto got = co_await rt::try_join(fails(EPERM, 0), waits(&open, counted));
    co_return !got && got.error().is(EPERM) && counted->live.load_acquire() == 0;
}

task<std::string> exception_first(census* counted) {
    gate never;
    try {
        const auto got =
            co_await rt::try_join(throws_after(2), fails(EPERM, 1000), waits(&never, counted));
        co_return got ? "joined" : "an error won";
    } catch (const std::runtime_error& error) {
        co_return counted->live.load_acquire() == 0 ? error.what() : "a part is left";
    }
}

task<int> error_first() {
    const auto got = co_await rt::try_join(throws_after(1000), fails(EPERM, 2));
    co_return got ? 0 : got.error().code();
}

task<bool> is_cancelled_whole(census* counted) {
    gate never;
    auto late =
        co_await rt::timeout(1ms, rt::try_join(waits(&never, counted), waits(&never, counted)));
    co_return !late && counted->live.load_acquire() == 0;
}

// An error and a deadline of the whole at about the same time.
task<bool> races_a_deadline(int rounds, census* counted) {
    for (int i = 0; i < rounds; ++i) {
        gate never;
        auto got = co_await rt::timeout(
            std::chrono::microseconds(i % 1500),
            rt::try_join(
                waits(&never, counted),
                [](gate* at, census* in) -> task<result<int>> {
                    static_cast<void>(co_await rt::timeout(1ms, waits(at, in)));
                    co_return rt::failure(EPERM, "test");
                }(&never, counted)
            )
        );
        if (counted->live.load_acquire() != 0 || got) {
            co_return false;
        }
    }
    co_return true;
}

} // namespace

Test(try_join, yields_the_values_of_all_parts) {
    everywhere([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(joins_values()));
        cr_assert(runtime.block_on(joins_vectors()));
    });
}

Test(try_join, ends_with_the_first_error_once_the_others_are_gone) {
    everywhere([](rt::runtime& runtime) {
        census counted;
        cr_assert_eq(runtime.block_on(first_error(&counted)), EPERM);
        cr_assert_eq(runtime.block_on(first_error_of_a_vector(&counted)), EPERM);
        cr_assert(runtime.block_on(fails_at_once(&counted)));
        cr_assert_eq(counted.live.load_acquire(), 0);
    });
}

Test(try_join, exceptions_and_errors_do_not_replace_each_other) {
    on_each_flavor([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(exception_first(&counted)) == "a part failed");
        cr_assert_eq(runtime.block_on(error_first()), EPERM);
    });
}

Test(try_join, cancelling_it_unwinds_all_parts) {
    on_each_flavor([](rt::runtime& runtime) {
        census counted;
        cr_assert(runtime.block_on(is_cancelled_whole(&counted)));
        cr_assert(runtime.block_on(races_a_deadline(300, &counted)));
    });
}
