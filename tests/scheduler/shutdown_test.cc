// SPDX-License-Identifier: MIT
//
// The end of a runtime: every task that is left is destroyed once, on a worker, in its own context,
// whatever it waits for and whatever its destructors do.
//
// A census counts what the tasks own. A shutdown that forgets a task leaves the census above zero;
// one that waits for something that never comes makes the test hang.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"
#include "task/sockets.h"

#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

#include <sys/socket.h>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::census;
using rt::test::gate;
using rt::test::member;
using rt::test::opener;
using rt::test::with_workers;

constexpr std::array<std::uint32_t, 5> all_workers{0, 1, 2, 4, 8};

template<typename Body>
void on_all(Body body) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        for (const std::uint32_t workers : all_workers) {
            auto runtime = std::make_unique<rt::runtime>(with_workers(workers, driver));
            body(std::move(runtime));
        }
    }
}

task<void> waits(gate* at, member /*owned*/) {
    co_await at->wait();
}
task<void> sleeps(member /*owned*/) {
    co_await rt::sleep(1h);
}
task<void> yields(member /*owned*/) {
    for (;;) {
        co_await rt::yield();
    }
}
task<void> joins(rt::join_handle<void> other, member /*owned*/) {
    co_await std::move(other);
}
task<void> times_out(gate* at, member owned, census* counted) {
    static_cast<void>(co_await rt::timeout(1h, waits(at, member(*counted))));
    static_cast<void>(owned);
}

// One task of each kind of waiting, `count` times.
task<void> leaves_all_kinds(gate* at, census* counted, int count) {
    for (int i = 0; i < count; ++i) {
        rt::spawn(waits, at, member(*counted)).detach();
        rt::spawn(sleeps, member(*counted)).detach();
        rt::spawn(yields, member(*counted)).detach();
        rt::spawn(times_out, at, member(*counted), counted).detach();
        auto inner = rt::spawn(waits, at, member(*counted));
        rt::spawn(joins, std::move(inner), member(*counted)).detach();
    }
    co_await rt::sleep(1ms);
    for (int i = 0; i < count; ++i) {
        rt::spawn(waits, at, member(*counted)).detach(); // some have not begun
    }
}

} // namespace

Test(shutdown, b083_destroys_every_pending_task_once) {
    on_all([](std::unique_ptr<rt::runtime> runtime) {
        census counted;
        gate never;
        runtime->block_on(leaves_all_kinds(&never, &counted, 50));
        cr_assert(counted.live.load_relaxed() > 0);
        runtime.reset();
        cr_assert_eq(counted.live.load_relaxed(), 0);
        cr_assert_eq(never.waiting(), 0U);
    });
}

Test(shutdown, destroys_tasks_that_nobody_has_driven) {
    on_all([](std::unique_ptr<rt::runtime> runtime) {
        census counted;
        gate never;
        for (int i = 0; i < 100; ++i) {
            runtime->get_handle().spawn(waits(&never, member(counted))).detach();
        }
        runtime.reset();
        cr_assert_eq(counted.live.load_relaxed(), 0);
    });
}

Test(shutdown, b085_a_thousand_runtimes_come_and_go) {
    census counted;
    gate never;
    for (int i = 0; i < 1000; ++i) {
        rt::runtime runtime(with_workers(static_cast<std::uint32_t>(i % 3)));
        runtime.get_handle().spawn(waits(&never, member(counted))).detach();
    }
    cr_assert_eq(counted.live.load_relaxed(), 0);
    cr_assert_geq(counted.made.load_relaxed(), 1000);
}

// ---- what join handles learn --------------------------------------------------------------------

namespace {

template<typename T>
bool take_is_cancelled(rt::join_handle<T> handle) {
    try {
        handle.take();
    } catch (const rt::join_error&) {
        return true;
    }
    return false;
}

} // namespace

Test(shutdown, b030_a_task_that_was_pending_is_cancelled_for_its_handle) {
    on_all([](std::unique_ptr<rt::runtime> runtime) {
        census counted;
        gate never;
        rt::join_handle<void> handle = runtime->get_handle().spawn(waits(&never, member(counted)));
        runtime.reset();
        cr_assert(handle.is_finished());
        cr_assert(take_is_cancelled(std::move(handle)));
    });
}

Test(shutdown, b030_a_spawn_after_it_gives_a_handle_that_is_cancelled_already) {
    on_all([](std::unique_ptr<rt::runtime> runtime) {
        const rt::handle late = runtime->get_handle();
        runtime.reset();
        census counted;
        gate never;
        for (int i = 0; i < 100; ++i) {
            rt::join_handle<void> handle = late.spawn(waits(&never, member(counted)));
            cr_assert(static_cast<bool>(handle));
            cr_assert(handle.is_finished());
            cr_assert_eq(counted.live.load_relaxed(), 0);
            handle.abort();
            cr_assert(take_is_cancelled(std::move(handle)));
        }
        cr_assert_eq(never.waiting(), 0U, "it has not begun");
    });
}

Test(shutdown, b036_two_tasks_that_hold_each_others_handles_are_both_destroyed) {
    on_all([](std::unique_ptr<rt::runtime> runtime) {
        census counted;
        struct cell {
            gate full;
            std::optional<rt::join_handle<void>> other;
        };
        // The handles end up in the other task's frame: a cycle.
        static const auto holds = [](cell* from, member /*owned*/) -> task<void> {
            co_await from->full.wait();
            rt::join_handle<void> held = std::move(*from->other);
            co_await std::move(held);
        };
        cell first;
        cell second;
        const rt::handle onto = runtime->get_handle();
        first.other = onto.spawn(holds(&second, member(counted)));
        second.other = onto.spawn(holds(&first, member(counted)));
        first.full.open();
        second.full.open();
        runtime->block_on([]() -> task<void> {
            co_await rt::sleep(2ms);
        }());
        runtime.reset();
        cr_assert_eq(counted.live.load_relaxed(), 0);
    });
}

// A server that ends is no news: the tasks that wait for the ones that are cancelled first are
// cancelled themselves, and their join_error is nobody's exception.
Test(shutdown, says_nothing_about_the_tasks_that_it_cancels) {
    for (const std::uint32_t workers : all_workers) {
        const rt::test::captured got = rt::test::capture([=] {
            census counted;
            gate never;
            rt::runtime runtime(with_workers(workers));
            runtime.block_on(leaves_all_kinds(&never, &counted, 20));
        });
        cr_assert(got.has_exited());
        cr_assert(got.text.empty(), "%u workers: %s", workers, got.text.c_str());
    }
}

// ---- destructors that do things -----------------------------------------------------------------

namespace {

struct findings {
    rt::atomic<int> destroyed{0};
    rt::atomic<int> without_runtime{0};
    rt::atomic<int> without_task{0};
    rt::atomic<int> child_ran{0};
    census children;
};

task<void> never_ends(findings* found, member /*owned*/) {
    found->child_ran.add_relaxed(1);
    gate never;
    co_await never.wait();
}

// Spawns on its way out, as a logger or a connection pool might.
class spawner {
public:
    explicit spawner(findings* found) noexcept
        : found_(found) {}
    spawner(spawner&& other) noexcept
        : found_(std::exchange(other.found_, nullptr)) {}
    ~spawner() {
        if (found_ == nullptr) {
            return;
        }
        found_->destroyed.add_relaxed(1);
        if (rt::handle::try_current()) {
            rt::spawn(never_ends, found_, member(found_->children)).detach();
        } else {
            found_->without_runtime.add_relaxed(1);
        }
        if (rt::detail::this_thread.task == nullptr) {
            found_->without_task.add_relaxed(1);
        }
    }

private:
    findings* found_;
};

task<void> owns_spawner(gate* at, spawner /*owned*/) {
    co_await at->wait();
}

task<void> opens_when_it_dies(gate* waited, opener /*owned*/, member /*owned*/) {
    co_await waited->wait();
}

} // namespace

Test(shutdown, b089_destructors_run_in_the_context_of_runtime_and_task) {
    on_all([](std::unique_ptr<rt::runtime> runtime) {
        findings found;
        gate never;
        for (int i = 0; i < 20; ++i) {
            runtime->get_handle().spawn(owns_spawner(&never, spawner(&found))).detach();
        }
        runtime->block_on([]() -> task<void> {
            co_await rt::sleep(1ms);
        }());
        runtime.reset();
        cr_assert_eq(found.destroyed.load_relaxed(), 20);
        cr_assert_eq(found.without_runtime.load_relaxed(), 0);
        cr_assert_eq(found.without_task.load_relaxed(), 0);
    });
}

Test(shutdown, b100_a_task_that_a_destructor_spawns_is_cancelled_and_leaks_nothing) {
    on_all([](std::unique_ptr<rt::runtime> runtime) {
        findings found;
        gate never;
        for (int i = 0; i < 20; ++i) {
            runtime->get_handle().spawn(owns_spawner(&never, spawner(&found))).detach();
        }
        runtime->block_on([]() -> task<void> {
            co_await rt::sleep(1ms);
        }());
        runtime.reset();
        cr_assert_eq(found.destroyed.load_relaxed(), 20);
        cr_assert(found.children.made.load_relaxed() > 0);
        cr_assert_eq(found.children.live.load_relaxed(), 0);
    });
}

Test(shutdown, b087_destructors_that_wake_other_tasks_do_no_harm) {
    on_all([](std::unique_ptr<rt::runtime> runtime) {
        census counted;
        std::mutex lock;
        std::array<gate, 50> gates;
        for (std::size_t i = 0; i < gates.size(); ++i) {
            gate* const next = &gates[(i + 1) % gates.size()];
            runtime->get_handle()
                .spawn(opens_when_it_dies(&gates[i], opener(next, &lock), member(counted)))
                .detach();
        }
        runtime->block_on([]() -> task<void> {
            co_await rt::sleep(1ms);
        }());
        runtime.reset();
        cr_assert_eq(counted.live.load_relaxed(), 0);
    });
}

Test(shutdown, b088_destructors_wake_others_while_the_roots_exception_leaves) {
    on_all([](std::unique_ptr<rt::runtime> runtime) {
        census counted;
        std::mutex lock;
        std::array<gate, 20> gates;
        bool is_caught = false;
        try {
            const std::unique_ptr<rt::runtime> dies = std::move(runtime);
            dies->block_on(
                [](std::array<gate, 20>* all, std::mutex* held, census* members) -> task<void> {
                    for (std::size_t i = 0; i < all->size(); ++i) {
                        gate* const next = &(*all)[(i + 1) % all->size()];
                        rt::spawn(
                            opens_when_it_dies(&(*all)[i], opener(next, held), member(*members))
                        )
                            .detach();
                    }
                    co_await rt::yield();
                    throw std::runtime_error("the root's own");
                }(&gates, &lock, &counted)
            );
        } catch (const std::runtime_error& error) {
            is_caught = std::string_view(error.what()) == "the root's own";
        }
        cr_assert(is_caught);
        cr_assert_eq(counted.live.load_relaxed(), 0);
    });
}

namespace {

task<void> reads_for_ever(rt::test::sockets* pair, member /*owned*/) {
    for (;;) {
        static_cast<void>(co_await rt::test::read_one(&pair->near));
    }
}

} // namespace

Test(shutdown, b090_bytes_that_arrive_meanwhile_do_no_harm) {
    on_all([](std::unique_ptr<rt::runtime> runtime) {
        census counted;
        std::vector<std::unique_ptr<rt::test::sockets>> pairs;
        for (int i = 0; i < 10; ++i) {
            pairs.push_back(std::make_unique<rt::test::sockets>());
            runtime->get_handle()
                .spawn(reads_for_ever(pairs.back().get(), member(counted)))
                .detach();
        }
        rt::atomic<bool> has_begun{false};
        rt::atomic<bool> is_over{false};
        std::thread writer([&] {
            while (!is_over.load_acquire()) {
                for (const auto& each : pairs) {
                    // Nobody reads any more at the end: the pipe may be full.
                    static_cast<void>(!::send(each->far, "x", 1, MSG_DONTWAIT));
                }
                has_begun.store_release(true);
            }
        });
        runtime->block_on([](const rt::atomic<bool>* begun) -> task<void> {
            while (!begun->load_acquire()) {
                co_await rt::sleep(1ms);
            }
        }(&has_begun));
        runtime.reset();
        is_over.store_release(true);
        writer.join();
        cr_assert_eq(counted.live.load_relaxed(), 0);
    });
}

// ---- tasks that make more tasks -----------------------------------------------------------------

namespace {

task<void> respawns(rt::atomic<long>* count) {
    count->add_relaxed(1);
    rt::spawn(respawns, count).detach();
    co_return;
}

task<void> respawns_after_a_yield(rt::atomic<long>* count, member owned) {
    count->add_relaxed(1);
    co_await rt::yield();
    rt::spawn(respawns_after_a_yield, count, std::move(owned)).detach();
}

} // namespace

Test(shutdown, ends_an_endless_chain_of_tasks_that_spawn_one_another) {
    on_all([](std::unique_ptr<rt::runtime> runtime) {
        rt::atomic<long> count{0};
        runtime->get_handle().spawn(respawns(&count)).detach();
        runtime->block_on([](rt::atomic<long>* seen) -> task<void> {
            while (seen->load_relaxed() < 10) {
                co_await rt::yield();
            }
        }(&count));
        runtime.reset();
    });
}

Test(shutdown, ends_an_endless_chain_of_tasks_that_yield_and_spawn) {
    on_all([](std::unique_ptr<rt::runtime> runtime) {
        rt::atomic<long> count{0};
        census counted;
        runtime->get_handle().spawn(respawns_after_a_yield(&count, member(counted))).detach();
        runtime->block_on([](rt::atomic<long>* seen) -> task<void> {
            while (seen->load_relaxed() < 10) {
                co_await rt::yield();
            }
        }(&count));
        runtime.reset();
        cr_assert_eq(counted.live.load_relaxed(), 0);
    });
}
