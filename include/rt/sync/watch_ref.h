// SPDX-License-Identifier: MIT
//
// rt::watch::ref: a counted reference to one value of a watch channel. Included by rt/sync/watch.h.
//
// An empty one comes from an end that was moved from. To look through it is checked each time: that
// is one comparison beside a load that may miss the cache.
#pragma once

#include <rt/detail/channel_end.h>
#include <rt/detail/shared_value.h>

#include <memory>
#include <utility>

namespace rt::watch {

template<typename T>
class sender;
template<typename T>
class receiver;

/// One value, counted: it lives as long as somebody refers to it. Copyable; any thread. To look
/// through an empty one aborts.
template<typename T>
class ref {
public:
    ref() noexcept = default;
    ref(const ref& other) noexcept
        : value_(other.value_) {
        if (value_ != nullptr) {
            value_->hold();
        }
    }
    ref(ref&& other) noexcept
        : value_(std::exchange(other.value_, nullptr)) {}
    ref& operator=(ref other) noexcept {
        std::swap(value_, other.value_);
        return *this;
    }
    ~ref() {
        if (value_ != nullptr) {
            value_->unhold();
        }
    }

    [[nodiscard]] const T& operator*() const noexcept {
        if (value_ == nullptr) [[unlikely]] {
            detail::no_value();
        }
        return value_->value;
    }
    [[nodiscard]] const T* operator->() const noexcept { return std::addressof(**this); }
    explicit operator bool() const noexcept { return value_ != nullptr; }

private:
    friend class sender<T>;
    friend class receiver<T>;
    explicit ref(detail::shared_node* node) noexcept
        : value_(static_cast<detail::shared_value<T>*>(node)) {}

    detail::shared_value<T>* value_ = nullptr;
};

} // namespace rt::watch
