// SPDX-License-Identifier: MIT
//
// The queue of an mpsc channel, without its type: senders claim cells, fill and publish them; the
// receiver takes them in the order of the claims. Bounded and unbounded channels differ in
// `capacity` only. The code is in src/sync/mpsc_*.cc; the templates of rt/sync/mpsc.h move values
// in and out, outside the lock, because a move constructor is user code. Small values that are
// copied as bytes go in under the lock, which saves the exchange of rule 1.
//
// Cells lie in blocks, which form a list; a block is taken from pooled memory when its first cell
// is claimed, and when its last cell has been taken it is kept for the senders, or given back. So a
// channel costs what it holds, whatever its capacity, and no message costs an allocation.
//
// Who may touch what:
//   lock_          guards the senders' fields: the claim position, the limits, all lists of waiters
//   a cell         belongs to its claimer until published, then to the receiver. `published` is the
//                  claimer's last access, so the receiver may free the block after the last one
//   head fields    the receiver's; head_ is read by senders
//
// Rule 1. cell_state: empty -> published by the claimer (exchange); empty -> awaited by a receiver
//         that found it claimed but not published, and back if it gives up (compare-and-swap). Who
//         publishes an awaited cell wakes cell_waiter_. published -> empty by the receiver.
// Rule 2. A receiver that finds nothing claimed stands in receiver_, under lock_. Who claims next
//         takes it out, publishes the cell, which is the receiver's next, and then wakes it.
// Rule 3. Capacity. claimed_ + reserved_ - head_ <= capacity. The receiver adds to head_ and then
//         reads has_waiting_; a sender that finds no room sets has_waiting_ and then reads head_
//         again. These four are seq_cst, so that one of the two sees the other: no sender is left
//         waiting beside free room. Everybody but the receiver changes the limits under lock_.
// Rule 4. Whoever makes room while senders wait calls refill(), which moves their values in, first
//         come first served, and wakes them. A new sender never passes those that wait, and a
//         reservation for many at the front holds up who is behind it until it is served or gone.
// Rule 5. A receiver that leaves destroys what is published, and marks as orphaned what is claimed
//         but not published; whoever publishes an orphaned cell destroys the value itself. Nothing
//         is claimed any more then. So a value never outlives its receiver: it may hold the sender
//         of a reply that somebody waits for.
// Rule 6. A receiver that leaves while it waits itself, and a last sender that does while senders
//         wait, end the program. So does a receiver that waits twice, and one whose wait has ended
//         but finds nothing, though the stream goes on.
//
// Rejected: a lock-free claim. It would save no read-modify-write (the lock is one, the claim would
// be one), and the reclaiming of blocks would need a protocol of its own.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>
#include <rt/detail/sync_lock.h>
#include <rt/detail/wait_queue.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>

namespace rt::detail {

class mpsc_core;

struct mpsc_cell {
    atomic<std::uint32_t> state; // cell_state; the value follows
};

struct mpsc_block {
    atomic<mpsc_block*> next{nullptr}; // set once, by the claimer that needs the next block
};

enum class mpsc_outcome : std::uint8_t { granted, full, closed, no_memory, impossible };

// A task or thread that waits for room: to send a value, or to reserve for `reserves` of them.
class RT_API mpsc_send_wait : public sync_wait {
public:
    mpsc_send_wait(mpsc_core* core, std::uint32_t reserves) noexcept
        : sync_wait(wait_type, core)
        , outcome_(core == nullptr ? mpsc_outcome::closed : mpsc_outcome::full)
        , reserves_(reserves) {}
    mpsc_send_wait(mpsc_send_wait&& other) noexcept
        : mpsc_send_wait(other.core(), other.reserves_) {}

    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return suspend(self.address());
    }
    [[nodiscard]] mpsc_outcome outcome() const noexcept { return outcome_; }

protected:
    // The whole of await_ready; `attempt` returns the outcome of a try. Without a queue, which is
    // what a sender has that was moved from, the outcome is known.
    template<typename Attempt>
    [[nodiscard]] bool try_now(Attempt attempt) noexcept {
        if (!take_budget()) [[unlikely]] {
            return false;
        }
        if (core() == nullptr) [[unlikely]] {
            return true;
        }
        outcome_ = attempt();
        return outcome_ != mpsc_outcome::full;
    }

    [[nodiscard]] mpsc_core* core() const noexcept { return static_cast<mpsc_core*>(object()); }
    [[nodiscard]] std::uint32_t reserves() const noexcept { return reserves_; }

private:
    friend class mpsc_core;
    static const sync_wait_type wait_type;
    static bool enroll(sync_wait* waiter) noexcept;
    static cancel_result withdraw(wait_node* node) noexcept;
    static void give_back(sync_wait* waiter) noexcept;

    [[nodiscard]] bool is_reservation() const noexcept { return reserves_ != 0; }
    [[nodiscard]] std::uint32_t needs() const noexcept { return reserves_ == 0 ? 1 : reserves_; }

    mpsc_cell* cell_;     // the claimed cell, once granted
    sync_wait* receiver_; // rule 2: to be woken once the cell is published
    mpsc_outcome outcome_;
    const std::uint32_t reserves_; // 0: it has a value to send
};

class RT_API mpsc_receive_wait : public sync_wait {
public:
    explicit mpsc_receive_wait(mpsc_core* core) noexcept
        : sync_wait(wait_type, core) {}
    mpsc_receive_wait(mpsc_receive_wait&& other) noexcept
        : mpsc_receive_wait(other.core()) {}

    bool await_ready() noexcept;
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return suspend(self.address());
    }

protected:
    [[nodiscard]] mpsc_core* core() const noexcept { return static_cast<mpsc_core*>(object()); }

private:
    friend class mpsc_core;
    static const sync_wait_type wait_type;
    static bool enroll(sync_wait* waiter) noexcept;
    static cancel_result withdraw(wait_node* node) noexcept;

    mpsc_cell* cell_; // rule 1, or null: rule 2
};

// Waits until the receiver is dropped or closed.
class RT_API mpsc_closed_wait : public sync_wait {
public:
    explicit mpsc_closed_wait(mpsc_core* core) noexcept
        : sync_wait(wait_type, core) {}

    bool await_ready() noexcept { return take_budget() && false; }
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return suspend(self.address());
    }
    void await_resume() const noexcept {}

private:
    friend class mpsc_core;
    static const sync_wait_type wait_type;
    static bool enroll(sync_wait* waiter) noexcept;
    static cancel_result withdraw(wait_node* node) noexcept;
};

// What the queue must know of the values.
struct mpsc_values {
    std::uint32_t cell_bytes;
    std::uint32_t cells;      // per block
    std::uint32_t first_cell; // offset in the block
    std::uint32_t alignment;  // of the block
    void (*move_in)(mpsc_send_wait* from, mpsc_cell* to) noexcept;
    void (*destroy)(mpsc_cell* cell) noexcept;

    [[nodiscard]] std::size_t block_bytes() const noexcept {
        return first_cell + std::size_t{cell_bytes} * cells;
    }
};

class [[RT_API_ATTRIBUTE]] alignas(64) mpsc_core {
public:
    static constexpr std::uint64_t unbounded = UINT64_MAX;
    static constexpr std::uint64_t capacity_max = UINT64_MAX / 2; // no sum of limits overflows

    // A queue with one sender and its receiver; null when memory is exhausted.
    [[nodiscard]] static mpsc_core*
    create(std::uint64_t capacity, const mpsc_values& values) noexcept;

    // Senders. Threads: any.
    void add_sender() noexcept { senders_.add_relaxed(1); } // relaxed: the caller is one
    void drop_sender() noexcept;
    // Weak senders: they keep the queue, but do not keep it open. relaxed: the caller has a hold.
    void add_weak() noexcept { holds_.add_relaxed(1); }
    void drop_weak() noexcept { release(); }
    // Makes a sender of a weak one. False: the last sender is gone, for good.
    [[nodiscard]] bool try_add_sender() noexcept {
        std::uint32_t senders = senders_.load_relaxed();
        while (senders != 0) {
            // relaxed: the caller learns nothing but that the stream has not ended.
            if (senders_.cas_weak_relaxed(senders, senders + 1)) {
                return true;
            }
        }
        return false;
    }
    // granted: `cell` is the caller's, to be filled and published together with `receiver`.
    [[nodiscard]] mpsc_outcome claim(mpsc_cell*& cell, sync_wait*& receiver) noexcept;
    void publish(mpsc_cell* cell, sync_wait* receiver) noexcept {
        if (receiver != nullptr) [[unlikely]] {
            cell->state.store_release(published); // release: pairs with front; rule 2: as below
            sync_wait::wake(receiver);
            return;
        }
        // release: pairs with front; acquire: with enroll_receiver, of cell_waiter_ (rule 1). The
        // cell is the receiver's from here on.
        const std::uint32_t before = cell->state.exchange_acq_rel(published);
        if (before != empty) [[unlikely]] {
            published_late(cell, before);
        }
    }
    // claim for the ordinary case, in line. Not null: lock_ is held until end_claim(), and the
    // caller may fill the cell and call publish_locked() before that, if no user code runs for it.
    [[nodiscard]] mpsc_cell* begin_claim(sync_wait*& receiver) noexcept {
        lock_.lock();
        if (tail_left_ == 0 || is_closed_ || !waiting_.is_empty() ||
            claimed_ + reserved_ - seen_head_ >= capacity_) [[unlikely]] {
            lock_.unlock();
            return nullptr;
        }
        receiver = receiver_;
        receiver_ = nullptr;
        return take_cell();
    }
    void end_claim() noexcept { lock_.unlock(); }
    // release: pairs with front. No exchange: the receiver looks for claimed cells under lock_.
    static void publish_locked(mpsc_cell* cell) noexcept { cell->state.store_release(published); }
    // `count` reservations, each of which is used up by claim_reserved, whatever comes of it, or by
    // unreserve. impossible: there will never be so much room.
    [[nodiscard]] mpsc_outcome reserve(std::uint32_t count) noexcept;
    [[nodiscard]] mpsc_outcome claim_reserved(mpsc_cell*& cell, sync_wait*& receiver) noexcept;
    void unreserve(std::uint32_t count) noexcept;

    // The receiver.
    void drop_receiver() noexcept;
    // Accepts nothing more. What was sent, or is sent with a reservation, can be received.
    void close() noexcept { refuse(false); }
    // The next published cell, or null.
    [[nodiscard]] mpsc_cell* front() noexcept {
        if (head_left_ == 0 && !enter_next_block()) {
            return nullptr;
        }
        // acquire: pairs with the release in publish.
        return head_cell_->state.load_acquire() == published ? head_cell_ : nullptr;
    }
    // Steps over it, once its value was moved out and destroyed.
    void pop() noexcept {
        head_cell_->state.store_relaxed(empty); // the block's way to its next user orders it
        --head_left_;
        head_cell_ = following(head_cell_);
    }
    // Gives the room of `count` popped cells to the senders.
    void make_room(std::uint64_t count) noexcept {
        const std::uint64_t head = head_.load_relaxed() + count; // relaxed: ours
        if (capacity_ == unbounded) {
            head_.store_relaxed(head); // only for size()
            return;
        }
        head_.exchange_seq_cst(head); // seq_cst, both: rule 3, pairs with wait_for_room
        if (has_waiting_.load_seq_cst() != 0) [[unlikely]] {
            refill();
        }
    }
    // What there is for a receiver that does not wait. A cell that is claimed and not published yet
    // is waited for by spinning: a send that got a later cell may have returned already, and what
    // it sent must be found.
    enum class sight : std::uint8_t { value, none_now, none_ever };
    [[nodiscard]] sight try_front() noexcept;

    // After a wait that found nothing: rule 6.
    [[gnu::cold]] void check_end() noexcept;

    // Threads: any; as of a moment ago.
    [[nodiscard]] std::uint64_t size() noexcept;
    [[nodiscard]] std::uint64_t room() noexcept;
    [[nodiscard]] std::uint64_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] bool is_closed() noexcept;
    // The same, or the senders are gone.
    [[nodiscard]] bool is_ended() noexcept;

private:
    friend class mpsc_send_wait;
    friend class mpsc_receive_wait;
    friend class mpsc_closed_wait;

    enum cell_state : std::uint32_t { empty, published, awaited, orphaned };
    static constexpr char receiver_text[] = "an rt::mpsc::receiver"; // for rule 6

    mpsc_core(std::uint64_t capacity, const mpsc_values& values) noexcept;
    ~mpsc_core();
    void release() noexcept;
    void refuse(bool is_gone) noexcept;
    void orphan() noexcept;

    [[nodiscard]] mpsc_block* make_block() noexcept;
    void free_block(mpsc_block* block) noexcept;
    void recycle(mpsc_block* block) noexcept;
    [[nodiscard]] mpsc_cell* first_cell(mpsc_block* block) const noexcept;
    [[nodiscard]] mpsc_cell* following(mpsc_cell* cell) const noexcept {
        return reinterpret_cast<mpsc_cell*>(
            reinterpret_cast<std::byte*>(cell) + values_.cell_bytes
        );
    }

    // The following need lock_.
    [[nodiscard]] bool has_room_for(std::uint32_t count) noexcept;
    [[nodiscard]] bool wait_for_room(std::uint32_t count) noexcept;
    [[nodiscard]] bool extend(mpsc_block*& fresh) noexcept;
    // REQUIRES: tail_left_ != 0.
    [[nodiscard]] mpsc_cell* take_cell() noexcept {
        mpsc_cell* const cell = tail_cell_;
        --tail_left_;
        ++claimed_;
        tail_cell_ = following(cell);
        return cell;
    }
    [[nodiscard]] bool is_finished_locked() const noexcept;

    [[nodiscard]] mpsc_outcome
    claim_as(bool is_reserved, mpsc_cell*& cell, sync_wait*& receiver) noexcept;
    void published_late(mpsc_cell* cell, std::uint32_t before) noexcept;
    void refill() noexcept;
    [[nodiscard]] bool enter_next_block() noexcept;
    [[nodiscard]] bool enroll_sender(mpsc_send_wait* waiter) noexcept;
    [[nodiscard]] bool enroll_receiver(mpsc_receive_wait* waiter) noexcept;

    // Constant, and counts that change rarely.
    const mpsc_values& values_;
    const std::uint64_t capacity_;
    atomic<std::uint32_t> senders_{1};
    atomic<std::uint32_t> holds_{2};     // all senders together, the receiver, each weak sender
    atomic<mpsc_block*> spare_{nullptr}; // an empty block for the next claimer
    sync_wait* cell_waiter_ = nullptr;   // written by the receiver before `awaited`

    // The senders' line: guarded by lock_.
    alignas(64) sync_lock lock_;
    bool is_closed_ = false;         // by the receiver
    bool is_gone_ = false;           // the receiver; is_closed_ too
    bool is_abandoned_ = false;      // by the last sender
    std::uint32_t tail_left_ = 0;    // unclaimed cells of tail_block_
    mpsc_cell* tail_cell_ = nullptr; // the next of them
    std::uint64_t claimed_ = 0;      // cells claimed since the beginning
    std::uint64_t reserved_ = 0;
    std::uint64_t seen_head_ = 0;   // head_ as last read: never more than it
    sync_wait* receiver_ = nullptr; // rule 2
    wait_list waiting_;             // mpsc_send_wait
    mpsc_block* tail_block_ = &origin_;
    wait_list closed_waiters_; // mpsc_closed_wait

    // The receiver's line.
    alignas(64) atomic<std::uint64_t> head_{0}; // cells taken since the beginning
    atomic<std::uint32_t> has_waiting_{0};      // set under lock_ while waiting_ is not empty
    std::uint32_t head_left_ = 0;               // cells of head_block_ that are not taken
    mpsc_cell* head_cell_ = nullptr;            // the next of them
    mpsc_block* head_block_ = &origin_;
    mpsc_block origin_; // stands before the first block, without cells
};

inline bool mpsc_receive_wait::await_ready() noexcept {
    return take_budget() && (core() == nullptr || core()->front() != nullptr);
}

} // namespace rt::detail
