// SPDX-License-Identifier: MIT
//
// The task's side of a watched descriptor: see rt/detail/io.h.
//
// A handle is used by one task at a time, on whichever worker runs it; the source behind it is
// shared with the drivers that watch it. The first wait in a direction ties that direction to the
// driver of the worker that runs the task then.
#include "driver/driver.h"
#include "driver/io_source.h"

#include <rt/deadline.h>
#include <rt/detail/context.h>
#include <rt/detail/io.h>

#include <cerrno>

#include <unistd.h>

namespace rt::detail {
namespace {

constexpr std::uint32_t bit_of(direction which) noexcept {
    return static_cast<std::uint32_t>(which);
}

} // namespace

bool ready_awaiter::suspend(void* self) noexcept {
    task_header* const task = attach_to_current(*this, "co_await of a socket");
    if (source_ == nullptr) [[unlikely]] {
        outcome_ = failure(EBADF, which_ == direction::read ? "readable" : "writable");
        return false;
    }
    const std::uint32_t bit = bit_of(which_);
    driver::watch& watch = source_->watch_of(bit);
    if (watch.home == nullptr) {
        if (result<void> started = this_thread.driver->start(watch); !started) {
            outcome_ = started;
            return false;
        }
        source_->forget_hope(bit);
    }
    if (!source_->register_waiter(this, bit)) {
        // Ready already. A task that finds this again and again gives its turn away now and then.
        return consume_budget() ? false : yield_current(self);
    }
    if (limit_ != nullptr) {
        is_limited_ = true;
        limit_->begin(*this);
    }
    const wait_kind kind = which_ == direction::read ? wait_kind::readable : wait_kind::writable;
    return commit_suspend(
        task, self, this, kind, reinterpret_cast<void*>(std::intptr_t{source_->fd()})
    );
}

wait_node::cancel_result ready_awaiter::on_cancel(wait_node* node) noexcept {
    auto* const self = static_cast<ready_awaiter*>(node);
    return self->source_->unregister_waiter(node) ? cancel_result::detached
                                                  : cancel_result::in_flight;
}

task_header* ready_awaiter::expire() noexcept {
    if (!source_->unregister_waiter(this)) {
        return nullptr; // it has become ready: the wake-up is on its way
    }
    outcome_ = std::unexpected(error(errc::timed_out, "deadline"));
    return try_wake(task) ? task : nullptr;
}

void ready_awaiter::end_limit() noexcept {
    limit_->end();
}

result<io_handle> io_handle::adopt(int fd) noexcept {
    io_handle handle;
    handle.source_ = driver::io_source::create(fd);
    if (handle.source_ == nullptr) {
        ::close(fd);
        return std::unexpected(error(ENOMEM, "socket"));
    }
    return handle;
}

int io_handle::fd() const noexcept {
    return source_ == nullptr ? -1 : source_->fd();
}

std::uint64_t io_handle::look(direction which) const noexcept {
    return source_->look(bit_of(which));
}

void io_handle::spend(direction which, std::uint64_t seen) const noexcept {
    source_->spend(bit_of(which), seen);
}

int io_handle::release() noexcept {
    if (source_ == nullptr) {
        return -1;
    }
    driver::io_source* const source = std::exchange(source_, nullptr);
    const int fd = source->fd();
    for (driver::watch* watch : {&source->read_watch, &source->write_watch}) {
        if (watch->home != nullptr) {
            watch->home->forget(*watch);
        }
    }
    source->unhold();
    return fd;
}

void io_handle::close() noexcept {
    const int fd = release();
    if (fd >= 0) {
        ::close(fd);
    }
}

} // namespace rt::detail
