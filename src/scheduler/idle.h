// SPDX-License-Identifier: MIT
//
// Who sleeps, who searches, whom to wake: the protocol that loses no task and wakes no crowd.
//
// One word counts the workers that are searching for work and those that are not parked; sleepers
// are kept in a stack under a lock. The rules are Tokio's and Go's, but for D, which is stricter:
//
//   A. A producer that made work visible wakes a sleeper only if nobody is searching (a searcher
//      will find it) and somebody sleeps. The woken worker is counted as searching from the start.
//   B. At most half of the workers search at once.
//   C. A searcher that finds work and was the last one looks at all queues again and wakes one more
//      if anything is there: the pool ramps up one by one.
//   D. A worker leaves the counts before it parks. If it leaves no searcher behind, it looks at all
//      queues once more and wakes a worker if anything is there; whether it has searched itself
//      does not matter.
//
// Why nothing is lost. A producer publishes its task, then a full fence, then reads the word. A
// worker that parks decrements the word, then a full fence, then reads the queues. In the single
// order of the two fences one is first: either the producer sees a sleeper and no searcher, and
// wakes it, or the worker sees the task. If the producer saw a searcher, that one
// either finds the task or is subject to the same argument when it leaves, by rule C or D.
//
// Under rule C, Tokio and Go wake one more without looking. Then each lone task from outside wakes
// two workers, and with one CPU less than there are threads they take it from each other: block_on
// of a short task on two workers took 7.9 us in place of 3.6.
//
// Only the last searcher looked again once, as in Tokio, and workers that had not searched relied
// on the others being awake. With one worker there are no others: a task from outside that arrived
// between the worker's look at the injection queue and its decrement was lost (once in some hundred
// thousand). With several it waited for the others' turns to end.
//
// A lone worker. A pool of one keeps out of this, until it has a stand-in: there is nobody to
// choose and nobody to relieve. Who makes work visible sets the worker's park token
// (worker::unpark) instead. The worker either finds the token set, when it is about to sleep, and
// goes round once more, or is woken; taking the token back, an acquire, is before its next look at
// the queues. Four locked operations less for each park, of which a server has one for every second
// request or so.
//
// Stand-ins (see in_place.cc) are further workers, numbered from worker_count on, that count only
// while one of the others is away, or as reinforcements while all of them are held in long turns
// (see watchdog.h; those that are held go on counting, for nobody knows when they will be back). A
// stand-in is at rest (not counted), asleep in the stack of sleepers, or awake; and of those that
// are not at rest, `surplus` are one too many. Whenever the lock is free:
//
//   target = worker_count + reinforcements
//   unparked + sleepers = target + surplus, and before a shutdown
//   surplus = 0 or nobody waits for a stand-in
//
// so rule A sees "somebody sleeps" whenever fewer than `target` are awake. With a surplus it may
// see nobody although somebody sleeps; then as many are awake as there shall be, and rule D binds
// each of them, a stand-in that goes to rest too.
//
// The worker of a pool of one is lone again when it is all that counts (be_alone). It stops being
// so in a turn, by itself or in a signal handler on its thread (leave_loneliness); as it was
// counted as awake all the time, the counts are right from then on.
//
// Threads: every function may be called by any worker; worker_to_wake by any thread; reinforce,
// dismiss and unrelieved by the watchdog.
#pragma once

#include "base/lock.h"

#include <rt/detail/atomic.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace rt::scheduler {

class idle {
public:
    // All workers start unparked and not searching.
    explicit idle(std::uint32_t worker_count, std::uint32_t stand_ins_max = 0);

    // Rule A, after a full fence (see fence_seq_cst): a worker to unpark, counted as unparked and
    // searching already, or nothing. `near` is preferred if it sleeps.
    [[nodiscard]] std::optional<std::uint32_t> worker_to_wake(std::uint32_t near) noexcept;

    // Whether rule A asks for a wake-up, without the fence: a hint.
    [[nodiscard]] bool may_wake() const noexcept {
        const std::uint32_t word = word_.load_relaxed(); // relaxed: see worker_to_wake
        // relaxed: who raises the target looks at the queues afterwards (reinforce)
        return (word & count_mask) == 0 && word / one_unparked < target_.load_relaxed();
    }

    // Whether all of this is left out, because the pool has one worker and nobody else counts.
    [[nodiscard]] bool is_lone() const noexcept {
        return is_lone_.load_acquire(); // acquire: pairs with leave_loneliness, for the watchdog
    }
    // At start-up.
    void begin_lone() noexcept { is_lone_.store_relaxed(true); }
    // By the lone worker, in a turn. The caller fences before anybody may rely on it.
    void leave_loneliness() noexcept { is_lone_.store_release(false); }

    // Whether somebody searches: a hint.
    [[nodiscard]] bool is_searching() const noexcept { return searching() != 0; }

    // Rule B. False: enough workers are searching.
    [[nodiscard]] bool start_searching() noexcept;

    // Rule C. True: the caller was the last searcher and shall look again.
    [[nodiscard]] bool stop_searching() noexcept;

    // The worker goes to sleep. True: nobody is searching now, so it shall look again (rule D).
    [[nodiscard]] bool park(std::uint32_t index, bool was_searching) noexcept;

    // The worker came back. True: somebody had chosen it, so it is counted as searching. False: it
    // came back by itself and is counted as unparked again.
    [[nodiscard]] bool unpark(std::uint32_t index) noexcept;

    // What became of a worker that goes away, or of all that are held.
    enum class relief { found, coming, wanted, refused };

    // A worker in a turn goes away. found: it is not counted any more, somebody stands in for it,
    // and it shall look at the queues like one that parks (rule D). coming: it still is; a stand-in
    // that is being made will relieve it. wanted: the caller shall make one, which calls join().
    [[nodiscard]] relief go_away() noexcept;
    // It is back and counted. False: the pool has a leader (arrive), so nothing was changed.
    [[nodiscard]] bool come_back() noexcept;

    // A stand-in that was `wanted` exists. True: it is counted as awake; false: it is at rest.
    [[nodiscard]] bool join(std::uint32_t index) noexcept;
    // It cannot be made.
    void give_up_making() noexcept;
    // For tests.
    [[nodiscard]] bool is_making() noexcept;

    // What a stand-in that was at rest, and slept, finds itself to be: at rest as before, awake,
    // or awake and counted as searching because somebody chose it.
    enum class role { at_rest, awake, searching };
    [[nodiscard]] role wake_from_rest(std::uint32_t index) noexcept;
    // Every worker is held in a long turn. found: a stand-in counts as one more now, awake or
    // asleep, and the caller shall look at the queues (rule D). coming, wanted: as in go_away, if
    // there are fewer than `most` reinforcements and one may be made. refused: that is not so, or
    // somebody searches or may be woken, or the worker is lone, or the pool ends.
    [[nodiscard]] relief reinforce(std::uint32_t most, bool may_make) noexcept;
    // One reinforcement less. False: there is none, or the pool ends and needs all that count.
    bool dismiss() noexcept;
    // Workers that are away and have nobody in their place.
    [[nodiscard]] std::uint32_t unrelieved() noexcept;
    [[nodiscard]] std::uint32_t reinforcements() const noexcept {
        return target_.load_relaxed() - worker_count_; // relaxed: written under the lock
    }

    // True: the caller, who is awake, is all that counts. It is lone from now on and has stopped
    // searching, and it shall fence and look at the queues.
    [[nodiscard]] bool be_alone(bool was_searching) noexcept;

    // A stand-in between two turns, not searching. True: there was a surplus and it is at rest now;
    // it shall look at the queues (rule D).
    [[nodiscard]] bool retire(std::uint32_t index) noexcept;

    // Not 0: stand-ins leave the worker loop, because of a surplus or of the shutdown.
    [[nodiscard]] const atomic<std::uint32_t>& stand_in_stop() const noexcept { return stop_; }
    void stop_stand_ins() noexcept;
    [[nodiscard]] std::uint32_t surplus() const noexcept {
        return stop_.load_relaxed() & ~stopped; // relaxed: written under the lock
    }

    // At shutdown. Counts `more` workers as arrived. True: all that are counted have, so the caller
    // leads.
    [[nodiscard]] bool arrive(std::uint32_t more) noexcept;

    // A moment old.
    [[nodiscard]] std::uint32_t searching() const noexcept {
        return word_.load_relaxed() & count_mask;
    }

private:
    [[nodiscard]] bool rest_a_sleeper() noexcept; // under lock_, as is the next
    void forget_unmade() noexcept;

    static constexpr std::uint32_t count_mask = 0xffff;
    static constexpr std::uint32_t one_searching = 1;
    static constexpr std::uint32_t one_unparked = 1U << 16U;
    static constexpr std::uint32_t stopped = 1U << 31U;

    const std::uint32_t worker_count_;
    alignas(128) atomic<std::uint32_t> word_; // low 16 bits searching, high 16 bits unparked
    atomic<std::uint32_t> target_;            // written under lock_, seldom
    atomic<bool> is_lone_{false};             // set under lock_
    base::spin_lock lock_{base::lock_rank::idle_workers};
    std::vector<std::uint32_t> sleepers_; // guarded by lock_; newest last; never grows
    std::vector<std::uint32_t> resting_;  // guarded by lock_; stand-ins; never grows
    std::uint32_t unrelieved_ = 0;        // guarded by lock_; away, but counted
    std::uint32_t unreinforced_ = 0;      // guarded by lock_; reinforcements that are being made
    std::uint32_t making_ = 0;            // guarded by lock_; stand-ins that will join
    std::uint32_t arrived_ = 0;           // guarded by lock_
    bool has_leader_ = false;             // guarded by lock_
    atomic<std::uint32_t> stop_{0};       // written under lock_: the surplus, and `stopped`
};

} // namespace rt::scheduler
