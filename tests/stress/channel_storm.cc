// SPDX-License-Identifier: MIT
//
// The storms of the channels (see storm.h): oneshot, mpsc with and without a bound, broadcast and
// watch.
//
// Senders and receivers leave at random, by themselves or aborted, while they send, while they wait
// and while they are handed something. What was sent is received, in order and once, or is dropped
// with the channel: the receiver checks the order, a token in each message is the proof that it was
// destroyed, and the ground compares the counts when everybody is gone.
#include "stress/storm.h"

#include <rt/sync/broadcast.h>
#include <rt/sync/mpsc.h>
#include <rt/sync/oneshot.h>
#include <rt/sync/watch.h>

#include <array>
#include <memory>

namespace rt::test {

namespace {

using base::random_source;

constexpr std::uint32_t messages_max = 128; // of one sender
constexpr std::uint32_t parties_max = 4;    // of one channel, as many as race starts

// One message of a numbered stream; some are counted.
struct parcel {
    parcel(totals* all, std::uint32_t its_sender, std::uint64_t its_number)
        : sender(its_sender)
        , number(its_number)
        , owned(its_number % 4 == 0 ? token(all) : token()) {}

    std::uint32_t sender;
    std::uint64_t number;
    token owned;
};

struct mpsc_ground : ground {
    using ground::ground;
    // A send that was cut off may have been too late to stop the message.
    ~mpsc_ground() {
        const std::uint64_t most = sent.load_relaxed() + cut.load_relaxed();
        cr_assert_leq(received.load_relaxed(), most);
        cr_assert(!is_drained || received.load_relaxed() >= sent.load_relaxed());
        all->add_operations(sent.load_relaxed() + received.load_relaxed());
    }

    atomic<std::uint64_t> sent{0};
    atomic<std::uint64_t> cut{0}; // senders that did not come to their end
    atomic<std::uint64_t> received{0};
    bool is_drained = false; // written by the receiver
};

// Counts a sender as cut off unless it is told otherwise.
struct may_be_cut {
    deeds cut;
    explicit may_be_cut(mpsc_ground& at)
        : cut(at.cut) {
        cut.count = 1;
    }
};

task<std::uint64_t> send_bounded(
    std::shared_ptr<mpsc_ground> at,
    mpsc::sender<parcel> to,
    std::uint32_t index,
    std::uint64_t seed
) {
    random_source random(seed);
    may_be_cut self(*at);
    deeds sent(at->sent);
    const std::uint32_t count = random.below(messages_max);
    while (sent.count < count) {
        parcel next(at->all, index, sent.count);
        result<void> got = {};
        const std::uint32_t how = random.below(16);
        if (how == 0) {
            result<mpsc::permit<parcel>> room = co_await to.reserve();
            if (room && random.below(2) == 0) {
                co_await yield();
            }
            if (room) {
                got = room->send(std::move(next));
            } else {
                got = std::unexpected(room.error());
            }
        } else if (how == 1) {
            got = to.try_send(std::move(next));
            if (!got && !to.is_closed()) {
                co_await yield();
                continue;
            }
        } else {
            got = co_await to.send(std::move(next));
        }
        if (!got) {
            break; // the receiver has left
        }
        ++sent.count;
    }
    self.cut.count = 0;
    co_return seed;
}

task<std::uint64_t> send_unbounded(
    std::shared_ptr<mpsc_ground> at,
    mpsc::unbounded_sender<parcel> to,
    std::uint32_t index,
    std::uint64_t seed
) {
    random_source random(seed);
    deeds sent(at->sent);
    for (std::uint32_t left = random.below(messages_max); left != 0; --left) {
        if (!to.send(parcel(at->all, index, sent.count))) {
            break;
        }
        ++sent.count;
        if (random.below(at->pause) == 0) {
            co_await yield();
        }
    }
    co_return seed;
}

task<std::uint64_t>
receive_parcels(std::shared_ptr<mpsc_ground> at, mpsc::receiver<parcel> from, std::uint64_t seed) {
    random_source random(seed);
    deeds received(at->received);
    std::array<std::uint64_t, parties_max> next{};
    const bool may_leave = random.below(4) == 0;
    while (result<parcel> got = co_await from.recv()) {
        require(got->number == next[got->sender]++, "parcels arrive in order");
        ++received.count;
        if (may_leave && random.below(32) == 0) {
            co_return seed;
        }
    }
    at->is_drained = true;
    co_return seed;
}

// Starts the receiver as the first and senders as the others.
template<typename Ends, typename Send>
task<void> mpsc_race(actor* self, Ends channel, Send send) {
    auto at = std::make_shared<mpsc_ground>(self);
    co_await race(
        self,
        [at = std::move(at),
         channel = std::move(channel),
         send](std::uint32_t index, std::uint64_t seed) mutable {
            return index == 0 ? spawn(receive_parcels, at, std::move(channel.rx), seed)
                              : spawn(send, at, channel.tx, index, seed);
        }
    );
}

// The value is right, or was not sent; the sender's token is gone in any case.
task<std::uint64_t>
answer(totals* all, oneshot::sender<parcel> to, std::uint64_t seed, std::uint32_t yields) {
    for (; yields != 0; --yields) {
        co_await yield();
    }
    if (seed % 8 != 0) {
        static_cast<void>(to.send(parcel(all, 0, seed)));
    }
    co_return seed;
}

struct broadcast_ground : ground {
    using ground::ground;
    ~broadcast_ground() {
        cr_assert_eq(seen.load_relaxed(), sent.load_relaxed() * finished.load_relaxed());
        all->add_operations(sent.load_relaxed());
    }

    atomic<std::uint64_t> sent{0};
    atomic<std::uint64_t> seen{0}; // by those that have finished, what they have lost included
    atomic<std::uint64_t> finished{0};
};

task<std::uint64_t> send_to_all(
    std::shared_ptr<broadcast_ground> at, broadcast::sender<std::uint64_t> to, std::uint64_t seed
) {
    random_source random(seed);
    deeds sent(at->sent);
    for (std::uint32_t left = random.below(messages_max); left != 0; --left) {
        if (!to.send(sent.count)) {
            break;
        }
        ++sent.count;
        if (random.below(at->pause) == 0) {
            co_await yield();
        }
    }
    co_return seed;
}

task<std::uint64_t> receive_all(
    std::shared_ptr<broadcast_ground> at,
    broadcast::receiver<std::uint64_t> from,
    std::uint64_t seed
) {
    random_source random(seed);
    deeds received(at->done);
    std::uint64_t next = 0;
    for (;;) {
        broadcast::received<std::uint64_t> got = co_await from.recv();
        if (got) {
            require(*got == next++, "values arrive in order");
            ++received.count;
        } else if (got.error().is_lagged()) {
            next += got.error().lost();
        } else {
            break;
        }
        if (random.below(at->pause) == 0) {
            co_await yield();
        }
    }
    at->seen.add_relaxed(next);
    at->finished.add_relaxed(1);
    co_return seed;
}

struct watch_ground : ground {
    using ground::ground;
    ~watch_ground() {
        cr_assert_eq(seen.load_relaxed(), sent.load_relaxed() * finished.load_relaxed());
        all->add_operations(sent.load_relaxed());
    }

    atomic<std::uint64_t> sent{0};
    atomic<std::uint64_t> seen{0}; // last, by those that have finished
    atomic<std::uint64_t> finished{0};
};

task<std::uint64_t>
change(std::shared_ptr<watch_ground> at, watch::sender<std::uint64_t> to, std::uint64_t seed) {
    random_source random(seed);
    deeds sent(at->sent);
    for (std::uint32_t left = random.below(messages_max); left != 0; --left) {
        if (!to.send(sent.count + 1)) {
            break;
        }
        ++sent.count;
        if (random.below(8) == 0) {
            co_await yield();
        }
    }
    co_return seed;
}

task<std::uint64_t>
look(std::shared_ptr<watch_ground> at, watch::receiver<std::uint64_t> from, std::uint64_t seed) {
    random_source random(seed);
    deeds looks(at->done);
    std::uint64_t last = 0;
    while (co_await from.changed()) {
        const watch::ref<std::uint64_t> now = from.borrow_and_update();
        require(last <= *now, "values never go back");
        last = *now;
        ++looks.count;
        if (random.below(at->pause) == 0) {
            co_await yield();
        }
    }
    require(last <= *from.borrow(), "values never go back");
    at->seen.add_relaxed(*from.borrow());
    at->finished.add_relaxed(1);
    co_return seed;
}

} // namespace

task<void> mpsc_storm(actor* self) {
    co_await mpsc_race(self, mpsc::channel<parcel>(1U << self->random.below(9)), &send_bounded);
}

task<void> unbounded_storm(actor* self) {
    co_await mpsc_race(self, mpsc::unbounded_channel<parcel>(), &send_unbounded);
}

task<void> oneshot_storm(actor* self) {
    for (std::uint32_t left = 1 + self->random.below(4); left != 0; --left) {
        auto [to, from] = oneshot::channel<parcel>();
        const std::uint64_t seed = self->random.next();
        auto child = spawn(answer, self->all, std::move(to), seed, self->random.below(3));
        self->count(2); // the spawn, and the sending or closing
        const std::uint32_t dice = self->random.below(8);
        if (dice == 0) {
            co_await yield();
            from = {};
        } else if (dice == 1) {
            self->count();
            child.abort();
        } else if (dice == 2) {
            from.close();
        }
        if (const result<parcel> got = co_await from; got) {
            self->count();
            require(got->number == seed && seed % 8 != 0, "the value is the one that was sent");
        } else {
            require(dice < 3 || seed % 8 == 0 || self->all->is_cut_off, "the value arrives");
        }
    }
}

task<void> broadcast_storm(actor* self) {
    auto at = std::make_shared<broadcast_ground>(self);
    auto ends = broadcast::channel<std::uint64_t>(1U << self->random.below(7));
    std::array<broadcast::receiver<std::uint64_t>, parties_max> receivers;
    for (std::uint32_t i = 1; i < parties_max; ++i) {
        receivers.at(i) = ends.tx.subscribe(); // before anything is sent
    }
    co_await race(
        self,
        [at = std::move(at),
         to = std::move(ends.tx),
         receivers = std::move(receivers)](std::uint32_t index, std::uint64_t seed) mutable {
            return index == 0 ? spawn(send_to_all, at, std::move(to), seed)
                              : spawn(receive_all, at, std::move(receivers.at(index)), seed);
        }
    );
}

task<void> watch_storm(actor* self) {
    auto at = std::make_shared<watch_ground>(self);
    co_await race(
        self,
        [at = std::move(at),
         ends =
             watch::channel<std::uint64_t>(0U)](std::uint32_t index, std::uint64_t seed) mutable {
            return index == 0 ? spawn(change, at, std::move(ends.tx), seed)
                              : spawn(look, at, ends.rx, seed);
        }
    );
}

} // namespace rt::test
