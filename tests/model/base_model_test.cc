// SPDX-License-Identifier: MIT
//
// Two small parts under every interleaving: the lock of sync objects, which spins, and the inbox
// that many fill and one empties.
//
// The code under test is rt/detail/sync_lock.h with lock_slow of src/sync/wait_queue.cc, and
// base/mpsc_queue.h. The owner of an inbox comes only when a pusher has said that it was empty.
#include "model/faults.h"
#include "model/sync_model.h"

// clang-format off
#define rt rt_model
#include "base/mpsc_queue.h"
#undef rt
// clang-format on

namespace {

using rt::model::bounded;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt::model::options;

options broken(fault what) {
    return {.is_weak = what != fault::torn_rmw, .broken = what, .preemptions_max = 4};
}

// What is under the lock is an atomic without order, so that weak memory may show it late.
struct locked {
    static constexpr unsigned threads = 3;

    explicit locked(unsigned thread_count)
        : count(thread_count) {}

    void run(unsigned self) {
        if (self < count) {
            const rt_model::detail::spinning_guard hold(lock);
            check(!std::exchange(is_held, true), "two hold the lock");
            entries.store_relaxed(entries.load_relaxed() + 1);
            is_held = false;
        }
    }
    void at_end(bool is_stuck) {
        check(!is_stuck, "stuck");
        check(entries.peek() == count, "a holder did not see the one before");
    }

    const unsigned count;
    rt_model::detail::spinning_lock lock;
    rt_model::atomic<unsigned> entries;
    bool is_held = false;
};

struct parcel : rt_model::base::inbox_link<> {
    unsigned sender = 0;
    unsigned number = 0;
};

struct post {
    static constexpr unsigned threads = 3;

    explicit post(unsigned parcels_each)
        : each(parcels_each) {}

    void run(unsigned self) {
        if (self == 0) {
            while (taken != 2 * each) {
                rt::model::wait_until([this] { return bell.peek() != 0; });
                bell.exchange_acquire(0);
                take();
            }
            return;
        }
        for (unsigned i = 0; i < each; ++i) {
            parcel& mine = parcels[self - 1][i];
            mine.sender = self - 1;
            mine.number = i;
            weights[self - 1][i].store_relaxed(1);
            if (box.push(mine)) {
                bell.store_release(1);
            }
        }
    }
    void take() {
        auto batch = box.take_all();
        while (const parcel* const got = batch.pop()) {
            check(got->number == next[got->sender], "out of order, or twice");
            check(
                weights[got->sender][got->number].load_relaxed() == 1, "taken before it was ready"
            );
            ++next[got->sender];
            ++taken;
        }
    }
    void at_end(bool is_stuck) { check(!is_stuck, "the owner was not told"); }

    const unsigned each;
    rt_model::base::mpsc_inbox<parcel> box;
    rt_model::atomic<unsigned> bell;
    parcel parcels[2][2];
    rt_model::atomic<unsigned> weights[2][2];
    unsigned next[2] = {};
    unsigned taken = 0;
};

} // namespace

Test(base_model, the_lock_of_sync_objects_excludes) {
    rt::model::skip_with_sanitizers();
    expect_good<locked>("lock, 2 threads", bounded(20), 2U);
    expect_good<locked>("lock, 3 threads", bounded(4), 3U);
    expect_good<locked>("lock, weak", bounded(4, true), 2U);
    expect_broken<locked>("lock, torn", broken(fault::torn_rmw), 2U);
    expect_broken<locked>("lock, no release", broken(fault::no_release), 2U);
    expect_broken<locked>("lock, no acquire", broken(fault::no_acquire), 2U);
}

Test(base_model, the_inbox_announces_what_it_holds) {
    rt::model::skip_with_sanitizers();
    expect_good<post>("inbox, 1 each", bounded(20), 1U);
    expect_good<post>("inbox, 2 each", bounded(4), 2U);
    expect_good<post>("inbox, weak", bounded(3, true), 1U);
    expect_broken<post>("inbox, torn", broken(fault::torn_rmw), 1U);
    expect_broken<post>("inbox, no release", broken(fault::no_release), 1U);
    expect_broken<post>("inbox, no acquire", broken(fault::no_acquire), 1U);
}
