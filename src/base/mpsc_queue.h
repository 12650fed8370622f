// SPDX-License-Identifier: MIT
//
// mpsc_inbox<T>: many threads put, one owner takes everything at once. For what other threads hand
// to a worker: remote frees, timer cancellations, completions reaped by somebody else.
//
// It is a stack of intrusive links that the owner empties with one exchange and reverses, so that
// what it gets is in the order of arrival. push says whether the inbox was empty: only that pusher
// needs to wake the owner, which makes one wake-up per batch.
//
// Rules:
//   1. Any thread may push; only the owner takes. The owner may push too.
//   2. An element belongs to the inbox from push until take_all, and to the owner afterwards.
//   3. Nothing is ever popped singly, so there is no ABA problem and no deferred freeing.
//
// Rejected: Vyukov's queue, whose consumer must wait for a pusher that was interrupted between its
// two steps, and a lock, which a worker off its CPU would hold.
#pragma once

#include "base/assert.h"

#include <rt/detail/atomic.h>

#include <concepts>

namespace rt::base {

template<class Tag = void>
struct inbox_link {
    inbox_link* next =
        nullptr; // written by the pusher before its publishing CAS, then by the owner
};

template<class T, class Tag = void>
class mpsc_inbox {
    using link = inbox_link<Tag>;

public:
    /// What take_all returns: a chain in order of arrival, consumed by pop(). Owned by one thread.
    class batch {
    public:
        batch() noexcept = default;
        [[nodiscard]] bool is_empty() const noexcept { return first_ == nullptr; }

        /// The next element, or nullptr. The element's link is free for reuse when it is returned.
        [[nodiscard]] T* pop() noexcept {
            link* taken = first_;
            if (taken == nullptr) {
                return nullptr;
            }
            first_ = taken->next;
            taken->next = nullptr;
            return static_cast<T*>(taken);
        }

    private:
        friend class mpsc_inbox;
        explicit batch(link* first) noexcept
            : first_(first) {}
        link* first_ = nullptr;
    };

    constexpr mpsc_inbox() noexcept = default;
    mpsc_inbox(const mpsc_inbox&) = delete;
    mpsc_inbox& operator=(const mpsc_inbox&) = delete;
    ~mpsc_inbox() { RT_ASSERT(head_.load_relaxed() == nullptr); }

    /// Returns true when the inbox was empty before. Any thread.
    bool push(T& element) noexcept {
        static_assert(std::derived_from<T, link>, "an element derives from inbox_link<Tag>");
        link& added = element;
        link* head =
            head_.load_relaxed(); // relaxed: only compared; the pusher reads nothing through it
        do {
            RT_DEBUG_ASSERT(head != &added);
            added.next = head;
            // release: pairs with the acquire in take_all; publishes the element and its link.
        } while (!head_.cas_weak_release(head, &added));
        return head == nullptr;
    }

    /// Takes everything, oldest first. Owner only.
    [[nodiscard]] batch take_all() noexcept {
        // relaxed: an empty inbox is polled often, and the line then stays shared. A push that this
        // load misses is announced by its pusher, who saw the inbox empty.
        if (head_.load_relaxed() == nullptr) {
            return batch();
        }
        // acquire: pairs with the release in push. One exchange sees every push in the chain, since
        // each later push continues the release sequence of the earlier ones.
        link* newest = head_.exchange_acquire(nullptr);
        link* oldest = nullptr;
        while (newest != nullptr) {
            link* older = newest->next;
            newest->next = oldest;
            oldest = newest;
            newest = older;
        }
        return batch(oldest);
    }

    /// May be out of date when it returns. Any thread.
    [[nodiscard]] bool is_empty() const noexcept {
        return head_.load_relaxed() == nullptr; // relaxed: a hint; take_all is what synchronises
    }

private:
    atomic<link*> head_{nullptr}; // written by every thread
};

} // namespace rt::base
