// SPDX-License-Identifier: MIT
//
// rt::signals. Each test is a process of its own, so that it may send itself what it likes.
//
// Workers block signals, and nobody can say when another thread will have handled what kill(2)
// sends. raise(3) runs the handler before it returns: tasks call it on a thread made for that, see
// send().
#include "base/captured.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/detail/atomic.h>
#include <rt/runtime.h>
#include <rt/signal.h>
#include <rt/spawn.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using rt::test::on_every_runtime;
using rt::test::run;

// Long enough for a loaded machine; only failures last that long.
constexpr auto patience = 20s;

auto handler_of(int number) {
    struct sigaction now = {};
    sigaction(number, nullptr, &now);
    return now.sa_handler;
}

// The number, or 0 when none came in time.
rt::task<int> receive(rt::signals* from) {
    const rt::result<int> number = co_await rt::timeout(patience, from->recv());
    co_return number ? *number : 0;
}

// Sends a signal, which has been handled when this returns.
void send(int number) {
    std::thread sender([number] {
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, number);
        pthread_sigmask(SIG_UNBLOCK, &mask, nullptr);
        raise(number);
    });
    sender.join();
}

rt::task<bool> is_quiet(rt::signals* from) {
    const rt::result<int> number = co_await rt::timeout(5ms, from->recv());
    co_return !number && number.error() == rt::errc::timed_out;
}

rt::task<int> send_while_waiting() {
    rt::signals users({SIGUSR1});
    rt::join_handle<int> waiter = rt::spawn(receive, &users);
    co_await rt::sleep(2ms); // it most likely waits by now; both orders must work
    send(SIGUSR1);
    co_return co_await std::move(waiter);
}

rt::task<bool> keep_until_received() {
    rt::signals users({SIGUSR1, SIGUSR2});
    send(SIGUSR2);
    send(SIGUSR1);
    send(SIGUSR1);
    const int first = co_await receive(&users);
    const int second = co_await receive(&users);
    const bool quiet = co_await is_quiet(&users);
    send(SIGUSR2);
    const int third = co_await receive(&users);
    co_return first == SIGUSR1&& second == SIGUSR2&& quiet&& third == SIGUSR2;
}

rt::task<bool> serve_every_listener() {
    rt::signals a({SIGUSR1});
    rt::signals b({SIGUSR1, SIGUSR2});
    rt::signals c({SIGUSR2});
    send(SIGUSR1);
    const int to_a = co_await receive(&a);
    const int to_b = co_await receive(&b);
    const bool quiet = co_await is_quiet(&c);
    b.close();
    send(SIGUSR1);
    const int again = co_await receive(&a);
    co_return to_a == SIGUSR1&& to_b == SIGUSR1&& quiet&& again == SIGUSR1;
}

rt::task<bool> wait_again_after_timeouts() {
    rt::signals users({SIGUSR1});
    for (int i = 0; i < 3; ++i) {
        const bool quiet = co_await is_quiet(&users);
        if (!quiet) {
            co_return false;
        }
    }
    send(SIGUSR1);
    const int number = co_await receive(&users);
    co_return number == SIGUSR1;
}

rt::task<bool> receive_after_move() {
    rt::signals users({SIGUSR1});
    send(SIGUSR1);
    rt::signals moved(std::move(users));
    rt::signals assigned({SIGUSR2});
    assigned = std::move(moved);
    const int number = co_await receive(&assigned);
    send(SIGUSR1);
    const int second = co_await receive(&assigned);
    co_return number == SIGUSR1&& second == SIGUSR1&& handler_of(SIGUSR2) == SIG_DFL;
}

rt::task<int> receive_one(rt::atomic<int>* ready) {
    rt::signals users({SIGUSR1});
    ready->add_relaxed(1);
    co_return co_await receive(&users);
}

// One round trip per signal, so that none may coalesce.
rt::task<int> count_rounds(int rounds) {
    rt::signals users({SIGUSR1});
    int received = 0;
    for (int i = 0; i < rounds; ++i) {
        send(SIGUSR1);
        const int number = co_await receive(&users);
        received += number == SIGUSR1 ? 1 : 0;
    }
    co_return received;
}

rt::task<void> listen_and_leave(int rounds) {
    for (int i = 0; i < rounds; ++i) {
        rt::signals users({SIGUSR1, SIGUSR2});
        static_cast<void>(users.try_recv());
        co_await rt::yield();
    }
}

rt::task<bool> listen_and_leave_in_many(int tasks, int rounds) {
    rt::signals held({SIGUSR1});
    std::vector<rt::join_handle<void>> children;
    for (int i = 0; i < tasks; ++i) {
        children.push_back(rt::spawn(listen_and_leave, rounds));
    }
    for (rt::join_handle<void>& child : children) {
        send(SIGUSR1);
        co_await std::move(child);
    }
    const int number = co_await receive(&held);
    co_return number == SIGUSR1;
}

rt::task<void> receive_and_wait_again() {
    rt::signals users({SIGUSR1});
    for (int i = 0; i < 3; ++i) {
        send(SIGUSR1);
        cr_assert(co_await users.recv() == SIGUSR1);
        cr_assert(co_await is_quiet(&users));
    }
}

int lowest_free_descriptor() {
    const int fd = dup(0);
    close(fd);
    return fd;
}

rt::error open_error(std::initializer_list<int> numbers) {
    const rt::result<rt::signals> made =
        rt::signals::open(std::span<const int>(numbers.begin(), numbers.size()));
    return made ? rt::error(1, "opened") : made.error();
}

} // namespace

Test(signal, wakes_the_task_that_waits) {
    on_every_runtime([](const rt::config& config) {
        cr_assert_eq(rt::block_on(config, send_while_waiting()), SIGUSR1);
    });
}

Test(signal, kept_and_coalesced_while_nobody_waits) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, keep_until_received()));
    });
}

Test(signal, each_listener_gets_each_of_its_numbers) {
    cr_assert(run(serve_every_listener()));
}

Test(signal, many_in_a_row_are_all_received) {
    constexpr int rounds = 500;
    on_every_runtime([](const rt::config& config) {
        cr_assert_eq(rt::block_on(config, count_rounds(rounds)), rounds);
    });
}

Test(signal, timeout_around_recv_loses_nothing) {
    on_every_runtime([](const rt::config& config) {
        cr_assert(rt::block_on(config, wait_again_after_timeouts()));
    });
}

Test(signal, moves_with_what_has_arrived) {
    cr_assert(run(receive_after_move()));
}

Test(signal, several_runtimes_listen_at_once) {
    rt::runtime first(rt::test::settings());
    rt::runtime second(rt::test::settings());
    rt::atomic<int> ready{0};
    int numbers[2] = {};
    std::thread other([&] { numbers[1] = second.block_on(receive_one(&ready)); });
    std::thread sender([&] {
        while (ready.load_relaxed() != 2) {
            std::this_thread::yield();
        }
        send(SIGUSR1);
    });
    numbers[0] = first.block_on(receive_one(&ready));
    other.join();
    sender.join();
    cr_assert_eq(numbers[0], SIGUSR1);
    cr_assert_eq(numbers[1], SIGUSR1);
}

// Neither a runtime nor a listener that goes takes anything from one that waits.
Test(signal, b227_a_runtime_that_goes_starves_nobody) {
    on_every_runtime([](const rt::config& config) {
        rt::atomic<int> ready{0};
        rt::signals unused({SIGUSR1});
        auto goes = std::make_unique<rt::runtime>(rt::test::settings());
        goes->get_handle().spawn(receive_one(&ready)).detach();
        int got = 0;
        std::thread stays([&] { got = rt::block_on(config, receive_one(&ready)); });
        while (ready.load_relaxed() != 2) {
            std::this_thread::yield();
        }
        goes.reset();
        unused.close();
        send(SIGUSR1);
        stays.join();
        cr_assert_eq(got, SIGUSR1);
        cr_assert(handler_of(SIGUSR1) == SIG_DFL);
    });
}

Test(signal, b227_each_of_two_listeners_gets_two_in_a_row_coalesced) {
    on_every_runtime([](const rt::config& config) {
        rt::block_on(config, []() -> rt::task<void> {
            rt::signals first({SIGUSR1});
            rt::signals second({SIGUSR1});
            for (int round = 0; round < 2; ++round) {
                send(SIGUSR1);
                send(SIGUSR1);
                for (rt::signals* one : {&first, &second}) {
                    cr_assert_eq(co_await receive(one), SIGUSR1);
                    cr_assert_not(one->try_recv().has_value());
                }
            }
        }());
    });
}

Test(signal, b227_waiting_outside_a_task_aborts_with_advice) {
    const rt::test::captured got = rt::test::capture([] {
        rt::signals users({SIGUSR1});
        auto waiting = users.recv();
        waiting.handle().resume();
    });
    cr_assert(got.was_aborted());
    cr_assert(got.says("outside a task"), "%s", got.text.c_str());
}

Test(signal, one_listener_may_be_used_by_one_runtime_after_another) {
    rt::signals users({SIGUSR1});
    for (int i = 0; i < 3; ++i) {
        raise(SIGUSR1);
        cr_assert_eq(run(receive(&users)), SIGUSR1);
        raise(SIGUSR1);
        cr_assert_eq(rt::block_on(rt::test::single(), receive(&users)), SIGUSR1);
        cr_assert(run(is_quiet(&users)));
    }
}

Test(signal, try_recv_outside_a_task) {
    rt::signals users({SIGUSR1});
    cr_assert_not(users.try_recv().has_value());
    raise(SIGUSR1);
    cr_assert(users.try_recv() == SIGUSR1);
    cr_assert_not(users.try_recv().has_value());
}

// Slots are used again: what came for the one that has gone is not for the next.
Test(signal, a_listener_gets_nothing_of_the_one_before_it) {
    rt::signals other({SIGUSR2});
    {
        const rt::signals gone({SIGUSR1});
        raise(SIGUSR1);
    }
    rt::signals next({SIGUSR1});
    cr_assert_not(next.try_recv().has_value());
    raise(SIGUSR1);
    cr_assert(next.try_recv() == SIGUSR1);
    cr_assert_not(other.try_recv().has_value());
}

Test(signal, the_first_number_and_the_last_are_received) {
    rt::signals both({SIGHUP, SIGRTMAX});
    raise(SIGRTMAX);
    raise(SIGHUP);
    cr_assert(both.try_recv() == SIGHUP);
    cr_assert(both.try_recv() == SIGRTMAX);
    cr_assert_not(both.try_recv().has_value());
}

// A clock that is paused moves only when nothing is ready: if the task that waits again were ready
// because of the signal that it has received, the time limit would never come.
Test(signal, a_task_that_has_received_sleeps_until_the_next) {
    rt::config config = rt::test::single();
    config.start_paused = true;
    rt::block_on(config, receive_and_wait_again());
}

// The handler comes in the middle of whatever the program does.
Test(signal, the_handler_lets_the_thread_that_it_interrupts_go_on) {
    const rt::signals users({SIGUSR1});
    struct sigaction now = {};
    sigaction(SIGUSR1, nullptr, &now);
    cr_assert((now.sa_flags & SA_RESTART) != 0, "a system call must not fail with EINTR");
    cr_assert((now.sa_flags & SA_ONSTACK) != 0, "the stack may be a small one");
}

Test(signal, nothing_listens_for_nothing) {
    rt::signals none;
    cr_assert_not(none.try_recv().has_value());
    cr_assert(run(is_quiet(&none)));
    rt::signals empty({});
    cr_assert(run(is_quiet(&empty)));
    none.close();
}

Test(signal, sigurg_is_refused_and_stays_the_runtimes) {
    rt::runtime runtime(rt::test::settings());
    struct sigaction before = {};
    sigaction(SIGURG, nullptr, &before);
    const rt::error why = open_error({SIGUSR1, SIGURG});
    cr_assert(why.is(EINVAL));
    cr_assert(why.message().find("SIGURG is used by the runtime") != std::string::npos);
    cr_assert(handler_of(SIGURG) == before.sa_handler);
    cr_assert(handler_of(SIGUSR1) == SIG_DFL);
}

Test(signal, last_listener_puts_the_old_disposition_back) {
    struct sigaction ignore = {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGUSR2, &ignore, nullptr);
    {
        rt::signals first({SIGUSR1, SIGUSR2});
        rt::signals second({SIGUSR2});
        cr_assert(handler_of(SIGUSR1) != SIG_DFL);
        cr_assert(handler_of(SIGUSR2) != SIG_IGN);
        first.close();
        cr_assert(handler_of(SIGUSR1) == SIG_DFL);
        cr_assert(handler_of(SIGUSR2) != SIG_IGN);
    }
    cr_assert(handler_of(SIGUSR2) == SIG_IGN);
}

Test(signal, default_action_returns_with_the_last_listener, .signal = SIGTERM) {
    {
        rt::signals stop({SIGTERM});
        raise(SIGTERM); // caught
        cr_assert(stop.try_recv() == SIGTERM);
    }
    raise(SIGTERM);
}

Test(signal, refuses_what_cannot_be_caught) {
    for (const int number : {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, 0, -1, 65, 1000}) {
        cr_assert(open_error({SIGUSR1, number}).is(EINVAL), "%d", number);
        cr_assert(handler_of(SIGUSR1) == SIG_DFL);
    }
    // glibc's own two: only sigaction knows them, and the first number must be taken back.
    cr_assert(open_error({SIGUSR1, 32}).is(EINVAL));
    cr_assert(handler_of(SIGUSR1) == SIG_DFL);
    cr_assert(open_error({SIGUSR1, SIGUSR1}).is(1), "twice the same number is once");
}

Test(signal, constructor_throws_what_open_returns) {
    bool has_thrown = false;
    try {
        const rt::signals bad({SIGKILL});
    } catch (const rt::system_error& error) {
        has_thrown = error.why().is(EINVAL);
    }
    cr_assert(has_thrown);
}

Test(signal, without_descriptors_nothing_is_left_behind) {
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(lowest_free_descriptor());
    setrlimit(RLIMIT_NOFILE, &none);
    const rt::error no_event = open_error({SIGUSR1});
    setrlimit(RLIMIT_NOFILE, &before);
    cr_assert(no_event.is(EMFILE));
    cr_assert(handler_of(SIGUSR1) == SIG_DFL);
    // The table has its descriptor now, and the duplicate is what cannot be had.
    cr_assert(open_error({SIGUSR1}).is(1));
    none.rlim_cur = static_cast<rlim_t>(lowest_free_descriptor());
    setrlimit(RLIMIT_NOFILE, &none);
    const rt::error no_duplicate = open_error({SIGUSR1});
    setrlimit(RLIMIT_NOFILE, &before);
    cr_assert(no_duplicate.is(EMFILE));
    cr_assert(handler_of(SIGUSR1) == SIG_DFL);
    cr_assert(open_error({SIGUSR1}).is(1));
}

Test(signal, there_is_a_limit_of_listeners) {
    std::vector<rt::signals> held;
    for (unsigned i = 0; i < rt::signals::listeners_max; ++i) {
        held.emplace_back(std::initializer_list<int>{SIGUSR1});
    }
    cr_assert(open_error({SIGUSR1}).is(ENOSPC));
    raise(SIGUSR1);
    for (rt::signals& one : held) {
        cr_assert(one.try_recv() == SIGUSR1);
    }
    held.pop_back();
    cr_assert(open_error({SIGUSR1}).is(1));
}

Test(signal, listeners_come_and_go_under_a_hail_of_signals) {
    rt::atomic<int> stop{0};
    rt::signals held({SIGUSR1, SIGUSR2}); // the process must not die between two listeners
    std::vector<std::thread> senders;
    for (const int number : {SIGUSR1, SIGUSR2}) {
        senders.emplace_back([&stop, number] {
            while (stop.load_relaxed() == 0) {
                raise(number);
                std::this_thread::yield();
            }
        });
    }
    cr_assert(run(listen_and_leave_in_many(4, 200)));
    stop.store_relaxed(1);
    for (std::thread& one : senders) {
        one.join();
    }
}
