// SPDX-License-Identifier: MIT
//
// A sender's share in a channel of which senders are copied: it counts as one sender for as long as
// it lives. Empty, it is that of an end that was moved from.
//
// Core has add_sender() and drop_sender(); the first share is made with the channel. Threads: a
// share belongs to one at a time.
#pragma once

#include <utility>

namespace rt::detail {

template<typename Core>
class sender_share {
public:
    sender_share() noexcept = default;
    // Takes over one of the counted senders.
    explicit sender_share(Core* core) noexcept
        : core_(core) {}
    sender_share(const sender_share& other) noexcept
        : core_(other.core_) {
        if (core_ != nullptr) {
            core_->add_sender();
        }
    }
    sender_share(sender_share&& other) noexcept
        : core_(std::exchange(other.core_, nullptr)) {}
    sender_share& operator=(sender_share other) noexcept {
        std::swap(core_, other.core_);
        return *this;
    }
    ~sender_share() {
        if (core_ != nullptr) {
            core_->drop_sender();
        }
    }

    explicit operator bool() const noexcept { return core_ != nullptr; }
    Core* operator->() const noexcept { return core_; }
    [[nodiscard]] Core* get() const noexcept { return core_; }
    // Whether both are senders of one channel.
    [[nodiscard]] bool is_with(const sender_share& other) const noexcept {
        return core_ != nullptr && core_ == other.core_;
    }

private:
    Core* core_ = nullptr;
};

} // namespace rt::detail
