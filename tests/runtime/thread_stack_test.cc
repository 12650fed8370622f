// SPDX-License-Identifier: MIT
//
// config::thread_stack_kib: the stacks of workers, of stand-ins and of the blocking pool's threads.
#include "support/test.h"
#include "task/gate.h"

#include <rt/block_in_place.h>
#include <rt/blocking.h>
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>

#include <cstddef>
#include <thread>

#include <pthread.h>

namespace {

using rt::task;

constexpr std::size_t wanted_kib = 320;

std::size_t stack_kib() {
    pthread_attr_t attributes;
    cr_assert_eq(::pthread_getattr_np(::pthread_self(), &attributes), 0);
    void* lowest = nullptr;
    std::size_t bytes = 0;
    cr_assert_eq(::pthread_attr_getstack(&attributes, &lowest, &bytes), 0);
    ::pthread_attr_destroy(&attributes);
    return bytes / 1024;
}

struct sizes {
    std::size_t worker = 0;
    std::size_t closure = 0;
    std::size_t stand_in = 0;
};

task<void> looks(rt::atomic<std::size_t>* into) {
    into->store_release(stack_kib());
    co_return;
}

// The only worker is away while the other task runs: on a stand-in.
task<sizes> measures() {
    sizes found;
    found.worker = stack_kib();
    found.closure = co_await rt::blocking(stack_kib);
    rt::atomic<std::size_t> seen{0};
    auto other = rt::spawn(looks, &seen);
    rt::block_in_place([&] {
        while (seen.load_acquire() == 0) {
            std::this_thread::yield();
        }
    });
    co_await std::move(other);
    found.stand_in = seen.load_acquire();
    co_return found;
}

} // namespace

Test(thread_stack, every_thread_has_what_was_asked_for) {
    rt::config wanted = rt::test::with_workers(1);
    wanted.thread_stack_kib = wanted_kib;
    const sizes found = rt::block_on(wanted, measures());
    cr_assert_eq(found.worker, wanted_kib);
    cr_assert_eq(found.closure, wanted_kib);
    cr_assert_eq(found.stand_in, wanted_kib);
}

Test(thread_stack, the_default_is_that_of_any_thread) {
    std::size_t usual = 0;
    std::thread([&] { usual = stack_kib(); }).join();
    const sizes found = rt::block_on(rt::test::with_workers(1), measures());
    cr_assert_eq(found.worker, usual);
    cr_assert_eq(found.closure, usual);
    cr_assert_eq(found.stand_in, usual);
}
