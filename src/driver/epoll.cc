// SPDX-License-Identifier: MIT
//
// The epoll driver.
//
// Descriptors are added edge-triggered at their first wait and taken out at close. epoll keeps one
// registration per descriptor, so the second direction widens the first's mask; events name the
// source either way. A watch that is dropped may still be named by events that epoll_wait has
// returned in the batch being delivered; it is let go at the start of the next batch.
//
// turn_lock_ is held for a whole turn, asleep or not, and only ever tried by rescue(), which takes
// a turn in the place of an owner that does not come back.
#include "driver/epoll.h"

#include "base/lock.h"
#include "base/unique_fd.h"
#include "driver/io_source.h"
#include "driver/wait_time.h"
#include "metrics/worker_counters.h"

#include <rt/detail/context.h>

#include <array>
#include <cerrno>
#include <new>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace rt::driver {
namespace {

using metrics::worker_counters;

constexpr int batch_max = 256; // events per epoll_wait; more stay queued in the kernel

std::uint32_t bits_of(std::uint32_t events) noexcept {
    std::uint32_t bits = 0;
    if ((events & EPOLLIN) != 0) {
        bits |= ready_read;
    }
    if ((events & EPOLLOUT) != 0) {
        bits |= ready_write;
    }
    if ((events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0) {
        bits |= ready_hangup | ready_read | ready_write;
    }
    return bits;
}

class epoll_driver final : public driver {
public:
    epoll_driver(base::unique_fd epoll, base::unique_fd event) noexcept
        : epoll_(std::move(epoll))
        , event_(std::move(event)) {}

    ~epoll_driver() override { orphan_all(); }

    result<void> start(watch& direction) noexcept override;
    unsigned park(std::int64_t deadline_ns) noexcept override { return turn(deadline_ns); }
    unsigned poll(bool flush) noexcept override { return flush ? turn(0) : 0; }
    void wake() noexcept override { static_cast<void>(eventfd_write(event_.get(), 1)); }
    kind which() const noexcept override { return kind::epoll; }
    unsigned rescue() noexcept override;

protected:
    void disarm(watch& direction) noexcept override;
    void drop(watch& direction) noexcept override;
    void drop_locked(watch& direction) noexcept override { drop(direction); }

private:
    using batch = std::array<epoll_event, batch_max>;

    unsigned turn(std::int64_t deadline_ns) noexcept;
    unsigned deliver(batch& events, int milliseconds) noexcept;
    void release_dropped() noexcept;

    base::unique_fd epoll_;
    base::unique_fd event_;
    watch* dropped_ = nullptr; // owner only: to be let go before the next batch
    batch events_;             // owner only
    bool is_woken_ = false;    // guarded by turn_lock_: since the owner's last turn
    base::spin_lock turn_lock_{base::lock_rank::worker_core};
};

result<void> epoll_driver::start(watch& direction) noexcept {
    io_source& source = *direction.source;
    const bool both = source.read_watch.home == this || source.write_watch.home == this;
    const std::uint32_t out = direction.bit == ready_write || both ? EPOLLOUT : 0U;
    const std::uint32_t in = direction.bit == ready_read || both ? EPOLLIN | EPOLLRDHUP : 0U;
    epoll_event event{};
    event.events = EPOLLET | in | out;
    event.data.ptr = &source;
    const int operation = both ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(epoll_.get(), operation, source.fd(), &event) != 0) {
        return std::unexpected(error(errno, "epoll_ctl"));
    }
    adopt(direction);
    return {};
}

void epoll_driver::disarm(watch& direction) noexcept {
    // Fails with ENOENT for the second direction of a descriptor, which is as good.
    epoll_event event{};
    static_cast<void>(epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, direction.source->fd(), &event));
}

void epoll_driver::drop(watch& direction) noexcept {
    direction.next = dropped_;
    dropped_ = &direction;
}

void epoll_driver::release_dropped() noexcept {
    watch* list = dropped_;
    dropped_ = nullptr;
    while (list != nullptr) {
        watch* const next = list->next;
        let_go(*list);
        list = next;
    }
}

unsigned epoll_driver::turn(std::int64_t deadline_ns) noexcept {
    base::guard guard(turn_lock_);
    drop_forgotten();
    release_dropped();
    // A rescuer may have taken a wake-up that was meant for this wait.
    const unsigned delivered = deliver(events_, is_woken_ ? 0 : milliseconds_until(deadline_ns));
    is_woken_ = false;
    return delivered;
}

unsigned epoll_driver::rescue() noexcept {
    base::try_guard guard(turn_lock_);
    if (!guard) {
        return 0;
    }
    batch events;
    return deliver(events, 0);
}

unsigned epoll_driver::deliver(batch& events, int milliseconds) noexcept {
    metrics::count(&worker_counters::driver_enters);
    const int count = epoll_wait(epoll_.get(), events.data(), batch_max, milliseconds);
    unsigned delivered = 0;
    for (int i = 0; i < count; ++i) {
        if (events[i].data.ptr == nullptr) {
            eventfd_t value = 0;
            static_cast<void>(eventfd_read(event_.get(), &value));
            is_woken_ = true;
            continue;
        }
        ++delivered;
        static_cast<io_source*>(events[i].data.ptr)->deliver(bits_of(events[i].events));
    }
    metrics::add(&worker_counters::driver_events, delivered);
    return delivered;
}

} // namespace

result<std::unique_ptr<driver>> make_epoll() noexcept {
    base::unique_fd epoll(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) {
        return std::unexpected(error(errno, "epoll_create1"));
    }
    base::unique_fd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event) {
        return std::unexpected(error(errno, "eventfd"));
    }
    epoll_event registration{};
    registration.events = EPOLLIN | EPOLLET;
    registration.data.ptr = nullptr;
    if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, event.get(), &registration) != 0) {
        return std::unexpected(error(errno, "epoll_ctl"));
    }
    std::unique_ptr<driver> made(new (std::nothrow) epoll_driver(std::move(epoll), std::move(event))
    );
    if (made == nullptr) {
        return std::unexpected(error(ENOMEM, "epoll driver"));
    }
    return made;
}

} // namespace rt::driver
