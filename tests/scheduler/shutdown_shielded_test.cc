// SPDX-License-Identifier: MIT
//
// The end of a runtime whose shielded tasks wait for descriptors that workers watch which are at
// rest already.
#include "support/test.h"
#include "task/gate.h"
#include "task/sockets.h"

#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/shield.h>
#include <rt/spawn.h>

#include <array>
#include <cstdint>
#include <memory>
#include <thread>

namespace {

using rt::task;
using rt::test::gate;
using rt::test::with_workers;

TestSuite(shutdown_shielded);
using rt::test::read_one;
using rt::test::sockets;

struct readers {
    std::array<sockets, 2> pairs;
    rt::atomic<std::uint32_t> begun{0};
    rt::atomic<std::uint32_t> reading{0};
    rt::atomic<int> ended{0};
};

task<char> reads(readers* all, std::size_t which) {
    all->reading.add_acq_rel(1); // and waits, before its worker looks for the end
    co_return co_await read_one(&all->pairs[which].near);
}

// Each on a worker of its own: neither goes on before both run.
task<void> reads_shielded(readers* all, std::size_t which) {
    all->begun.add_acq_rel(1);
    while (all->begun.load_acquire() != all->pairs.size()) {
        std::this_thread::yield();
    }
    cr_assert_eq(co_await rt::shield(reads(all, which)), 'x');
    all->ended.add_acq_rel(1);
}

// Is cancelled when all workers but one are at rest, and only then gives the readers their bytes.
struct writes_at_the_end {
    const readers* to;
    ~writes_at_the_end() {
        for (const sockets& pair : to->pairs) {
            pair.write('x');
        }
    }
};

task<void> waits_and_writes(gate* at, std::unique_ptr<writes_at_the_end> /*owned*/) {
    co_await at->wait();
}

} // namespace

Test(shutdown_shielded, waits_for_shielded_tasks_that_read_on_workers_at_rest) {
    for (const rt::driver_kind driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        readers all;
        gate never;
        auto runtime = std::make_unique<rt::runtime>(with_workers(2, driver));
        const rt::handle onto = runtime->get_handle();
        onto.spawn(waits_and_writes(&never, std::make_unique<writes_at_the_end>(&all))).detach();
        for (std::size_t i = 0; i < all.pairs.size(); ++i) {
            onto.spawn(reads_shielded(&all, i)).detach();
        }
        while (all.reading.load_acquire() != all.pairs.size()) {
            std::this_thread::yield();
        }
        runtime.reset();
        cr_assert_eq(all.ended.load_acquire(), 2);
    }
}
