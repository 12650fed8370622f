// SPDX-License-Identifier: MIT
#include "scheduler/inject_queue.h"

namespace rt::scheduler {

bool inject_queue::push_chain(task_chain chain) noexcept {
    chain.last->queue_next = nullptr;
    base::guard guard(lock_);
    if (is_closed_) {
        return false;
    }
    (last_ == nullptr ? first_ : last_->queue_next) = chain.first;
    last_ = chain.last;
    size_.store_relaxed(size_.load_relaxed() + chain.count);
    return true;
}

task_chain inject_queue::pop(std::uint32_t most) noexcept {
    if (is_empty()) {
        return {};
    }
    base::guard guard(lock_);
    task_chain chain{first_, nullptr, 0};
    task_header* next = first_;
    while (next != nullptr && chain.count < most) {
        chain.last = next;
        next = next->queue_next;
        ++chain.count;
    }
    if (chain.count == 0) {
        return {};
    }
    chain.last->queue_next = nullptr;
    first_ = next;
    if (next == nullptr) {
        last_ = nullptr;
    }
    size_.store_relaxed(size_.load_relaxed() - chain.count);
    return chain;
}

void inject_queue::close() noexcept {
    base::guard guard(lock_);
    is_closed_ = true;
}

} // namespace rt::scheduler
