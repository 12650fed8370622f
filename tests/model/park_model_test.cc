// SPDX-License-Identifier: MIT
//
// Falling asleep and being woken, under every interleaving: a worker on its driver, with a watchdog
// that reaps in its place; that watchdog's own sleep; and a thread from outside that waits for a
// task.
//
// The code under test is scheduler/parker.h, vigil.h, thread_listener.h, driver/driver.cc and the
// epoll driver, whole, on a kernel that is modelled here: an eventfd, and an epoll instance that
// reports each write to it once. Whoever published work and then called unpark must not leave the
// worker asleep beside it. The ring driver keeps the same rules, in code of its own.
#include "base/clock.h"
#include "base/process.h"
#include "base/unique_fd.h"
#include "model/faults.h"
#include "model/sync_model.h"

#include <thread>

#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace {

using rt::model::bounded;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt::model::machine;
using rt::model::options;

// The kernel's side of one epoll instance that watches one eventfd, edge by edge.
struct kernel {
    rt_model::atomic<std::uint64_t> counter;
    rt_model::atomic<unsigned> has_edge;
};
kernel* system_side = nullptr;
void* event_data = nullptr;

[[maybe_unused]] int model_eventfd_write(int /*fd*/, eventfd_t /*one*/) {
    if (!machine::instance().is_broken(fault::no_wake)) {
        system_side->counter.add_acq_rel(1);
        machine::instance().join_next();
        system_side->has_edge.exchange_acq_rel(1);
    }
    return 0;
}
[[maybe_unused]] int model_eventfd_read(int /*fd*/, eventfd_t* value) {
    *value = system_side->counter.exchange_acq_rel(0);
    return 0;
}
[[maybe_unused]] int
model_epoll_wait(int /*fd*/, epoll_event* events, int /*most*/, int milliseconds) {
    if (milliseconds != 0) {
        check(milliseconds == -1, "there are no deadlines here");
        rt::model::wait_until([] { return system_side->has_edge.peek() != 0; }, true);
    }
    if (system_side->has_edge.exchange_acq_rel(0) == 0) {
        return 0;
    }
    events[0].events = EPOLLIN;
    events[0].data.ptr = event_data;
    return 1;
}
[[maybe_unused]] int model_epoll_ctl(int, int, int, epoll_event* registration) {
    event_data = registration->data.ptr;
    return 0;
}
[[maybe_unused]] int model_descriptor() {
    return 1000; // is never used
}

} // namespace

namespace rt_model {
namespace base {

using ::rt::base::monotonic_ns;
using ::rt::base::process_mark;

class unique_fd {
public:
    explicit unique_fd(int fd) noexcept
        : fd_(fd) {}
    unique_fd(unique_fd&&) noexcept = default;
    explicit operator bool() const noexcept { return true; }
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_;
};

} // namespace base

namespace metrics {
using ::rt::metrics::worker_counters;
template<typename Counter>
void count(Counter /*which*/) noexcept {
}
template<typename Counter>
void add(Counter /*which*/, std::uint64_t /*many*/) noexcept {
}
} // namespace metrics
} // namespace rt_model

// clang-format off
#define rt rt_model
#define syscall model_syscall
#define epoll_wait model_epoll_wait
#define epoll_ctl model_epoll_ctl
#define epoll_create1(flags) model_descriptor()
#define eventfd(value, flags) model_descriptor()
#define eventfd_write model_eventfd_write
#define eventfd_read model_eventfd_read
#include "driver/driver.cc"
#include "driver/epoll.cc"
#include "scheduler/local_queue.h"
#include "scheduler/inject_queue.h"
#include "scheduler/parker.h"
#include "scheduler/thread_listener.h"
#include "scheduler/vigil.h"
#undef eventfd_read
#undef eventfd_write
#undef eventfd
#undef epoll_create1
#undef epoll_ctl
#undef epoll_wait
#undef syscall
#undef rt
// clang-format on

namespace rt_model::driver {
// What driver.cc refers to, and this test does not call.
std::string ring_unusable(std::uint32_t /*entries*/) noexcept {
    return {};
}
result<std::unique_ptr<driver>> make_ring(std::uint32_t /*entries*/, bool /*roams*/) noexcept {
    return failure(ENOSYS, "ring");
}
} // namespace rt_model::driver

namespace {

options broken(fault what) {
    return {
        .is_weak = what != fault::torn_rmw && what != fault::no_wake,
        .broken = what,
        .preemptions_max = 5};
}

struct cast {
    unsigned wakers;
    unsigned each; // units of work by each waker
    bool has_watchdog;
};

// A worker that sleeps until all work was published.
struct worker {
    static constexpr unsigned threads = 4;

    explicit worker(cast wanted)
        : who(wanted) {
        rt_model::scenario::set_up_sync();
        system_side = &system;
        driver = *rt_model::driver::make_epoll();
    }

    void run(unsigned self) {
        if (self == 0) {
            while (work.load_relaxed() != who.wakers * who.each) {
                parker.sleep(*driver, rt_model::driver::no_deadline);
            }
        } else if (self <= who.wakers) {
            for (unsigned i = 0; i < who.each; ++i) {
                work.add_relaxed(1);
                parker.unpark(*driver);
            }
        } else if (self == 3 && who.has_watchdog) {
            // It saw the worker in a long turn, which has ended since.
            static_cast<void>(driver->rescue());
        }
    }

    void at_end(bool is_stuck) { check(!is_stuck, "the worker sleeps beside work"); }

    const cast who;
    kernel system;
    std::unique_ptr<rt_model::driver::driver> driver;
    rt_model::scheduler::parker parker;
    rt_model::atomic<unsigned> work;
};

// A worker that is alone in its pool: all that keeps it from sleeping beside a task from outside is
// the parker (idle.h, "A lone worker"). As in worker::run, it looks at the queue, then sleeps.
struct lone {
    static constexpr unsigned threads = 3;

    explicit lone(unsigned tasks_each)
        : each(tasks_each) {
        rt_model::scenario::set_up_sync();
        system_side = &system;
        driver = *rt_model::driver::make_epoll();
    }

    void run(unsigned self) {
        if (self == 0) {
            while (taken != 2 * each) {
                const unsigned got = injected.pop(2).count;
                if (got == 0) {
                    parker.sleep(*driver, rt_model::driver::no_deadline);
                }
                taken += got;
            }
            return;
        }
        for (unsigned i = 0; i < each; ++i) {
            auto* const task =
                reinterpret_cast<rt_model::detail::task_header*>(blocks[2 * (self - 1) + i]);
            check(injected.push(task), "the queue is open");
            parker.unpark(*driver); // pool_state::notify
        }
    }

    void at_end(bool is_stuck) { check(!is_stuck, "the worker sleeps beside a task"); }

    const unsigned each;
    kernel system;
    std::unique_ptr<rt_model::driver::driver> driver;
    rt_model::scheduler::parker parker;
    rt_model::scheduler::inject_queue injected;
    unsigned taken = 0;
    alignas(64) unsigned char blocks[4][128];
};

// The watchdog has found nobody awake and goes to sleep while a worker comes back, `naps` times,
// and then stays in its turn until it is helped.
struct watched {
    static constexpr unsigned threads = 2;

    explicit watched(unsigned how_often)
        : naps(how_often) {
        rt_model::scenario::set_up_sync();
    }

    void run(unsigned self) {
        if (self == 0) { // worker::park
            for (unsigned i = 0; i < naps; ++i) {
                is_parked.store_relaxed(1);
                is_parked.store_relaxed(0);
                vigil.stir();
            }
            rt::model::wait_until([this] { return is_helped; });
            return;
        }
        // watchdog::run, whose samples are looks
        const auto is_awake = [this] {
            return is_parked.load_relaxed() == 0;
        };
        while (!is_awake()) {
            vigil.rest(is_awake);
        }
        is_helped = naps != 0;
    }

    void at_end(bool is_stuck) { check(!is_stuck, "the watchdog sleeps beside a worker"); }

    const unsigned naps;
    rt_model::scheduler::vigil vigil;
    rt_model::atomic<unsigned> is_parked{1};
    bool is_helped = false;
};

// block_on, from a thread that is no worker: a task ends while the thread goes to sleep.
struct outsider {
    static constexpr unsigned threads = 2;

    outsider() {
        rt_model::scenario::set_up_sync();
        join = rt_model::detail::launch(&queue, body(), rt_model::detail::site::current());
    }
    static rt_model::task<int> body() { co_return 7; }

    void run(unsigned self) {
        if (self == 0) {
            queue.work([this] { return has_got; });
            return;
        }
        rt_model::scheduler::thread_listener listener; // as pool::wait_for does
        if (join.listen(&listener)) {
            listener.wait();
        }
        check(join.take() == 7, "the result was not there yet");
        has_got = true;
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "the thread waits for ever");
        rt_model::scenario::check_heap();
    }

    rt_model::scenario::run_queue queue;
    rt_model::join_handle<int> join;
    bool has_got = false;
};

} // namespace

Test(park_model, a_worker_does_not_sleep_beside_work) {
    rt::model::skip_with_sanitizers();
    expect_good<worker>("1 waker", bounded(20), cast{1, 1, false});
    expect_good<worker>("1 waker, twice", bounded(20), cast{1, 2, false});
    expect_good<worker>("2 wakers", bounded(5), cast{2, 1, false});
    expect_good<worker>("2 wakers, weak", bounded(4, true), cast{2, 1, false});
    expect_broken<worker>("torn", broken(fault::torn_rmw), cast{2, 1, false});
    expect_broken<worker>("no wake", broken(fault::no_wake), cast{1, 1, false});
    expect_broken<worker>("no release", broken(fault::no_release), cast{1, 1, false});
    expect_broken<worker>("no acquire", broken(fault::no_acquire), cast{1, 1, false});
}

Test(park_model, b067_a_lone_worker_forgets_no_task_from_outside) {
    rt::model::skip_with_sanitizers();
    expect_good<lone>("lone, 1 each", bounded(5), 1U);
    expect_good<lone>("lone, 2 each", bounded(3), 2U);
    expect_good<lone>("lone, weak", bounded(3, true), 1U);
    expect_broken<lone>("lone, torn", broken(fault::torn_rmw), 1U);
    expect_broken<lone>("lone, no wake", broken(fault::no_wake), 1U);
    expect_broken<lone>("lone, no acquire", broken(fault::no_acquire), 1U);
}

Test(park_model, a_watchdog_that_reaps_takes_no_wake_up_away) {
    rt::model::skip_with_sanitizers();
    expect_good<worker>("1 waker, watchdog", bounded(20), cast{1, 1, true});
    expect_good<worker>("2 wakers, watchdog", bounded(4), cast{2, 1, true});
    expect_good<worker>("1 waker, watchdog, weak", bounded(4, true), cast{1, 1, true});
}

Test(park_model, a_watchdog_does_not_sleep_beside_a_worker_that_is_awake) {
    rt::model::skip_with_sanitizers();
    expect_good<watched>("watchdog", bounded(20), 1U);
    expect_good<watched>("watchdog, twice", bounded(20), 2U);
    expect_good<watched>("watchdog, weak", bounded(20, true), 1U);
    expect_good<watched>("watchdog, twice, weak", bounded(20, true), 2U);
    expect_broken<watched>("watchdog, no fences", broken(fault::no_fences), 1U);
    expect_broken<watched>("watchdog, no wake", broken(fault::no_wake), 1U);
}

Test(park_model, a_thread_outside_sees_the_end_of_its_task) {
    rt::model::skip_with_sanitizers();
    expect_good<outsider>("block_on", bounded(20));
    expect_good<outsider>("block_on, weak", bounded(20, true));
    expect_broken<outsider>("block_on, torn", broken(fault::torn_rmw));
    expect_broken<outsider>("block_on, no wake", broken(fault::no_wake));
}
