// SPDX-License-Identifier: MIT
//
// A value that several receivers read at once, counted: what broadcast and watch channels hold.
//
// A count is taken under the channel's lock from a count that the channel holds, so it never comes
// back from zero; whoever gives back the last one destroys the value, outside every lock. Between
// the two the value is constant. Memory is pooled like coroutine frames.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>
#include <rt/detail/frame.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace rt::detail {

struct shared_node {
    using destroy_function = void (*)(shared_node*) noexcept;

    explicit shared_node(destroy_function f) noexcept
        : destroy(f) {}

    void hold() noexcept { holds.add_relaxed(1); } // relaxed: the caller has or guards a hold
    void unhold() noexcept {
        // acq_rel: everybody's reads come before the end of the value.
        if (holds.sub_acq_rel(1) == 1) {
            destroy(this);
        }
    }
    // Whether the caller's hold is the only one, so that it may change the value.
    // acquire: pairs with unhold; the others have finished reading.
    [[nodiscard]] bool is_unique() const noexcept { return holds.load_acquire() == 1; }

    atomic<std::uint32_t> holds{1};
    std::uint32_t unseen = 0;         // broadcast: receivers that shall still get it; its lock
    shared_node* next_free = nullptr; // broadcast: a list of those to be given back
    const destroy_function destroy;
};

template<typename T>
struct shared_value final : shared_node {
    static_assert(std::is_object_v<T> && !std::is_const_v<T>);
    static_assert(std::is_nothrow_destructible_v<T>);

    static constexpr bool is_pooled = alignof(T) <= 16; // what allocate_frame gives

    template<typename... Args>
    explicit shared_value(std::in_place_t /*tag*/, Args&&... args)
        : shared_node(&destroy_value)
        , value(std::forward<Args>(args)...) {}

    // Null when memory is exhausted. Throws what T throws.
    template<typename... Args>
    static shared_value* create(Args&&... args) {
        void* memory = nullptr;
        if constexpr (is_pooled) {
            memory = allocate_frame(sizeof(shared_value));
        } else {
            constexpr std::align_val_t alignment{alignof(shared_value)};
            memory = ::operator new(sizeof(shared_value), alignment, std::nothrow);
        }
        if (memory == nullptr) {
            return nullptr;
        }
        if constexpr (std::is_nothrow_constructible_v<T, Args...>) {
            return ::new (memory) shared_value(std::in_place, std::forward<Args>(args)...);
        } else {
            try {
                return ::new (memory) shared_value(std::in_place, std::forward<Args>(args)...);
            } catch (...) {
                deallocate(memory);
                throw;
            }
        }
    }

    T value;

private:
    static void destroy_value(shared_node* node) noexcept {
        auto* const self = static_cast<shared_value*>(node);
        std::destroy_at(self);
        deallocate(self);
    }
    static void deallocate(void* memory) noexcept {
        if constexpr (is_pooled) {
            deallocate_frame(memory, sizeof(shared_value));
        } else {
            ::operator delete (memory, std::align_val_t{alignof(shared_value)});
        }
    }
};

} // namespace rt::detail
