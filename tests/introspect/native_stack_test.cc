// SPDX-License-Identifier: MIT
//
// Samples of threads that spin, that are in a system call, and that are not there.
//
// Goal: a sample tells where a thread is, disturbs no system call, and leaves other users of the
// signal alone. Method: threads of our own in known functions, and handlers of our own.
#include "base/arch.h"
#include "base/clock.h"
#include "introspect/native_stack.h"
#include "introspect/symbols.h"
#include "support/test.h"

#include <rt/detail/atomic.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>

#include <sys/syscall.h>
#include <unistd.h>

using rt::introspect::native_stack;
using rt::introspect::sample_threads;

namespace {

std::uint64_t in_a_while() {
    return rt::base::monotonic_ns() + 20 * rt::base::ns_per_second;
}

[[gnu::noinline]] bool is_set(rt::atomic<bool>& flag) {
    return flag.load_relaxed();
}

// The call makes the compiler set up a frame before the loop and not behind it.
[[gnu::noinline]] void spin_until(rt::atomic<bool>& stop) {
    while (!is_set(stop)) {
    }
    asm volatile("" ::: "memory"); // no tail call
}

// A thread that has told its id and goes on with `body`.
class other_thread {
public:
    template<class Body>
    explicit other_thread(Body body)
        : thread_([this, body] {
            tid_.store_release(static_cast<int>(::syscall(SYS_gettid)));
            body(stop_);
        }) {
        while (tid_.load_acquire() == 0) {
            std::this_thread::yield();
        }
    }
    ~other_thread() {
        stop_.store_relaxed(true);
        thread_.join();
    }
    [[nodiscard]] int tid() const { return tid_.load_relaxed(); }

private:
    rt::atomic<int> tid_{0};
    rt::atomic<bool> stop_{false};
    std::thread thread_;
};

bool shows(const native_stack& stack, const char* function) {
    rt::introspect::symbol_table symbols(in_a_while());
    for (const std::uintptr_t address : stack.addresses) {
        if (symbols.describe(address).find(function) != std::string::npos) {
            return true;
        }
    }
    return false;
}

volatile sig_atomic_t strangers = 0;

} // namespace

Test(native_stack, a_thread_that_spins_is_sampled_where_it_spins) {
    if (!rt::base::native_frame::has_frame_pointers) {
        cr_skip_test("no frame pointers on this CPU");
    }
    const other_thread busy(&spin_until);
    const int tid = busy.tid();
    native_stack stack;
    while (!shows(stack, "spin_until")) { // it may not have come to its loop yet
        stack = sample_threads({&tid, 1}, in_a_while())[0];
        cr_assert(!stack.is_in_system_call || stack.place != "on CPU");
    }
    cr_assert(stack.place == "on CPU");
    cr_assert(stack.addresses.size() >= 2);
}

Test(native_stack, a_thread_in_a_system_call_is_not_signalled) {
    int ends[2];
    cr_assert_eq(::pipe(ends), 0);
    ssize_t got = -2;
    {
        const other_thread reader([&](rt::atomic<bool>&) {
            char one = 0;
            got = ::read(ends[0], &one, 1);
        });
        const int tid = reader.tid();
        std::string place;
        while (!place.starts_with("in ")) { // until it has reached the call
            place = sample_threads({&tid, 1}, in_a_while())[0].place;
        }
        cr_assert(place.starts_with("in read"), "%s", place.c_str());
        cr_assert_eq(::write(ends[1], "x", 1), 1);
    }
    cr_assert_eq(got, 1); // and not EINTR
}

Test(native_stack, many_threads_are_sampled_at_once) {
    const other_thread a(&spin_until);
    const other_thread b(&spin_until);
    const other_thread c(&spin_until);
    const int tids[] = {a.tid(), b.tid(), c.tid()};
    // One that is put off its CPU while it answers is not sampled, and says so; not for ever.
    const auto have_all_answered = [&] {
        const auto stacks = sample_threads(tids, in_a_while());
        return std::none_of(stacks.begin(), stacks.end(), [](const native_stack& stack) {
            return stack.addresses.empty();
        });
    };
    while (!have_all_answered()) {
    }
}

Test(native_stack, a_thread_that_is_gone_or_blocks_the_signal_is_said_not_to_answer) {
    const other_thread deaf([](rt::atomic<bool>& stop) {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        spin_until(stop);
    });
    const int tids[] = {deaf.tid(), 0x3FFFFFFF};
    const auto stacks =
        sample_threads(tids, rt::base::monotonic_ns() + 5 * rt::base::ns_per_millisecond);
    for (const native_stack& stack : stacks) {
        // The deaf thread may not have come to its mask yet.
        cr_assert(stack.place == "on CPU" || stack.place.starts_with("not sampled"));
    }
    cr_assert(stacks[1].addresses.empty());
}

Test(native_stack, a_signal_that_is_not_a_sample_goes_to_the_former_handler) {
    std::signal(SIGURG, [](int) { strangers = strangers + 1; });
    const other_thread busy(&spin_until);
    const int tid = busy.tid();
    cr_assert(sample_threads({&tid, 1}, in_a_while())[0].place == "on CPU");
    cr_assert_eq(strangers, 0);
    std::raise(SIGURG);
    cr_assert_eq(strangers, 1);
    rt::introspect::remove_sampling_handler();
    std::raise(SIGURG);
    cr_assert_eq(strangers, 2);
}

// Goal: two handlers that took each other for the former one do not call each other for ever.
// Method: one is installed over ours, and ours again over that one.
Test(native_stack, handlers_that_chain_to_each_other_end) {
    static struct sigaction ours {};
    const other_thread busy(&spin_until);
    const int tid = busy.tid();
    cr_assert(sample_threads({&tid, 1}, in_a_while())[0].place == "on CPU");
    struct sigaction over {};
    over.sa_sigaction = [](int number, siginfo_t* info, void* context) {
        strangers = strangers + 1;
        ours.sa_sigaction(number, info, context);
    };
    over.sa_flags = SA_SIGINFO;
    cr_assert_eq(::sigaction(SIGURG, &over, &ours), 0);
    cr_assert(sample_threads({&tid, 1}, in_a_while())[0].place == "on CPU");
    std::raise(SIGURG);
    cr_assert_eq(strangers, 1);
}
