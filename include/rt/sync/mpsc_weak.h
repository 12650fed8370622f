// SPDX-License-Identifier: MIT
//
// A sender of an mpsc channel that does not keep it open. See rt/sync/mpsc.h.
#pragma once

#include <rt/detail/mpsc_value.h>

namespace rt::mpsc {

/// What sender::downgrade() gives: it does not keep the channel open. Copyable.
template<typename Sender>
class weak_sender {
public:
    weak_sender() noexcept = default;

    /// A sender, or an empty one, once the last other sender is gone. Threads: any.
    [[nodiscard]] Sender upgrade() const noexcept { return Sender(hold_.upgrade()); }

private:
    friend Sender;
    explicit weak_sender(detail::mpsc_core* core) noexcept
        : hold_(core) {}

    detail::mpsc_weak_hold hold_;
};

} // namespace rt::mpsc
