// SPDX-License-Identifier: MIT
//
// The storms of mutex, semaphore, rwlock and notify (see storm.h): tasks enter, stay for a turn or
// not, and are aborted while they wait, while they are let in and while they are inside.
//
// What is guarded is plain memory, so that ThreadSanitizer sees two that are inside at once, and a
// section that was finished is counted beside it: at the end both counts are the same.
#include "stress/storm.h"

#include <rt/sync/mutex.h>
#include <rt/sync/notify.h>
#include <rt/sync/rwlock.h>
#include <rt/sync/semaphore.h>

#include <memory>

namespace rt::test {

namespace {

using base::random_source;

constexpr std::uint32_t sections_max = 64; // of one task

struct mutex_ground : ground {
    using ground::ground;
    ~mutex_ground() {
        cr_assert_not(lock.is_locked());
        cr_assert_eq(guarded, done.load_relaxed());
    }

    mutex lock;
    std::uint64_t guarded = 0;
};

task<std::uint64_t> enter_mutex(std::shared_ptr<mutex_ground> at, std::uint64_t seed) {
    random_source random(seed);
    deeds sections(at->done);
    for (std::uint32_t left = 1 + random.below(sections_max); left != 0; --left) {
        mutex::guard inside;
        if (random.below(8) == 0) {
            inside = at->lock.try_lock();
            if (!inside) {
                continue;
            }
        } else {
            inside = co_await at->lock.lock();
        }
        const std::uint64_t before = at->guarded;
        if (random.below(at->pause) == 0) {
            co_await yield(); // an abort here leaves the section undone
        }
        at->guarded = before + 1;
        ++sections.count;
    }
    co_return seed;
}

struct semaphore_ground : ground {
    semaphore_ground(actor* maker, std::uint32_t count)
        : ground(maker)
        , permits(count)
        , slots(count) {}
    ~semaphore_ground() {
        cr_assert_eq(used.load_relaxed(), 0);
        cr_assert_eq(slots.available(), permits);
    }

    const std::uint32_t permits;
    semaphore slots;
    atomic<std::uint32_t> used{0};
};

// What is held of a semaphore, counted: given back before the permit is.
class occupation {
public:
    occupation(semaphore_ground& at, std::uint32_t count)
        : at_(at)
        , count_(count) {
        require(at_.used.add_relaxed(count) + count <= at_.permits, "permits are held once");
    }
    occupation(const occupation&) = delete;
    occupation& operator=(const occupation&) = delete;
    ~occupation() { at_.used.sub_relaxed(count_); }

private:
    semaphore_ground& at_;
    const std::uint32_t count_;
};

task<std::uint64_t> enter_semaphore(std::shared_ptr<semaphore_ground> at, std::uint64_t seed) {
    random_source random(seed);
    deeds sections(at->done);
    for (std::uint32_t left = 1 + random.below(sections_max); left != 0; --left) {
        const std::uint32_t count = 1 + random.below(at->permits);
        semaphore::permit held;
        if (random.below(8) == 0) {
            held = at->slots.try_acquire(count);
            if (!held) {
                continue;
            }
        } else {
            held = co_await at->slots.acquire(count);
        }
        const occupation counted(*at, count);
        if (random.below(at->pause) == 0) {
            co_await yield();
        }
        ++sections.count;
    }
    co_return seed;
}

struct rwlock_ground : ground {
    using ground::ground;
    ~rwlock_ground() {
        cr_assert_eq(first, second);
        cr_assert_eq(first, written.load_relaxed());
        cr_assert(lock.try_write());
    }

    rwlock lock;
    std::uint64_t first = 0; // the two are changed together
    std::uint64_t second = 0;
    atomic<std::uint64_t> written{0};
};

task<std::uint64_t> enter_rwlock(std::shared_ptr<rwlock_ground> at, std::uint64_t seed) {
    random_source random(seed);
    deeds sections(at->done);
    deeds writes(at->written);
    for (std::uint32_t left = 1 + random.below(sections_max); left != 0; --left) {
        rwlock::read_guard reading;
        if (random.below(3) == 0) {
            rwlock::write_guard writing = co_await at->lock.write();
            if (random.below(at->pause) == 0) {
                co_await yield();
            }
            ++at->first;
            ++at->second;
            ++writes.count;
            ++sections.count;
            if (random.below(2) == 0) {
                continue;
            }
            reading = std::move(writing).downgrade();
        } else {
            reading = co_await at->lock.read();
        }
        const std::uint64_t seen = at->first;
        if (random.below(at->pause) == 0) {
            co_await yield();
        }
        require(at->second == seen, "no writer is inside");
        ++sections.count;
    }
    co_return seed;
}

struct notify_ground : ground {
    using ground::ground;
    ~notify_ground() {
        cr_assert_eq(posted.load_relaxed(), taken.load_relaxed() + tickets.load_relaxed());
    }

    void post() {
        posted.add_relaxed(1);
        tickets.add_release(1); // release: pairs with take
        news.notify_one();
    }
    bool take() {
        std::uint64_t left = tickets.load_acquire(); // acquire: pairs with post
        while (left != 0) {
            if (tickets.cas_weak_acq_rel(left, left - 1)) {
                return true;
            }
        }
        return false;
    }
    void close() {
        is_closed.store_release(true); // release: pairs with consume
        news.notify_waiters();
    }

    notify news;
    atomic<std::uint64_t> tickets{0};
    atomic<std::uint64_t> posted{0};
    atomic<std::uint64_t> taken{0};
    std::uint64_t quota = 0; // whoever takes the last of so many closes; 0: the one that posts does
    atomic<bool> is_closed{false};
};

task<std::uint64_t> consume(std::shared_ptr<notify_ground> at, std::uint64_t seed) {
    random_source random(seed);
    deeds wakes(at->done);
    for (;;) {
        auto waiting = at->news.notified();
        if (at->take()) {
            ++wakes.count;
            if (at->taken.add_relaxed(1) + 1 == at->quota) {
                at->close();
            }
            if (random.below(at->pause) == 0) {
                co_await yield();
            }
            continue;
        }
        if (at->is_closed.load_acquire()) { // acquire: pairs with close
            co_return seed;
        }
        co_await waiting;
    }
}

// Lets the consumers go when the one that posts is cut off, be it before its first turn, or when
// nobody else will.
class closer {
public:
    explicit closer(std::shared_ptr<notify_ground> of)
        : at(std::move(of)) {}
    closer(closer&& other) noexcept
        : at(std::move(other.at))
        , is_cut(other.is_cut) {}
    closer& operator=(closer&&) = delete;
    ~closer() {
        if (at != nullptr && (is_cut || at->quota == 0)) {
            at->close();
        }
    }

    std::shared_ptr<notify_ground> at;
    bool is_cut = true;
};

task<std::uint64_t> post(closer to, std::uint64_t seed, std::uint32_t left) {
    random_source random(seed);
    deeds posts(to.at->done);
    for (; left != 0; --left) {
        to.at->post();
        ++posts.count;
        if (random.below(to.at->pause) < 4) {
            co_await yield();
        }
    }
    to.is_cut = false;
    co_return seed;
}

} // namespace

task<void> mutex_storm(actor* self) {
    auto at = std::make_shared<mutex_ground>(self);
    co_await race(self, [at = std::move(at)](std::uint32_t /*index*/, std::uint64_t seed) {
        return spawn(enter_mutex, at, seed);
    });
}

task<void> semaphore_storm(actor* self) {
    auto at = std::make_shared<semaphore_ground>(self, 1 + self->random.below(4));
    co_await race(self, [at = std::move(at)](std::uint32_t /*index*/, std::uint64_t seed) {
        return spawn(enter_semaphore, at, seed);
    });
}

task<void> rwlock_storm(actor* self) {
    auto at = std::make_shared<rwlock_ground>(self);
    co_await race(self, [at = std::move(at)](std::uint32_t /*index*/, std::uint64_t seed) {
        return spawn(enter_rwlock, at, seed);
    });
}

// In calm weather nobody is aborted, and every ticket must be taken without a last call to all.
task<void> notify_storm(actor* self) {
    const bool is_calm = self->one_in(2);
    const std::uint32_t posts = 1 + self->random.below(128);
    auto at = std::make_shared<notify_ground>(self);
    at->quota = is_calm ? posts : 0;
    auto start = [at = std::move(at), posts](std::uint32_t index, std::uint64_t seed) {
        return index == 0 ? spawn(post, closer(at), seed, posts) : spawn(consume, at, seed);
    };
    co_await race(self, std::move(start), is_calm);
}

} // namespace rt::test
