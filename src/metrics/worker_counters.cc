// SPDX-License-Identifier: MIT
//
// The blocks of threads that are no workers: a list that only grows.
//
// A thread takes a block whose `is_taken` it changes to true (acquire), and gives it back when it
// exits (release), so the next one goes on from the numbers that it left. New blocks are pushed
// with a compare-and-swap of the head (release; pairs with the acquire of first_outside). No lock:
// a child of fork() counts, too. A thread that counts after it has given its block back, or without
// memory for one, adds atomically to the first block, which is nobody's.
#include "metrics/worker_counters.h"

#include <new>

namespace rt::metrics {

constinit thread_local worker_counters* this_worker __attribute__((tls_model("initial-exec"))) =
    nullptr;
constinit worker_counters no_counters;

namespace {

constinit outside_counters shared;
constinit atomic<outside_counters*> newest{&shared};

thread_local constinit bool has_given_back = false;

// Lives as long as the thread does.
class taken_block {
public:
    taken_block() noexcept
        : block_(take()) {}
    taken_block(const taken_block&) = delete;
    taken_block& operator=(const taken_block&) = delete;
    ~taken_block() {
        has_given_back = true;
        if (this_worker == block_) {
            this_worker = nullptr;
        }
        if (block_ != nullptr) {
            block_->is_taken.store_release(false); // pairs with take
        }
    }

    [[nodiscard]] worker_counters* get() const noexcept { return block_; }

private:
    // Null: there is no memory.
    [[nodiscard]] static outside_counters* take() noexcept {
        outside_counters* head = newest.load_acquire(); // acquire: pairs with the push below
        for (outside_counters* each = head; each != nullptr; each = each->next) {
            bool is_taken = false;
            // acquire: pairs with the release of the thread that had it.
            if (!each->is_taken.load_relaxed() &&
                each->is_taken.cas_strong_acquire(is_taken, true)) {
                return each;
            }
        }
        auto* const made = new (std::nothrow) outside_counters;
        if (made != nullptr) {
            do {
                made->next = head;
            } while (!newest.cas_weak_acq_rel(head, made)); // release: the block is visible
        }
        return made;
    }

    outside_counters* const block_;
};

} // namespace

const outside_counters* first_outside() noexcept {
    return newest.load_acquire(); // acquire: pairs with taken_block::take
}

void add_outside(atomic<std::uint64_t> worker_counters::*counter, std::uint64_t n) noexcept {
    if (!has_given_back) {
        thread_local const taken_block own;
        if (own.get() != nullptr) {
            this_worker = own.get();
            (this_worker->*counter).bump_relaxed(n);
            return;
        }
    }
    (shared.*counter).add_relaxed(n);
}

} // namespace rt::metrics
