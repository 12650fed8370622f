// SPDX-License-Identifier: MIT
//
// rt::rwlock under every interleaving: readers beside one another, a writer beside nobody, first
// come first served, and a writer that becomes a reader.
//
// The code under test is rt/sync/rwlock.h over the permits of src/sync/semaphore.cc, whose own
// model is in semaphore_model_test.cc: here the requests are for one permit and for all of them.
// Who holds the lock sees what every writer before did; nobody waits beside a lock that is free;
// and who gives up while he is handed the lock passes it on.
//
// By hand this was also seen to fail when a reader is let in past a writer that waits, when a
// writer that gives up does not let those behind it in, when what it was granted as a lost branch
// is not given back, when granting does not acquire what readers released before somebody waited,
// and when downgrade gives back everything and begins again.
#include "model/faults.h"
#include "model/sync_model.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace {

using rt::model::bounded;
using rt::model::broken;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt_model::rwlock;
using rt_model::detail::state_lost;
using rt_model::scenario::has_ended;
using rt_model::scenario::run_queue;

// The moment that pass_time makes pass.
constexpr rt_model::time_limit soon{std::chrono::steady_clock::time_point{}};

// What the lock guards: readers say that they were there, and writers write. The plain counts are
// the test's.
struct guarded {
    rt_model::atomic<unsigned> version;
    rt_model::atomic<unsigned> visits;
    unsigned written = 0;
    unsigned visited = 0;
    unsigned readers = 0;
    unsigned writers = 0;

    void read(const rwlock::read_guard& held) {
        check(static_cast<bool>(held), "no lock, and no reason");
        ++readers;
        check(writers == 0, "a reader beside a writer");
        check(version.load_relaxed() == written, "a reader does not see what was written");
        visits.add_relaxed(1);
        ++visited;
        check(writers == 0, "a writer came in beside a reader");
        --readers;
    }
    void write(const rwlock::write_guard& held) {
        check(static_cast<bool>(held), "no lock, and no reason");
        begin_write();
        --writers;
    }
    void begin_write() {
        ++writers;
        check(writers == 1 && readers == 0, "a writer beside another");
        check(visits.load_relaxed() == visited, "a writer does not see what readers did");
        const unsigned before = version.load_relaxed();
        check(before == written, "a writer does not see what was written");
        version.store_relaxed(++written);
        check(writers == 1 && readers == 0, "somebody came in beside a writer");
    }
};

// ---- threads ------------------------------------------------------------------------------------

enum class errand : std::uint8_t { nothing, reads, writes, writes_soon, writes_and_reads };

// Each fiber takes the lock once.
struct crowd {
    static constexpr unsigned threads = 3;

    crowd(errand a, errand b, errand c)
        : does{a, b, c} {
        rt_model::scenario::set_up_sync();
    }

    void run(unsigned self) {
        switch (does[self]) {
        case errand::nothing:
            rt::model::futexes.pass_time();
            break;
        case errand::reads:
            what.read(lock.blocking_read());
            break;
        case errand::writes:
            what.write(lock.blocking_write());
            break;
        case errand::writes_soon:
            if (const auto mine = lock.blocking_write(soon)) {
                what.write(mine);
            }
            break;
        case errand::writes_and_reads:
            write_and_read();
            break;
        }
    }
    // Nobody can write in between.
    void write_and_read() {
        rwlock::write_guard writing = lock.blocking_write();
        what.begin_write();
        const unsigned mine = what.written;
        --what.writers;
        const rwlock::read_guard reading = std::move(writing).downgrade();
        check(!writing, "it is a reader now");
        what.read(reading);
        check(what.written == mine, "a writer came in while the lock was held");
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for a lock that nobody holds");
        check(static_cast<bool>(lock.try_write()), "the lock was lost");
        const auto count = static_cast<unsigned>(std::count_if(does, does + 3, [](errand each) {
            return each == errand::writes || each == errand::writes_and_reads;
        }));
        check(what.written >= count && what.version.peek() == what.written, "a write was lost");
    }

    const errand does[3];
    rwlock lock;
    guarded what;
};

// Two readers come while the lock is held, and each stays until the other one is inside. A third
// one, in some scenarios, downgrades what it holds: they come in beside it.
struct together {
    static constexpr unsigned threads = 3;

    explicit together(bool downgrades)
        : is_downgrade(downgrades) {
        rt_model::scenario::set_up_sync();
        writing = lock.try_write();
    }

    void run(unsigned self) {
        if (self == 0) {
            what.write(writing);
            if (is_downgrade) {
                const rwlock::read_guard reading = std::move(writing).downgrade();
                meet();
            } else {
                writing.unlock();
            }
            return;
        }
        const rwlock::read_guard reading = lock.blocking_read();
        what.read(reading);
        meet();
    }
    void meet() {
        const unsigned all = is_downgrade ? 3 : 2;
        inside.add_relaxed(1);
        rt::model::wait_until([&] { return inside.peek() == all; });
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "readers keep one another out");
        check(static_cast<bool>(lock.try_write()), "the lock was lost");
    }

    const bool is_downgrade;
    rwlock lock;
    rwlock::write_guard writing;
    guarded what;
    rt_model::atomic<unsigned> inside;
};

// A reader holds the lock, a writer comes, and another reader, which can tell by try_read whether
// the writer was first.
struct in_order {
    static constexpr unsigned threads = 3;

    in_order() {
        rt_model::scenario::set_up_sync();
        reading = lock.try_read();
    }

    void run(unsigned self) {
        if (self == 0) {
            what.read(reading);
            reading.unlock();
        } else if (self == 1) {
            what.write(lock.blocking_write());
        } else if (const rwlock::read_guard mine = lock.try_read()) {
            what.read(mine);
        } else {
            what.read(lock.blocking_read());
            check(what.written == 1, "a reader has overtaken a writer");
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for a lock that nobody holds");
        check(what.written == 1, "a write was lost");
    }

    rwlock lock;
    rwlock::read_guard reading;
    guarded what;
};

// ---- a task -------------------------------------------------------------------------------------

// A task that waits in line is aborted, while who holds the lock gives it back and a thread stands
// in line behind the task. As a branch that is lost it does not go on even if it was let in.
struct cancelled {
    static constexpr unsigned threads = 4;

    cancelled(errand held, errand wanted, errand behind, bool lost = false)
        : task_does(wanted)
        , rival_does(behind)
        , is_lost(lost) {
        rt_model::scenario::set_up_sync();
        if (held == errand::reads) {
            reading = lock.try_read();
        } else {
            writing = lock.try_write();
        }
        join = rt_model::detail::launch(&queue, body(this), rt_model::detail::site::current());
        abort = join.abort_handle();
    }

    static rt_model::task<void> body(cancelled* self) {
        if (self->task_does == errand::reads) {
            self->what.read(co_await self->lock.read());
        } else {
            self->what.write(co_await self->lock.write());
        }
    }

    void run(unsigned self) {
        switch (self) {
        case 0:
            queue.work([this] { return has_ended(join); });
            break;
        case 1:
            if (reading) {
                what.read(reading);
                reading.unlock();
            } else {
                what.write(writing);
                writing.unlock();
            }
            break;
        case 2:
            if (is_lost) {
                join.header()->state.or_acq_rel(state_lost);
            }
            abort.abort();
            break;
        default:
            if (rival_does == errand::reads) {
                what.read(lock.blocking_read());
            } else if (rival_does == errand::writes) {
                what.write(lock.blocking_write());
            }
            break;
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for a lock that nobody holds");
        check(static_cast<bool>(lock.try_write()), "the lock was lost");
        abort = {};
        join.detach();
        rt_model::scenario::check_sync_heap();
    }

    const errand task_does;
    const errand rival_does;
    const bool is_lost;
    run_queue queue;
    rwlock lock;
    rwlock::read_guard reading;
    rwlock::write_guard writing;
    guarded what;
    rt_model::join_handle<void> join;
    rt_model::abort_handle abort;
};

} // namespace

Test(rwlock_model, a_writer_is_alone_and_readers_are_not) {
    rt::model::skip_with_sanitizers();
    using enum errand;
    expect_good<crowd>("write, read", bounded(20), writes, reads, nothing);
    expect_good<crowd>("write, write", bounded(20), writes, writes, nothing);
    expect_good<crowd>("write, read, read", bounded(4), writes, reads, reads);
    expect_good<crowd>("write, write, read", bounded(4), writes, writes, reads);
    expect_good<crowd>("write, read, weak", bounded(4, true), writes, reads, nothing);
    expect_good<crowd>("write, write, read, weak", bounded(2, true), writes, writes, reads);
    expect_good<crowd>("read, read, write, weak", bounded(3, true), reads, reads, writes);
    for (const fault what : rt::model::common_faults) {
        expect_broken<crowd>("write, read", broken(what, 4), writes, reads, nothing);
        expect_broken<crowd>("write, write", broken(what, 4), writes, writes, nothing);
    }
}

Test(rwlock_model, readers_come_in_together) {
    rt::model::skip_with_sanitizers();
    expect_good<together>("a writer leaves", bounded(5), false);
    expect_good<together>("a writer stays to read", bounded(5), true);
    expect_good<together>("a writer leaves, weak", bounded(3, true), false);
    for (const fault what : {fault::torn_rmw, fault::no_wake, fault::no_release}) {
        expect_broken<together>("a writer leaves", broken(what, 4), false);
        expect_broken<together>("a writer stays to read", broken(what, 4), true);
    }
}

Test(rwlock_model, who_comes_first_is_served_first) {
    rt::model::skip_with_sanitizers();
    expect_good<in_order>("read, write, read", bounded(5));
    expect_good<in_order>("read, write, read, weak", bounded(3, true));
    for (const fault what : rt::model::common_faults) {
        expect_broken<in_order>("read, write, read", broken(what, 4));
    }
}

Test(rwlock_model, a_writer_becomes_a_reader_and_no_writer_comes_between) {
    rt::model::skip_with_sanitizers();
    using enum errand;
    expect_good<crowd>("write", bounded(6), writes_and_reads, writes, nothing);
    expect_good<crowd>("write, read", bounded(4), writes_and_reads, writes, reads);
    expect_good<crowd>("write, weak", bounded(3, true), writes_and_reads, writes, nothing);
    for (const fault what : {fault::torn_rmw, fault::no_wake, fault::no_release}) {
        expect_broken<crowd>("write", broken(what, 4), writes_and_reads, writes, nothing);
    }
}

Test(rwlock_model, who_gives_up_lets_those_behind_go_on) {
    rt::model::skip_with_sanitizers();
    using enum errand;
    expect_good<cancelled>("held by a writer", bounded(3), writes, writes, writes);
    expect_good<cancelled>("a writer, a reader", bounded(3), reads, writes, reads);
    expect_good<cancelled>("a reader, a writer", bounded(3), writes, reads, writes);
    expect_good<cancelled>("a writer, lost", bounded(3), reads, writes, reads, true);
    expect_good<cancelled>("a reader, lost", bounded(3), writes, reads, writes, true);
    expect_good<cancelled>("a writer, weak", bounded(3, true), reads, writes, nothing);
    expect_good<crowd>("a time limit", bounded(4), reads, writes_soon, nothing);
    expect_broken<cancelled>("torn", broken(fault::torn_rmw, 4), reads, writes, reads);
    expect_broken<cancelled>("no wake", broken(fault::no_wake, 4), reads, writes, reads);
    expect_broken<cancelled>("no release", broken(fault::no_release, 4), reads, writes, nothing);
}
