// SPDX-License-Identifier: MIT
//
// The io_uring driver.
//
// Set-up: SINGLE_ISSUER | DEFER_TASKRUN | TASKRUN_FLAG with a registered ring descriptor (kernel
// 6.1), then COOP_TASKRUN, then no flags; DEFER batches task work where it costs least (12-20 % on
// Unix sockets, 5.3 against 9.1 us per request under wrk for a ring without flags). Rings are
// charged to RLIMIT_MEMLOCK on new kernels: on ENOMEM the sizes are halved down to entries_min. The
// CQ has four times the SQ's entries, and the kernel keeps what does not fit (NODROP).
//
// Submissions. SQEs are only filled in; they go to the kernel with the next park or flush, when the
// SQ is full, and with a kick: the turn after the one that filled them in may be a long one. All of
// them are multishot polls and their removals.
// Completions. user_data is the watch, or one of the small tags below. A multishot poll that ends
// (no F_MORE: overflow, or an error) is armed again unless it is being dropped; the last completion
// of a dropped one lets the watch go. A removal that finds nothing is silent.
// Rescue. The owner holds reap_lock_ while it parks and reaps; rescue() only tries it, so it never
// takes a completion that the owner waits for. A rescuer delivers events and leaves what needs the
// submission queue or the list of watches (a poll to arm again, a watch to let go) to the owner,
// which alone may submit. With DEFER_TASKRUN the kernel posts nothing until the owner enters;
// kick() does that from a signal handler, which runs in user mode only and so never inside an
// enter. Wake-up. A multishot poll on an eventfd that is never read: edge-triggered, 1.1 us for the
// waker, the same on every kernel since 6.1 and from any thread or signal handler.
#include "driver/ring.h"

#include "base/assert.h"
#include "base/lock.h"
#include "base/system_calls.h"
#include "base/unique_fd.h"
#include "driver/io_source.h"
#include "driver/wait_time.h"
#include "metrics/worker_counters.h"

#include <rt/detail/atomic.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace rt::driver {
namespace {

using metrics::worker_counters;

constexpr std::uint32_t entries_min = 32;
constexpr std::uint32_t cq_factor = 4;
constexpr unsigned int_flag_registered =
    1; // liburing's INT_FLAG_REG_RING: enter_ring_fd is an index
constexpr unsigned enter_abs_timer = 1U << 5U; // IORING_ENTER_ABS_TIMER, kernel 6.12
constexpr std::uint64_t tag_wake = 1;          // the eventfd's poll
constexpr std::uint64_t tag_ignored = 2;       // removals and the probe's NOP
constexpr std::uint64_t tag_last = 15;         // watches are aligned: larger values are pointers

// A ring may be mapped where one of another runtime was. The kernel orders the two; a race
// detector, which does not see liburing's system calls, has to be told.
constinit atomic<std::uint32_t> rings_ended{0};

void end_ring(io_uring& ring) noexcept {
    rings_ended.add_release(1); // release: pairs with the acquire after a ring is mapped
    io_uring_queue_exit(&ring);
}

// Flag sets in order of preference; EINVAL moves on to the next.
constexpr unsigned flag_sets[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    0,
};

// Sets `ring` up with the best flags and the largest size that the kernel grants. 0 or -errno.
int set_up(io_uring& ring, std::uint32_t entries, bool roams) noexcept {
    int status = -EINVAL;
    for (const unsigned flags : flag_sets) {
        if (roams && (flags & IORING_SETUP_SINGLE_ISSUER) != 0) {
            continue;
        }
        for (std::uint32_t size = entries; size >= entries_min; size /= 2) {
            io_uring_params parameters{};
            parameters.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
            parameters.cq_entries = size * cq_factor;
            status = io_uring_queue_init_params(size, &ring, &parameters);
            if (status != -ENOMEM) {
                break;
            }
        }
        if (status != -EINVAL) {
            break;
        }
    }
    static_cast<void>(rings_ended.load_acquire()); // acquire: pairs with end_ring
    return status;
}

std::uint32_t bits_of(int events) noexcept {
    std::uint32_t bits = 0;
    if ((events & POLLIN) != 0) {
        bits |= ready_read;
    }
    if ((events & POLLOUT) != 0) {
        bits |= ready_write;
    }
    if (events < 0 || (events & (POLLHUP | POLLRDHUP | POLLERR)) != 0) {
        bits |= ready_hangup | ready_read | ready_write;
    }
    return bits;
}

class ring_driver final : public driver {
public:
    ring_driver() noexcept = default;
    ~ring_driver() override;

    // 0 or -errno.
    int open(std::uint32_t entries, bool roams) noexcept;

    result<void> start(watch& direction) noexcept override;
    unsigned park(std::int64_t deadline_ns) noexcept override;
    unsigned poll(bool flush) noexcept override;
    void wake() noexcept override { static_cast<void>(eventfd_write(event_.get(), 1)); }
    kind which() const noexcept override { return kind::uring; }
    bool needs_kick() const noexcept override {
        return has_kernel_work() || has_unsubmitted_.load_relaxed();
    }
    void kick() noexcept override;
    unsigned rescue() noexcept override;

protected:
    void drop(watch& direction) noexcept override;
    void drop_locked(watch& direction) noexcept override;

private:
    io_uring_sqe& next_sqe() noexcept;
    void arm(watch& direction) noexcept;
    void arm_wake() noexcept;
    void settle_left() noexcept;
    [[gnu::always_inline]] int wait_until(std::int64_t deadline_ns, unsigned count) const noexcept;
    unsigned reap(bool is_owner) noexcept;
    bool complete(std::uint64_t user_data, int result, unsigned flags, bool is_owner) noexcept;
    // Past liburing, with nothing to submit. 0 or -errno.
    [[gnu::always_inline]] int
    enter(unsigned count, unsigned flags, const void* argument, std::size_t size) const noexcept {
        const bool is_registered = (ring_.int_flags & int_flag_registered) != 0;
        flags |= is_registered ? IORING_ENTER_REGISTERED_RING : 0U;
        return base::enter_ring(ring_.enter_ring_fd, count, flags, argument, size);
    }
    [[nodiscard]] bool has_kernel_work() const noexcept {
        return (IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)
               ) != 0;
    }

    io_uring ring_{};
    base::unique_fd event_;
    bool is_open_ = false;
    bool has_abs_timer_ = false;
    base::spin_lock reap_lock_{base::lock_rank::worker_core}; // CQ head, and the watches' fields
    atomic<bool> has_unsubmitted_{false};                     // SQEs that the kernel has not seen
    watch* left_ = nullptr;     // guarded by reap_lock_: ended polls that a rescuer left
    bool wake_is_armed_ = true; // guarded by reap_lock_
    bool is_woken_ = false;     // the same: a rescuer has taken a wake-up of the owner's
};

int ring_driver::open(std::uint32_t entries, bool roams) noexcept {
    base::unique_fd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event) {
        return -errno;
    }
    if (const int status = set_up(ring_, entries, roams); status < 0) {
        return status;
    }
    is_open_ = true;
    event_ = std::move(event);
    // Saves 40 ns per enter; without it (kernel < 5.18) the plain descriptor does. The registration
    // is the thread's, not the ring's.
    if (!roams) {
        static_cast<void>(io_uring_register_ring_fd(&ring_));
    }
    arm_wake();
    const int submitted = io_uring_submit(&ring_);
    has_abs_timer_ = submitted >= 0 && wait_until(0, 0) != -EINVAL;
    return submitted < 0 ? submitted : 0;
}

ring_driver::~ring_driver() {
    if (is_open_) {
        orphan_all(); // queue_exit cancels what is armed; nothing is reaped any more
        end_ring(ring_);
    }
}

io_uring_sqe& ring_driver::next_sqe() noexcept {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
        metrics::count(&worker_counters::driver_enters);
        const int status = io_uring_submit(&ring_);
        RT_ASSERT(status >= 0 || status == -EAGAIN || status == -EBUSY || status == -EINTR);
        if (status == -EBUSY) {
            static_cast<void>(reap(true)); // the CQ must be emptied before more is accepted
        }
        sqe = io_uring_get_sqe(&ring_);
    }
    has_unsubmitted_.store_relaxed(true); // relaxed: a hint for the watchdog, which looks again
    return *sqe;
}

void ring_driver::arm_wake() noexcept {
    io_uring_sqe& sqe = next_sqe();
    io_uring_prep_poll_multishot(&sqe, event_.get(), POLLIN);
    io_uring_sqe_set_data64(&sqe, tag_wake);
}

void ring_driver::arm(watch& direction) noexcept {
    io_uring_sqe& sqe = next_sqe();
    const unsigned mask = direction.bit == ready_read ? POLLIN | POLLRDHUP : POLLOUT;
    io_uring_prep_poll_multishot(&sqe, direction.source->fd(), mask);
    io_uring_sqe_set_data(&sqe, &direction);
}

result<void> ring_driver::start(watch& direction) noexcept {
    base::guard guard(reap_lock_);
    adopt(direction);
    arm(direction);
    return {};
}

void ring_driver::drop(watch& direction) noexcept {
    base::guard guard(reap_lock_);
    drop_locked(direction);
}

void ring_driver::drop_locked(watch& direction) noexcept {
    if (direction.dropping) {
        return;
    }
    direction.dropping = true;
    if (direction.failed) {
        let_go(direction);
        return;
    }
    if (!direction.armed) {
        return; // a rescuer saw its end: it is in left_
    }
    io_uring_sqe& sqe = next_sqe();
    // Not POLL_REMOVE: that fails, and leaves the poll armed, while an event of it is on its way.
    io_uring_prep_cancel64(&sqe, reinterpret_cast<std::uint64_t>(&direction), 0);
    sqe.flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(&sqe, tag_ignored);
}

// Does what a rescuer could not. REQUIRES: reap_lock_ held by the owner.
void ring_driver::settle_left() noexcept {
    if (!wake_is_armed_) {
        wake_is_armed_ = true;
        arm_wake();
    }
    watch* list = left_;
    left_ = nullptr;
    while (list != nullptr) {
        watch* const next = list->left_next;
        if (list->dropping) {
            let_go(*list);
        } else {
            list->armed = true;
            arm(*list);
        }
        list = next;
    }
}

// Handles one completion. True: it was an event for a source.
bool ring_driver::complete(
    std::uint64_t user_data, int result, unsigned flags, bool is_owner
) noexcept {
    const bool is_last = (flags & IORING_CQE_F_MORE) == 0;
    if (user_data <= tag_last) {
        if (user_data == tag_wake) {
            wake_is_armed_ = wake_is_armed_ && !is_last;
            is_woken_ = !is_owner;
        }
        return false;
    }
    watch& direction = *reinterpret_cast<watch*>(user_data);
    io_source& source = *direction.source;
    const bool is_event = !direction.dropping;
    if (is_last) {
        direction.armed = false;
        direction.failed = result < 0 && is_event; // the waiter sees a hang-up and tries
        if (!direction.failed) {
            direction.left_next = left_;
            left_ = &direction;
        }
    }
    if (is_event) {
        source.deliver(bits_of(result));
    }
    if (is_owner) {
        settle_left();
    }
    return is_event;
}

// REQUIRES: reap_lock_ held.
unsigned ring_driver::reap(bool is_owner) noexcept {
    unsigned delivered = 0;
    for (;;) {
        // The head moves before each completion is handled, so that one that submits can make room.
        io_uring_cqe* cqe = nullptr;
        unsigned ready = 0;
        if (io_uring_cq_ready(&ring_) == 0 || __io_uring_peek_cqe(&ring_, &cqe, &ready) != 0 ||
            cqe == nullptr) {
            break;
        }
        const std::uint64_t user_data = cqe->user_data;
        const int result = cqe->res;
        const unsigned flags = cqe->flags;
        io_uring_cqe_seen(&ring_, cqe);
        delivered += complete(user_data, result, flags, is_owner) ? 1 : 0;
    }
    metrics::add(&worker_counters::driver_events, delivered);
    return delivered;
}

// Enters, with nothing to submit, until `count` completions are there or CLOCK_MONOTONIC says
// `deadline_ns`. 0 or -errno; -EINVAL: the kernel takes relative timeouts only.
inline int ring_driver::wait_until(std::int64_t deadline_ns, unsigned count) const noexcept {
    const std::int64_t at_ns = std::max<std::int64_t>(deadline_ns, 0);
    __kernel_timespec at{at_ns / 1'000'000'000, at_ns % 1'000'000'000};
    io_uring_getevents_arg argument{};
    argument.ts = reinterpret_cast<std::uint64_t>(&at);
    return enter(
        count,
        IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | enter_abs_timer,
        &argument,
        sizeof(argument)
    );
}

unsigned ring_driver::park(std::int64_t deadline_ns) noexcept {
    base::guard guard(reap_lock_);
    drop_forgotten();
    settle_left();
    has_unsubmitted_.store_relaxed(false);
    metrics::count(&worker_counters::driver_enters);
    io_uring_cqe* cqe = nullptr;
    if (std::exchange(is_woken_, false)) {
        static_cast<void>(io_uring_submit_and_get_events(&ring_));
    } else if (deadline_ns == no_deadline) {
        static_cast<void>(io_uring_submit_and_wait(&ring_, 1));
    } else if (has_abs_timer_ && io_uring_sq_ready(&ring_) == 0) {
        static_cast<void>(wait_until(deadline_ns, 1)); // without a look at the clock: 40 ns
    } else {
        const std::int64_t left = nanoseconds_until(deadline_ns);
        __kernel_timespec timeout{left / 1'000'000'000, left % 1'000'000'000};
        // Errors are ETIME and EINTR: either way the caller looks again.
        static_cast<void>(io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr));
    }
    return reap(true);
}

unsigned ring_driver::poll(bool flush) noexcept {
    base::guard guard(reap_lock_);
    if (flush) {
        drop_forgotten();
        settle_left();
        if (io_uring_sq_ready(&ring_) != 0 || has_kernel_work()) {
            has_unsubmitted_.store_relaxed(false);
            metrics::count(&worker_counters::driver_enters);
            static_cast<void>(io_uring_submit_and_get_events(&ring_));
        }
    }
    return reap(true);
}

void ring_driver::kick() noexcept {
    if (has_unsubmitted_.load_relaxed()) {
        // Not if this thread was interrupted while it fills one: it holds the lock then.
        base::try_guard guard(reap_lock_);
        if (guard) {
            static_cast<void>(io_uring_submit_and_get_events(&ring_));
            has_unsubmitted_.store_relaxed(io_uring_sq_ready(&ring_) != 0);
            return;
        }
    }
    static_cast<void>(enter(0, IORING_ENTER_GETEVENTS, nullptr, 0));
}

unsigned ring_driver::rescue() noexcept {
    base::try_guard guard(reap_lock_);
    return guard ? reap(false) : 0;
}

// What a failed set-up means and what to do about it.
std::string explain(const char* step, int code) {
    std::string text = std::string(step) + ": " + std::strerror(code);
    switch (code) {
    case ENOSYS:
        return text +
            " (kernel without io_uring, or a seccomp filter): allow io_uring_setup, "
            "io_uring_enter and io_uring_register";
    case EPERM:
        return text +
            " (kernel.io_uring_disabled, or a seccomp profile such as Docker's default): "
            "set the sysctl to 0 or allow the io_uring system calls";
    case ENOMEM:
        return text + " (RLIMIT_MEMLOCK is too small for a ring): raise it with ulimit -l";
    case EMFILE:
    case ENFILE:
        return text + " (too few file descriptors): raise the limit with ulimit -n";
    default:
        return text;
    }
}

} // namespace

result<std::unique_ptr<driver>> make_ring(std::uint32_t entries, bool roams) noexcept {
    std::unique_ptr<ring_driver> made(new (std::nothrow) ring_driver());
    if (made == nullptr) {
        return std::unexpected(error(ENOMEM, "io_uring driver"));
    }
    if (const int status = made->open(entries, roams); status < 0) {
        return std::unexpected(error(-status, "io_uring_setup"));
    }
    return made;
}

std::string ring_unusable(std::uint32_t entries) noexcept {
    io_uring ring{};
    if (const int status = set_up(ring, entries, false); status < 0) {
        return explain("io_uring_setup", -status);
    }
    std::string reason;
    io_uring_probe* const probe = io_uring_get_probe_ring(&ring);
    if (probe == nullptr || !io_uring_opcode_supported(probe, IORING_OP_ASYNC_CANCEL)) {
        reason =
            "io_uring_register(PROBE) failed or lacks ASYNC_CANCEL: kernel 6.1 or newer is needed";
    }
    io_uring_free_probe(probe);
    if (reason.empty()) {
        // Some profiles allow the set-up and refuse to enter: one real round trip.
        io_uring_sqe* const sqe = io_uring_get_sqe(&ring);
        io_uring_prep_nop(sqe);
        io_uring_cqe* cqe = nullptr;
        const int submitted = io_uring_submit_and_wait(&ring, 1);
        if (submitted < 0) {
            reason = explain("io_uring_enter", -submitted);
        } else if (io_uring_peek_cqe(&ring, &cqe) != 0 || cqe->res != 0) {
            reason = "io_uring_enter: a NOP did not complete";
        }
    }
    end_ring(ring);
    return reason;
}

} // namespace rt::driver
