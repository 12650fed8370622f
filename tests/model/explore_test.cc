// SPDX-License-Identifier: MIT
//
// The explorer itself, on programs whose outcomes are known: it must find every outcome that the
// memory model allows and no other.
#include "model/atomic.h"
#include "model/explore.h"
#include "support/test.h"

#include <set>
#include <string>

namespace {

using rt::model::atomic;
using rt::model::check;
using rt::model::explore;
using rt::model::fault;
using rt::model::options;
using rt::model::report;

std::set<int> outcomes; // of the scenario that runs; filled by at_end

constexpr options strong{};
constexpr options weak{.is_weak = true};

void expect_good(const report& got) {
    cr_assert(got.is_good(), "%s\n%s", got.failure.c_str(), got.trace.c_str());
}

// Dekker's beginning: each stores its own flag and loads the other's.
template<bool IsFenced>
struct store_buffering {
    static constexpr unsigned threads = 2;

    void run(unsigned self) {
        flags[self].store_relaxed(1);
        if constexpr (IsFenced) {
            rt::model::fence_seq_cst();
        }
        seen[self] = flags[1 - self].load_relaxed();
    }
    void at_end(bool is_stuck) {
        check(!is_stuck, "stuck");
        outcomes.insert(10 * seen[0] + seen[1]);
    }

    atomic<int> flags[2];
    int seen[2] = {-1, -1};
};

// A flag that publishes a value.
template<bool IsOrdered>
struct message_passing {
    static constexpr unsigned threads = 2;

    void run(unsigned self) {
        if (self == 0) {
            value.store_relaxed(7);
            if (IsOrdered) {
                flag.store_release(1);
            } else {
                flag.store_relaxed(1);
            }
        } else if ((IsOrdered ? flag.load_acquire() : flag.load_relaxed()) == 1) {
            seen = value.load_relaxed();
        }
    }
    void at_end(bool) { outcomes.insert(seen); }

    atomic<int> value;
    atomic<int> flag;
    int seen = -1;
};

struct counting {
    static constexpr unsigned threads = 3;

    void run(unsigned) {
        count.add_relaxed(1);
        count.add_relaxed(1);
    }
    void at_end(bool) { check(count.peek() == 6, "an addition was lost"); }

    atomic<int> count;
};

struct deadlock {
    static constexpr unsigned threads = 2;

    void run(unsigned self) {
        locks[self].acquire();
        locks[1 - self].acquire();
        locks[1 - self].release();
        locks[self].release();
    }
    void at_end(bool is_stuck) { check(!is_stuck, "deadlock"); }

    rt::model::lock locks[2];
};

struct mutual_exclusion {
    static constexpr unsigned threads = 3;

    void run(unsigned) {
        guard.acquire();
        const int before = count.load_relaxed();
        count.store_relaxed(before + 1);
        guard.release();
    }
    void at_end(bool is_stuck) { check(!is_stuck && count.peek() == 3, "the lock lets two in"); }

    rt::model::lock guard;
    atomic<int> count;
};

struct waiting {
    static constexpr unsigned threads = 2;

    void run(unsigned self) {
        if (self == 0) {
            flag.store_release(1);
        } else {
            rt::model::wait_until([this] { return flag.peek() == 1; });
            seen = flag.load_acquire();
        }
    }
    void at_end(bool is_stuck) { check(!is_stuck && seen == 1, "not woken"); }

    atomic<int> flag;
    int seen = 0;
};

struct endless {
    static constexpr unsigned threads = 1;

    void run(unsigned) {
        while (flag.load_relaxed() == 0) {
        }
    }
    void at_end(bool) {}

    atomic<int> flag;
};

// Its checks wait for what nobody does any more.
struct waits_at_end {
    static constexpr unsigned threads = 1;

    void run(unsigned) { flag.store_relaxed(1); }
    void at_end(bool) {
        rt::model::wait_until([this] { return flag.peek() == 2; });
    }

    atomic<int> flag;
};

// One waits for the other to set a word on its stack, or does not.
struct lends_its_stack {
    static constexpr unsigned threads = 2;

    explicit lends_its_stack(bool waits)
        : is_waiting(waits) {}

    void run(unsigned self) {
        if (self == 0) {
            atomic<int> word;
            lent.store_release(&word);
            if (is_waiting) {
                rt::model::wait_until([&] { return word.peek() == 1; });
            }
        } else if (atomic<int>* const word = lent.load_acquire()) {
            word->store_relaxed(1);
        }
    }
    void at_end(bool) {}

    const bool is_waiting;
    atomic<atomic<int>*> lent;
};

// Independent counters: n! orders of the operations, n+1 states each.
struct independent {
    static constexpr unsigned threads = 3;

    void run(unsigned self) {
        for (int i = 0; i < 5; ++i) {
            counts[self].add_relaxed(1);
        }
    }
    void at_end(bool) {}

    atomic<int> counts[3];
};

template<typename Scenario>
std::set<int> outcomes_of(const options& wanted) {
    outcomes.clear();
    expect_good(explore<Scenario>(wanted));
    return outcomes;
}

} // namespace

Test(explore, finds_the_outcomes_of_sequential_consistency) {
    cr_assert((outcomes_of<store_buffering<false>>(strong) == std::set<int>{1, 10, 11}));
    cr_assert((outcomes_of<message_passing<false>>(strong) == std::set<int>{-1, 7}));
}

Test(explore, finds_the_outcomes_that_weak_memory_adds) {
    cr_assert((outcomes_of<store_buffering<false>>(weak) == std::set<int>{0, 1, 10, 11}));
    cr_assert((outcomes_of<message_passing<false>>(weak) == std::set<int>{-1, 0, 7}));
}

Test(explore, honours_fences_and_release_and_acquire) {
    cr_assert((outcomes_of<store_buffering<true>>(weak) == std::set<int>{1, 10, 11}));
    cr_assert((outcomes_of<message_passing<true>>(weak) == std::set<int>{-1, 7}));
}

Test(explore, breaks_the_machine_as_it_is_told) {
    const auto broken = [](fault what) {
        return options{.is_weak = true, .broken = what};
    };
    cr_assert(outcomes_of<store_buffering<true>>(broken(fault::no_fences)).contains(0));
    cr_assert(outcomes_of<message_passing<true>>(broken(fault::no_release)).contains(0));
    cr_assert(outcomes_of<message_passing<true>>(broken(fault::no_acquire)).contains(0));
    cr_assert_not(explore<counting>({.broken = fault::torn_rmw}).is_good());
}

Test(explore, keeps_read_modify_writes_whole) {
    expect_good(explore<counting>(strong));
    expect_good(explore<counting>(weak));
}

Test(explore, finds_deadlocks_and_shows_the_way_there) {
    const report got = explore<deadlock>(strong);
    cr_assert_not(got.is_good());
    cr_assert(got.failure == "deadlock");
    cr_assert(got.trace.find("modify") != std::string::npos, "%s", got.trace.c_str());
}

Test(explore, runs_locks_and_conditions) {
    expect_good(explore<mutual_exclusion>(strong));
    expect_good(explore<mutual_exclusion>(weak));
    expect_good(explore<waiting>(weak));
}

Test(explore, ends_a_livelock) {
    const report got = explore<endless>(strong);
    cr_assert(got.failure.find("livelock") != std::string::npos);
}

Test(explore, a_wait_at_the_end_is_a_failure) {
    const report got = explore<waits_at_end>(strong);
    cr_assert(got.failure.find("no fiber runs") != std::string::npos);
}

Test(explore, the_stack_of_who_has_ended_is_freed) {
    expect_good(explore<lends_its_stack>(strong, true));
    const report got = explore<lends_its_stack>(strong, false);
    cr_assert(got.failure.find("freed") != std::string::npos);
}

Test(explore, visits_each_state_once) {
    const report got = explore<independent>(strong);
    expect_good(got);
    // 6 * 6 * 6 places to be in, and a few more for who has just started and ended.
    cr_assert(got.states > 125 && got.states < 1000, "%llu", (unsigned long long)got.states);
}

Test(explore, a_scenario_that_is_given_up_has_not_passed) {
    const report got = explore<store_buffering<false>>({.executions_max = 2});
    cr_assert_not(got.is_good());
    cr_assert_eq(got.executions, 2U);
    cr_assert(got.failure.starts_with("too many executions"));
}

Test(explore, a_bound_on_preemptions_makes_it_less) {
    const report one = explore<counting>({.preemptions_max = 0});
    const report all = explore<counting>(strong);
    expect_good(one);
    cr_assert(one.executions < all.executions);
    cr_assert_not(explore<counting>({.broken = fault::torn_rmw, .preemptions_max = 1}).is_good());
}
