// SPDX-License-Identifier: MIT
//
// A watch channel whose last receiver goes while another sender subscribes: who waits for the end
// of interest is told once there is no receiver, and not while there is one.
//
// Fiber 0 drops the first receiver. Fiber 1 subscribes, and drops that receiver later. Fiber 2
// waits until there is none, if there is one when it begins.
#include "model/faults.h"
#include "model/sync_model.h"

namespace {

using rt::model::bounded;
using rt::model::broken;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt_model::detail::shared_value;
using rt_model::detail::watch_closed_wait;
using rt_model::detail::watch_core;

struct unwatched {
    static constexpr unsigned threads = 3;

    unwatched() {
        rt_model::scenario::set_up_sync();
        core = watch_core::create(shared_value<int>::create(0));
        core->add_sender();
    }

    void run(unsigned self) {
        if (self == 0) {
            data.store_relaxed(1);
            core->drop_receiver();
        } else if (self == 1) {
            core->add_receiver();
            is_subscribed.store_release(1);
            core->drop_sender();
            is_subscribed.store_release(2);
            core->drop_receiver();
        } else {
            const bool began_subscribed = is_subscribed.load_acquire() == 1;
            watch_closed_wait wait(core);
            wait.block();
            check(
                !began_subscribed || is_subscribed.peek() == 2, "told of the end beside a receiver"
            );
            check(data.load_relaxed() == 1, "who is told does not see what came before");
        }
    }

    void at_end(bool is_stuck) {
        check(!is_stuck, "somebody waits for an end that has come");
        core->drop_sender();
        rt_model::scenario::check_sync_heap();
    }

    watch_core* core;
    rt_model::atomic<unsigned> data;
    rt_model::atomic<unsigned> is_subscribed; // 1: it is; 2: not any more
};

} // namespace

Test(watch_model, the_end_of_interest_is_told_when_it_has_come) {
    rt::model::skip_with_sanitizers();
    expect_good<unwatched>("subscribed meanwhile", bounded(6));
    expect_good<unwatched>("subscribed meanwhile, weak", bounded(3, true));
    for (const fault what : rt::model::common_faults) {
        expect_broken<unwatched>("broken", broken(what, 4));
    }
}
