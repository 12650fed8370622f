// SPDX-License-Identifier: MIT
//
// A program whose workers never come back: "stuck spin" computes for ever, "stuck sleep" blocks in
// a system call. Started by stuck_test.sh, which asks its introspection socket what it is doing.
//
// First three tasks wait, so that there is something healthy to
// see; then one task per worker gets stuck, and two more stay ready for ever. The names of these
// coroutines are what the answers must contain.
#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>

#include <chrono>
#include <cstdio>
#include <cstring>

#include <sched.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;

rt::atomic<std::uint32_t> waiting{0};
rt::atomic<std::uint32_t> stuck{0};

rt::task<void> inner_wait() {
    waiting.add_relaxed(1);
    co_await rt::sleep(1h);
}

rt::task<void> wait_patiently() {
    co_await inner_wait();
}

// Not inlined, so that the native stack has a frame of this name.
[[gnu::noinline]] void compute_for_ever() {
    for (;;) {
        asm volatile("" ::: "memory"); // a loop without an effect would be undefined
    }
}

rt::task<void> spin_for_ever() {
    stuck.add_relaxed(1);
    compute_for_ever();
    co_return;
}

rt::task<void> block_for_ever() {
    stuck.add_relaxed(1);
    for (;;) {
        ::sleep(100); // what rt::blocking is for
    }
    co_return;
}

rt::task<void> never_reached() {
    co_return;
}

void wait_for(const rt::atomic<std::uint32_t>& counter, std::uint32_t count) {
    while (counter.load_relaxed() < count) {
        ::sched_yield();
    }
}

} // namespace

int main(int argc, char** argv) {
    const bool spins = argc == 2 && std::strcmp(argv[1], "spin") == 0;
    if (!spins && (argc != 2 || std::strcmp(argv[1], "sleep") != 0)) {
        std::fprintf(stderr, "usage: stuck spin|sleep\n");
        return 2;
    }
    rt::config config;
    config.workers = 2;
    config.relief_threads = 0; // nobody shall run what waits
    rt::runtime runtime(config);
    const rt::handle handle = runtime.get_handle();
    for (int i = 0; i < 3; ++i) {
        handle.spawn(wait_patiently()).detach();
    }
    wait_for(waiting, 3);
    // The one of the other worker is taken by it, or is queued behind and stolen.
    for (std::uint32_t i = 0; i < runtime.worker_count(); ++i) {
        handle.spawn(spins ? spin_for_ever() : block_for_ever()).detach();
    }
    wait_for(stuck, runtime.worker_count());
    handle.spawn(never_reached()).detach();
    handle.spawn(never_reached()).detach();
    std::printf("introspection socket %s\n", runtime.introspection_path().c_str());
    std::fflush(stdout);
    for (;;) {
        ::pause();
    }
}
