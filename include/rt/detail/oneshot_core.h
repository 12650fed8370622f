// SPDX-License-Identifier: MIT
//
// The shared state of a oneshot channel.
//
// One word, every change of which is one read-modify-write:
//
//   has_value        set by the sender with sender_gone; cleared by the receiver, then its owner
//   sender_gone      set once, by the sender's last access: it has sent, or was dropped
//   refused          set by the receiver: a value would reach nobody, and none will come
//   receiver_gone    set once, by the receiver's last access, unless sender_gone is set: then it
//                    frees the state at once
//   receiver_waits   receiver_ is valid; set and cleared by the receiver while neither sender_gone
//                    nor refused
//   sender_waits     sender_ is valid; set and cleared by the sender while not refused
//
// Rule 1. The second of sender_gone and receiver_gone frees the state; its setter knows, because it
//         sees the other one.
// Rule 2. Who sets the first of sender_gone and refused and sees receiver_waits wakes the receiver,
//         once: the sender, or another part of the receiver's task. That task keeps the state alive
//         until then.
// Rule 3. Who sets refused first and sees sender_waits wakes the sender, once, likewise.
// Rule 4. A waiter gives up by clearing its bit, and can no more do so once refused, or sender_gone
//         for the receiver, is set: its wake-up is in flight.
// Rule 5. An end has one waiter at a time: who finds its bit set ends the program.
// Rule 6. An end that goes while its own waiter's bit is set, and nobody has woken that one, ends
//         the program: the waiter refers to the state, which the other end may free from then on.
//
// Lock-free, because this is four words of memory per request of a server; the lock would be a
// fifth, and each of the two ends would take it twice.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>
#include <rt/detail/frame.h>
#include <rt/detail/wait_queue.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>

namespace rt::detail {

class oneshot_core {
public:
    using destroy_function = void (*)(oneshot_core*, bool has_value) noexcept;

    // Sender. False: the receiver refuses; the sender still has the state, and the value.
    [[nodiscard]] RT_API bool publish() noexcept;
    RT_API void drop_sender() noexcept;
    // acquire: pairs with the release in refuse and drop_receiver.
    [[nodiscard]] bool is_refused() const noexcept { return (word_.load_acquire() & refused) != 0; }

    // Receiver. Whether there is a value or there will be none.
    // acquire: pairs with the release in publish and drop_sender.
    [[nodiscard]] bool is_settled() const noexcept { return (word_.load_acquire() & settled) != 0; }
    // Whether there is none, and there will be none. acquire: as above.
    [[nodiscard]] bool is_ended() const noexcept {
        const std::uint32_t word = word_.load_acquire();
        return (word & settled) != 0 && (word & has_value) == 0;
    }
    // Whether there is a value; it is the caller's then. REQUIRES: is_settled().
    [[nodiscard]] bool take_value() noexcept {
        // acquire: pairs with the release in publish.
        const std::uint32_t word = word_.load_acquire();
        if ((word & sender_gone) == 0) [[unlikely]] {
            return false; // the word is the sender's still, which was refused
        }
        word_.store_relaxed(word & ~has_value); // relaxed: it is ours
        return (word & has_value) != 0;
    }
    RT_API void refuse() noexcept;
    RT_API void drop_receiver() noexcept;

protected:
    explicit oneshot_core(destroy_function destroy) noexcept
        : destroy_(destroy) {}
    ~oneshot_core() = default;

private:
    friend class oneshot_receive_wait;
    friend class oneshot_closed_wait;

    enum bits : std::uint32_t {
        has_value = 1,
        sender_gone = 2,
        refused = 4,
        receiver_gone = 8,
        receiver_waits = 16,
        sender_waits = 32,
        settled = sender_gone | refused,
    };

    // Notes `waiter` at `place` and sets `own`, its bit, unless `stop` is set. False: it is.
    [[nodiscard]] bool
    enroll(sync_wait*& place, sync_wait* waiter, std::uint32_t own, std::uint32_t stop) noexcept;
    // Rule 4. False: `stop` is set.
    [[nodiscard]] bool withdraw(std::uint32_t own, std::uint32_t stop) noexcept;

    atomic<std::uint32_t> word_{0};
    destroy_function destroy_;
    sync_wait* receiver_ = nullptr; // written by the receiver before receiver_waits
    sync_wait* sender_ = nullptr;   // written by the sender before sender_waits
};

class RT_API oneshot_receive_wait : public sync_wait {
public:
    explicit oneshot_receive_wait(oneshot_core* core) noexcept
        : sync_wait(wait_type, core) {}

    bool await_ready() noexcept {
        return take_budget() && (core() == nullptr || core()->is_settled());
    }
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return suspend(self.address());
    }

protected:
    [[nodiscard]] oneshot_core* core() const noexcept {
        return static_cast<oneshot_core*>(object());
    }

private:
    static const sync_wait_type wait_type;
    static bool enroll(sync_wait* waiter) noexcept;
    static cancel_result withdraw(wait_node* node) noexcept;
};

class RT_API oneshot_closed_wait : public sync_wait {
public:
    explicit oneshot_closed_wait(oneshot_core* core) noexcept
        : sync_wait(wait_type, core) {}

    bool await_ready() noexcept {
        return take_budget() && (core() == nullptr || core()->is_refused());
    }
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        return suspend(self.address());
    }
    void await_resume() const noexcept {}

private:
    static const sync_wait_type wait_type;
    static bool enroll(sync_wait* waiter) noexcept;
    static cancel_result withdraw(wait_node* node) noexcept;

    [[nodiscard]] oneshot_core* core() const noexcept {
        return static_cast<oneshot_core*>(object());
    }
};

template<typename T>
struct oneshot_state final : oneshot_core {
    static_assert(std::is_nothrow_move_constructible_v<T>, "send a pointer to what may not move");
    static_assert(std::is_nothrow_destructible_v<T>);

    static constexpr bool is_pooled = alignof(T) <= 16; // what allocate_frame gives

    oneshot_state() noexcept
        : oneshot_core(&destroy) {}
    ~oneshot_state() {}

    // Null when memory is exhausted.
    static oneshot_state* create() noexcept {
        void* memory = nullptr;
        if constexpr (is_pooled) {
            memory = allocate_frame(sizeof(oneshot_state));
        } else {
            constexpr std::align_val_t alignment{alignof(oneshot_state)};
            memory = ::operator new(sizeof(oneshot_state), alignment, std::nothrow);
        }
        return memory == nullptr ? nullptr : ::new (memory) oneshot_state();
    }

    static void destroy(oneshot_core* core, bool has_value) noexcept {
        auto* const self = static_cast<oneshot_state*>(core);
        if (has_value) {
            std::destroy_at(&self->value);
        }
        std::destroy_at(self);
        if constexpr (is_pooled) {
            deallocate_frame(self, sizeof(oneshot_state));
        } else {
            ::operator delete (self, std::align_val_t{alignof(oneshot_state)});
        }
    }

    union {
        T value; // the sender's until publish, then the receiver's
    };
};

} // namespace rt::detail
