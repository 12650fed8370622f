// SPDX-License-Identifier: MIT
//
// The storms of join_set, select, join and scope (see storm.h): groups of tasks that end together,
// one by one, or with their owner, who may be aborted at any moment. Nothing that belongs to a
// select, a join or a scope may outlive it: their parts use what the owner's frame has.
#include "stress/storm.h"

#include <rt/join_set.h>
#include <rt/scope.h>
#include <rt/select.h>
#include <rt/sync/oneshot.h>

#include <tuple>
#include <variant>

namespace rt::test {

namespace {

// A small task: yields up to three times, as its seed says.
task<std::uint64_t> leaf(token /*owned*/, std::uint64_t seed) {
    for (std::uint64_t left = seed % 4; left != 0; --left) {
        co_await yield();
    }
    co_return seed;
}

// Never ends by itself.
task<std::uint64_t> wait_for_ever(token /*owned*/) {
    auto [to, from] = oneshot::channel<std::uint64_t>();
    static_cast<void>(co_await from);
    co_return 0;
}

// Joins what is left, sees each member once, and counts what each has done.
task<std::uint64_t> join_members(actor* self, join_set<std::uint64_t>* members, bool has_aborted) {
    std::uint64_t sum = 0;
    while (join_handle<std::uint64_t> ended = co_await members->join_next()) {
        require(ended.is_finished(), "a member that was joined has ended");
        self->count();
        if (!has_aborted) {
            const std::uint64_t seed = ended.take();
            self->count(seed % 4);
            sum += seed;
        }
    }
    cr_assert(members->is_empty());
    co_return sum;
}

// The children of a scope write to what its body owns, until one throws.
task<std::uint64_t>
add_to(atomic<std::uint64_t>* sum, token owned, std::uint64_t seed, bool shall_throw) {
    const std::uint64_t got = co_await leaf(std::move(owned), seed);
    if (shall_throw) {
        throw planned();
    }
    sum->add_relaxed(got);
    co_return got;
}

task<void> spawn_children(
    scope* children,
    actor* self,
    atomic<std::uint64_t>* sum,
    std::uint64_t* wanted,
    bool shall_throw
) {
    const std::uint32_t size = 1 + self->random.below(4);
    for (std::uint32_t i = 0; i < size; ++i) {
        const std::uint64_t seed = self->random.next();
        *wanted += seed;
        children->spawn(add_to(sum, token(self->all), seed, shall_throw && i == 0));
        if (self->one_in(4)) {
            co_await yield();
        }
    }
    self->count(2 * size);
}

} // namespace

task<void> join_set_storm(actor* self) {
    join_set<std::uint64_t> members;
    const std::uint32_t size = 1 + self->random.below(16);
    std::uint64_t sum = 0;
    abort_handle some;
    for (std::uint32_t i = 0; i < size; ++i) {
        const std::uint64_t seed = self->random.next();
        sum += seed;
        abort_handle one = members.spawn(leaf, token(self->all), seed);
        if (self->one_in(size)) {
            some = std::move(one);
        }
    }
    self->count(size);
    if (self->one_in(2)) {
        self->count();
        co_await yield();
    }
    const std::uint32_t dice = self->random.below(8);
    if (dice == 0) {
        self->count(size);
        members.abort_all();
    } else if (dice == 1) {
        self->count(size);
        co_await members.shut_down();
    } else if (dice == 2) {
        members.detach_all();
        co_return;
    } else if (dice == 3) {
        co_return; // drops the set, which aborts its members
    } else if (dice == 4 && some.id() != 0) {
        self->count();
        some.abort();
    }
    const bool has_aborted = dice < 5;
    const std::uint64_t got = co_await join_members(self, &members, has_aborted);
    cr_assert(has_aborted || got == sum || self->all->is_cut_off);
}

task<void> select_storm(actor* self) {
    for (std::uint32_t left = 1 + self->random.below(4); left != 0; --left) {
        const std::uint64_t seed = self->random.next();
        self->count(3); // the select or join, and its parts
        if (self->one_in(2)) {
            const auto first =
                co_await select(leaf(token(self->all), seed), wait_for_ever(token(self->all)));
            cr_assert_eq(first.index(), 0);
            cr_assert_eq(std::get<0>(first), seed);
        } else {
            const auto [one, other] =
                co_await join(leaf(token(self->all), seed), leaf(token(self->all), ~seed));
            cr_assert_eq(one, ~other);
        }
    }
}

task<void> scope_storm(actor* self) {
    atomic<std::uint64_t> sum{0};
    std::uint64_t wanted = 0;
    const bool shall_throw = self->one_in(32);
    bool has_thrown = false;
    try {
        co_await scope::run(
            [](scope& children, actor* its, atomic<std::uint64_t>* to, std::uint64_t* all, bool bad
            ) { return spawn_children(&children, its, to, all, bad); },
            self,
            &sum,
            &wanted,
            shall_throw
        );
    } catch (const planned&) {
        ++self->thrown;
        has_thrown = true;
    }
    if (!self->all->is_cut_off) {
        cr_assert_eq(has_thrown, shall_throw);
        cr_assert(shall_throw || sum.load_relaxed() == wanted);
    }
}

} // namespace rt::test
