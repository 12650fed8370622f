// SPDX-License-Identifier: MIT
//
// blocking/roster.h and job_shards.h under every interleaving: no job is left behind by a thread
// that goes idle, leaves, or could not be made, and none is run twice or given up although it runs.
//
// The code under test is the library's. What a thread of the pool and a submitter do with it is
// repeated here, line by line after pool::state::serve and start_thread, pool::submit and
// shut_down; who changes those must change this. Threads are fibers that wait for their birth; an
// idle one may give up at any moment where the scenario says so. Fences are what the protocol rests
// on, so the machine without them must lose a job.
#include "base/clock.h"
#include "base/padded.h"
#include "blocking/thread_calls.h"
#include "metrics/histogram.h"
#include "model/faults.h"
#include "model/futex.h"
#include "model/production.h"

#include <cstdlib>

namespace rt_model {

namespace base {
using ::rt::base::interference_bytes;
using ::rt::base::monotonic_ns;
using ::rt::base::ns_per_second;
using futex_lock = spin_lock;
namespace cpu {
inline void relax() noexcept {
    model::machine::instance().spin();
}
} // namespace cpu
} // namespace base

namespace metrics {
using ::rt::metrics::histogram_data;
struct histogram { // nothing is measured
    void record(std::uint64_t /*value*/) noexcept {}
    void read_into(histogram_data& /*sum*/) const noexcept {}
};
} // namespace metrics

// As thread_calls.h has them.
namespace offload {

namespace call_word = ::rt::offload::call_word;

inline unsigned leaves_left = 0; // idle threads may still give up so many times

inline void
futex_wait_until(const atomic<std::uint32_t>& word, std::uint32_t value, std::uint64_t) {
    model::futexes.wait(&word, value);
}
inline void futex_wake(const atomic<std::uint32_t>* word) {
    model::futexes.wake(word);
}
inline bool wait_for_call(atomic<std::uint32_t>& signal, std::uint64_t /*keep_alive_ns*/) {
    std::uint32_t seen = call_word::listening;
    static_cast<void>(signal.cas_strong_acq_rel(seen, call_word::asleep));
    while (signal.load_acquire() != call_word::called) {
        if (leaves_left != 0 && model::machine::instance().choose(2) == 1) {
            --leaves_left;
            return false;
        }
        futex_wait_until(signal, call_word::asleep, 0);
    }
    return true;
}

} // namespace offload
} // namespace rt_model

// clang-format off
#define rt rt_model
#include "blocking/job_shards.cc"
#include "blocking/roster.cc"
#undef rt
// clang-format on

namespace {

bool is_shard_memory_next = false;

} // namespace

#if !defined(RT_SANITIZED)
namespace {

// The shards: the explorer needs the same addresses in each execution.
alignas(128) std::byte shard_memory[4096];

} // namespace

void* operator new[](std::size_t bytes, std::align_val_t alignment) {
    const auto step = static_cast<std::size_t>(alignment);
    if (std::exchange(is_shard_memory_next, false) && bytes <= sizeof(shard_memory)) {
        return shard_memory;
    }
    return std::aligned_alloc(step, (bytes + step - 1) / step * step);
}
void operator delete[](void* memory, std::align_val_t /*alignment*/) noexcept {
    if (memory != shard_memory) {
        std::free(memory);
    }
}
#endif

namespace {

using rt::model::bounded;
using rt::model::check;
using rt::model::expect_broken;
using rt::model::expect_good;
using rt::model::fault;
using rt::model::options;
using rt_model::offload::job_shards;
using rt_model::offload::roster;

struct cast {
    unsigned submitters;
    unsigned jobs;                    // of each
    unsigned crew;                    // threads that can be made, at most
    bool wait_for_each_other = false; // a job ends only once all have begun
    bool one_by_one = false;    // a submitter waits for the end of its job before the next one
    unsigned leaves = 0;        // times that an idle thread may give up
    unsigned failures = 0;      // attempts to make a thread that may fail
    bool has_end = false;       // the last fiber but the crew shuts the pool down
    bool withdraws = false;     // the first submitter takes back its last job, if it can
    bool has_canceller = false; // the last fiber but the crew takes back the first job, if it can
    unsigned warm = 0;          // threads that there are from the beginning
    bool share = false;         // all submitters have one shard
};

struct hall {
    static constexpr unsigned threads = 5;
    static constexpr unsigned jobs_max = 4;

    struct job : rt_model::detail::blocking_job {
        job()
            : blocking_job(nullptr) {}
        rt_model::atomic<unsigned> runs{0};
        bool is_refused = false;
        bool is_withdrawn = false;
    };

    explicit hall(const cast& wanted)
        : who(wanted)
        , jobs((is_shard_memory_next = true, 2))
        , crew(jobs, wanted.crew) {
        rt_model::offload::leaves_left = who.leaves;
        rt::model::futexes.reset();
        for (unsigned i = 0; i < who.warm; ++i) {
            roster::errand left;
            job_shards::ticket where;
            job reason;
            check(jobs.push(reason, 0, where), "the pool is open");
            check(crew.begin_start().is_start, "nobody is idle");
            check(!crew.end_start(true, where, left), "it is made");
            crew.arrive();
            check(jobs.withdraw(reason), "it is queued");
            born[made++].store_release(born_warm);
        }
    }

    [[nodiscard]] unsigned first_thread() const {
        return who.submitters + (who.has_end || who.has_canceller ? 1 : 0);
    }
    [[nodiscard]] unsigned total() const { return who.submitters * who.jobs; }
    // Told by what the explorer sees, so that it costs no operation.
    [[nodiscard]] unsigned ended() const {
        unsigned sum = 0;
        for (unsigned i = 0; i < total(); ++i) {
            sum += all[i].runs.peek() != 0 || all[i].is_refused || all[i].is_withdrawn ? 1 : 0;
        }
        return sum;
    }

    void run(unsigned self) {
        if (self < who.submitters) {
            for (unsigned i = 0; i < who.jobs; ++i) {
                submit(self, all[self * who.jobs + i], i + 1 == who.jobs);
            }
            ++submitters_done;
        } else if (self < first_thread() && who.has_end) {
            shut_down();
        } else if (self < first_thread()) {
            all[0].is_withdrawn = jobs.withdraw(all[0]);
        } else {
            const unsigned index = self - first_thread();
            rt::model::wait_until([&] { return born[index].peek() != 0; });
            const bool is_warm = born[index].load_acquire() == born_warm;
            serve(members[index], index, is_warm);
        }
    }

    // pool::submit
    void submit(unsigned self, job& one, bool is_last) {
        job_shards::ticket where;
        if (!jobs.push(one, who.share ? 0 : self, where)) {
            one.is_refused = true;
            check(who.has_end, "refused without reason");
            return;
        }
        if (do_errand(crew.after_push(where.shard), where) != 0) {
            one.is_refused = true;
            check(failed != 0, "refused without a failure");
        }
        if (who.withdraws && self == 0 && is_last && jobs.withdraw(one)) {
            one.is_withdrawn = true;
        }
        if (who.one_by_one) {
            rt::model::wait_until([&] { return one.runs.peek() != 0 || one.is_refused; });
        }
    }

    // pool::state::start_thread
    int start_thread(const job_shards::ticket& where) {
        creation.acquire();
        roster::errand left;
        int status = 0;
        do {
            left = crew.begin_start();
            if (std::exchange(left.is_start, false)) {
                const int failure = create();
                if (crew.end_start(failure == 0, where, left)) {
                    status = failure;
                    break;
                }
            }
            if (left.sleeper != nullptr) {
                rt::model::futexes.wake(left.sleeper);
            }
        } while (left.is_start);
        creation.release();
        return status;
    }

    int create() {
        if (failed < who.failures && rt::model::machine::instance().choose(2) == 1) {
            ++failed;
            return EAGAIN;
        }
        check(made < crew_max && first_thread() + made < threads, "more threads than there may be");
        born[made++].store_release(1);
        return 0;
    }

    // pool::state::run
    int do_errand(const roster::errand& left, const job_shards::ticket& where) {
        if (left.sleeper != nullptr) {
            rt::model::futexes.wake(left.sleeper);
            return 0;
        }
        return left.is_start ? start_thread(where) : 0;
    }

    // pool::state::serve
    void serve(roster::member& self, unsigned index, bool is_warm) {
        std::uint32_t cursor = index;
        roster::member* before = nullptr;
        if (!is_warm) {
            crew.arrive();
        }
        do {
            bool has_arrived = true;
            while (auto* const one = static_cast<job*>(jobs.pop(cursor, 0))) {
                if (std::exchange(has_arrived, false)) {
                    static_cast<void>(do_errand(crew.after_arrival(), {}));
                }
                run_job(*one);
            }
        } while (crew.rest(self, 0, before));
        ++left_crew;
        join(before);
        has_left[index].store_release(1);
    }

    // pool::state::join
    void join(const roster::member* exited) {
        if (exited == nullptr) {
            return;
        }
        const auto index = static_cast<unsigned>(exited - members);
        check(index < crew_max && !is_joined[index], "a thread is joined twice");
        is_joined[index] = true;
        rt::model::wait_until([&] { return has_left[index].peek() != 0; });
    }

    void run_job(job& one) {
        check(!one.is_refused && !one.is_withdrawn, "a job that was taken back is run");
        check(one.runs.add_relaxed(1) == 0, "a job is run twice");
        if (who.wait_for_each_other) {
            rt::model::wait_until([this] { return ended() == total(); });
        }
    }

    // pool::shut_down, whose own thread can run what no other will.
    void shut_down() {
        jobs.close();
        crew.close();
        std::uint32_t cursor = 0;
        while (!crew.is_over()) {
            if (crew.has_threads()) {
                crew.wait_for_leaver();
                continue;
            }
            static_cast<void>(start_thread({}));
            if (!crew.has_threads()) {
                if (auto* const one = static_cast<job*>(jobs.pop(cursor, 0))) {
                    run_job(*one);
                }
            }
        }
        join(crew.take_exited());
        has_ended = true;
    }

    // Without a shutdown idle threads sleep for ever: that alone is no failure.
    void at_end(bool is_stuck) {
        static_cast<void>(is_stuck);
        check(submitters_done == who.submitters, "a submitter waits for ever");
        check(ended() == total(), "a job is queued and nobody comes");
        check(jobs.is_empty(), "a job is left in the queue");
        const rt_model::offload::headcount now = crew.read();
        check(now.threads == made - left_crew, "the number of threads is off");
        check(!who.has_end || (has_ended && now.threads == 0), "a thread outlives the end");
        for (unsigned i = 0; who.has_end && i < made; ++i) {
            check(is_joined[i], "a thread is not joined");
        }
        if (!who.has_end) {
            check(now.idle == now.threads, "a thread neither works nor is idle");
        }
    }

    static constexpr unsigned crew_max = 4;
    static constexpr unsigned born_warm = 2; // without having been waited for

    const cast who;
    job_shards jobs;
    roster crew;
    rt::model::lock creation;
    rt_model::atomic<unsigned> born[crew_max];
    roster::member members[crew_max];
    job all[jobs_max];
    rt_model::atomic<unsigned> has_left[crew_max];
    bool is_joined[crew_max] = {};
    unsigned made = 0;
    unsigned failed = 0;
    unsigned left_crew = 0;
    unsigned submitters_done = 0;
    bool has_ended = false;
};

} // namespace

Test(roster_model, no_job_is_left_behind) {
    rt::model::skip_with_sanitizers();
    expect_good<hall>("1 submitter, 1 thread", bounded(4), cast{1, 2, 1});
    expect_good<hall>("1 submitter, 2 threads", bounded(3), cast{1, 2, 2});
    expect_good<hall>("2 submitters, 1 thread", bounded(3), cast{2, 1, 1});
    expect_good<hall>("2 submitters, 2 threads", bounded(2), cast{2, 1, 2});
    const cast sharing{.submitters = 2, .jobs = 1, .crew = 2, .warm = 1, .share = true};
    expect_good<hall>("2 submitters of one shard", bounded(1), sharing);
    expect_good<hall>("2 submitters, 1 thread, weak", bounded(2, true), cast{2, 1, 1});
    expect_good<hall>("one by one, weak", bounded(2, true), cast{1, 3, 1, false, true});
}

Test(roster_model, each_of_a_burst_gets_a_thread) {
    rt::model::skip_with_sanitizers();
    expect_good<hall>("2 jobs, 2 threads", bounded(3), cast{1, 2, 2, true});
    expect_good<hall>("2 submitters, 2 threads", bounded(2), cast{2, 1, 2, true});
    expect_good<hall>("3 jobs, 3 threads", bounded(2), cast{1, 3, 3, true});
    expect_good<hall>("2 submitters, 2 threads, weak", bounded(1, true), cast{2, 1, 2, true});
}

Test(roster_model, no_job_counts_on_a_thread_that_leaves) {
    rt::model::skip_with_sanitizers();
    const cast one{.submitters = 1, .jobs = 2, .crew = 1, .one_by_one = true, .leaves = 2};
    expect_good<hall>("1 submitter, 1 thread leaves", bounded(3), one);
    expect_good<hall>("1 submitter, 1 thread leaves, weak", bounded(2, true), one);
    const cast two{.submitters = 2, .jobs = 1, .crew = 1, .leaves = 2};
    expect_good<hall>("2 submitters, 1 thread leaves", bounded(2), two);
    // An idle thread leaves while as many as may be are coming.
    const cast busy{.submitters = 1, .jobs = 3, .crew = 3, .leaves = 1, .warm = 3};
    expect_good<hall>("1 submitter, 1 of 3 leaves", bounded(1), busy);
    const cast both{.submitters = 1, .jobs = 3, .crew = 2, .one_by_one = true, .leaves = 2};
    expect_good<hall>("1 submitter, 2 threads leave", bounded(2), both);
}

Test(roster_model, a_job_is_refused_or_run_if_threads_cannot_be_made) {
    rt::model::skip_with_sanitizers();
    const cast one{.submitters = 2, .jobs = 1, .crew = 2, .failures = 1};
    expect_good<hall>("2 submitters, 1 failure", bounded(2), one);
    const cast two{.submitters = 2, .jobs = 1, .crew = 2, .failures = 2};
    expect_good<hall>("2 submitters, 2 failures", bounded(2), two);
    // Whoever is idle by now: the job came while the thread that was not made counted as coming.
    const cast others{.submitters = 2, .jobs = 1, .crew = 2, .failures = 1, .warm = 1};
    expect_good<hall>("2 submitters, 1 thread, 1 failure", bounded(1), others);
    const cast leave{.submitters = 2, .jobs = 1, .crew = 1, .leaves = 1, .failures = 1};
    expect_good<hall>("2 submitters, 1 leaves, 1 failure", bounded(2), leave);
    expect_good<hall>("2 submitters, 1 failure, weak", bounded(1, true), one);
}

Test(roster_model, b153_the_end_leaves_no_thread_and_no_job) {
    rt::model::skip_with_sanitizers();
    const cast one{.submitters = 1, .jobs = 2, .crew = 1, .has_end = true};
    expect_good<hall>("1 submitter, end", bounded(3), one);
    const cast two{.submitters = 2, .jobs = 1, .crew = 2, .has_end = true};
    expect_good<hall>("2 submitters, end", bounded(2), two);
    const cast failing{.submitters = 1, .jobs = 2, .crew = 1, .failures = 2, .has_end = true};
    expect_good<hall>("1 submitter, 2 failures, end", bounded(2), failing);
    const cast leaving{.submitters = 1, .jobs = 2, .crew = 1, .leaves = 1, .has_end = true};
    expect_good<hall>("1 submitter, 1 leaves, end", bounded(2), leaving);
    const cast warm{.submitters = 1, .jobs = 2, .crew = 2, .leaves = 1, .has_end = true, .warm = 2};
    expect_good<hall>("1 submitter, 1 of 2 leaves, end", bounded(1), warm);
    expect_good<hall>("1 submitter, end, weak", bounded(1, true), one);
    expect_good<hall>("1 submitter, 1 leaves, end, weak", bounded(1, true), leaving);
}

Test(roster_model, a_job_that_is_withdrawn_is_not_run) {
    rt::model::skip_with_sanitizers();
    const cast one{.submitters = 1, .jobs = 2, .crew = 1, .withdraws = true};
    expect_good<hall>("1 submitter, withdraws", bounded(3), one);
    const cast two{.submitters = 2, .jobs = 1, .crew = 1, .failures = 1, .withdraws = true};
    expect_good<hall>("2 submitters, withdraws, 1 failure", bounded(2), two);
    const cast any{.submitters = 1, .jobs = 1, .crew = 2, .failures = 1, .has_canceller = true};
    expect_good<hall>("withdrawn at any time, 1 failure", bounded(3), any);
    const cast again{.submitters = 1, .jobs = 2, .crew = 1, .has_canceller = true, .warm = 1};
    expect_good<hall>("withdrawn at any time, weak", bounded(2, true), again);
}

Test(roster_model, notices_broken_machines) {
    rt::model::skip_with_sanitizers();
    options broken = bounded(3, true);
    broken.broken = fault::no_fences;
    expect_broken<hall>("no fences", broken, cast{2, 1, 1});
    broken = bounded(3);
    broken.broken = fault::no_wake;
    expect_broken<hall>("no wake", broken, cast{1, 2, 1, false, true});
}
