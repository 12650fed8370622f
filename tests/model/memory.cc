// SPDX-License-Identifier: MIT
//
// The explorer's memory: what an operation does, which stores a load may return, what fences add.
//
// A view says, per location, the oldest store that may still be read. Each fiber has one, and so
// has each store that releases: who acquires it joins the two. A seq_cst fence joins the fiber's
// view with one that all such fences share. Other seq_cst operations order nothing beyond acquire
// and release, but that a seq_cst load returns no store older than the newest seq_cst one: a little
// less than C++ promises.
#include "model/explore.h"
#include "model/fiber.h"

#include <algorithm>
#include <cstring>

namespace rt::model {

namespace {

std::uint64_t word_at(const void* address, std::size_t size) {
    std::uint64_t value = 0;
    std::memcpy(&value, address, size);
    return value;
}

bool acquires(order with) {
    return with == order::acquire || with == order::acq_rel || with == order::seq_cst;
}
bool releases(order with) {
    return with == order::release || with == order::acq_rel || with == order::seq_cst;
}

} // namespace

void machine::view::join(const view& other) {
    for (unsigned i = 0; i < locations_max; ++i) {
        at[i] = std::max(at[i], other.at[i]);
    }
}

void machine::peek(const void* address) {
    if (!is_peeking_) {
        return;
    }
    for (unsigned i = 0; i < location_count_; ++i) {
        location& at = locations_[i];
        if (at.address == address) {
            read(at, at.stores.back(), false);
            remember(mix(5, at.last_tag));
        }
    }
}

void machine::end_life(const void* memory, std::size_t bytes) {
    if (is_running()) {
        const auto first = reinterpret_cast<std::uintptr_t>(memory);
        freed_.push_back({first, first + bytes});
    }
}

bool machine::is_freed(const void* address) const {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    return std::any_of(freed_.begin(), freed_.end(), [at](const range& each) {
        return at >= each.first && at < each.end;
    });
}

machine::location& machine::find(void* address, std::size_t size) {
    if (is_freed(address)) {
        fail("an atomic was used after its memory was freed");
    }
    for (unsigned i = 0; i < location_count_; ++i) {
        if (locations_[i].address == address) {
            return locations_[i];
        }
    }
    if (location_count_ == locations_max) {
        fail("too many atomics for the explorer");
    }
    location& made = locations_[location_count_];
    made.address = address;
    made.chain = made.last_tag = 0;
    made.index = location_count_++;
    made.newest_seq_cst = 0;
    if (options_.is_weak) {
        made.stores.push_back({word_at(address, size), 0, {}});
    }
    return made;
}

// What was there before is a store that only a reader without order can still get.
void machine::begin_life(void* address, std::size_t size, std::uint64_t value) {
    if (!options_.is_weak) {
        return;
    }
    constexpr std::uint64_t garbage = 0xdddddddddddddddd;
    for (unsigned i = 0; i < location_count_; ++i) {
        if (locations_[i].address == address) {
            append(locations_[i], value, order::relaxed, nullptr);
            return;
        }
    }
    location& at = find(address, size);
    at.stores.back().value = garbage & (~std::uint64_t{0} >> (64 - 8 * size));
    append(at, value, order::relaxed, nullptr);
}

void machine::append(location& at, std::uint64_t value, order with, const view* carried) {
    ++store_count_;
    fiber& self = *fibers_[current()];
    ++self.stores;
    const std::uint64_t tag = mix(current() + 1, self.operations);
    at.last_tag = tag;
    at.chain = mix(at.chain, tag);
    if (!options_.is_weak) {
        return;
    }
    if (at.stores.size() == stores_max) {
        fail("too many stores for the explorer");
    }
    self.seen.at[at.index] = static_cast<std::uint8_t>(at.stores.size());
    message made{value, tag, self.released};
    if (with == order::seq_cst) {
        at.newest_seq_cst = static_cast<unsigned>(at.stores.size());
    }
    if (releases(with) && options_.broken != fault::no_release) {
        made.released.join(self.seen);
    }
    if (carried != nullptr) {
        made.released.join(*carried); // a release sequence goes on through read-modify-writes
    }
    made.released.at[at.index] = self.seen.at[at.index];
    at.stores.push_back(made);
}

void machine::read(location& at, const message& from, bool is_acquire) {
    fiber& self = *fibers_[current()];
    const auto index = static_cast<std::uint8_t>(&from - at.stores.data());
    self.seen.at[at.index] = std::max(self.seen.at[at.index], index);
    self.pending.join(from.released);
    if (is_acquire && options_.broken != fault::no_acquire) {
        self.seen.join(from.released);
    }
}

std::uint64_t machine::load(void* address, std::size_t size, order with) {
    point();
    location& at = find(address, size);
    fiber& self = *fibers_[current()];
    ++self.operations;
    std::uint64_t value = word_at(address, size);
    std::uint64_t tag = at.last_tag;
    if (options_.is_weak) {
        const auto newest = static_cast<unsigned>(at.stores.size() - 1);
        unsigned oldest = self.seen.at[at.index];
        if (with == order::seq_cst && options_.broken != fault::no_seq_cst) {
            oldest = std::max(oldest, at.newest_seq_cst);
        }
        const unsigned back = decide(newest - oldest + 1, 2000 + current());
        const message& from = at.stores[newest - back];
        value = from.value;
        tag = from.tag;
        read(at, from, acquires(with));
    }
    remember(mix(mix(1, reinterpret_cast<std::uintptr_t>(address)), tag));
    write_trace("load", address, value);
    return value;
}

void machine::store(void* address, std::size_t size, std::uint64_t value, order with) {
    point();
    location& at = find(address, size);
    ++fibers_[current()]->operations;
    remember(mix(2, reinterpret_cast<std::uintptr_t>(address)));
    append(at, value, with, nullptr);
    std::memcpy(address, &value, size);
    write_trace("store", address, value);
}

std::uint64_t machine::modify(
    void* address, std::size_t size, change_function change, void* context, order with
) {
    point();
    location& at = find(address, size);
    fiber& self = *fibers_[current()];
    ++self.operations;
    const std::uint64_t old = word_at(address, size);
    remember(mix(mix(3, reinterpret_cast<std::uintptr_t>(address)), at.last_tag));
    view carried;
    if (options_.is_weak) {
        carried = at.stores.back().released;
        read(at, at.stores.back(), acquires(with));
    }
    bool is_kept = false;
    const std::uint64_t value = change(old, context, &is_kept);
    write_trace(is_kept ? "compare, fail" : "modify", address, is_kept ? old : value);
    if (!is_kept) {
        if (options_.broken == fault::torn_rmw) {
            point();
            ++self.operations;
        }
        append(at, value, with, options_.is_weak ? &carried : nullptr);
        std::memcpy(address, &value, size);
    }
    return old;
}

void machine::fence(order with) {
    point();
    fiber& self = *fibers_[current()];
    ++self.operations;
    remember(mix(4, static_cast<std::uint64_t>(with)));
    write_trace("fence", nullptr, 0);
    if (!options_.is_weak || options_.broken == fault::no_fences) {
        return;
    }
    if (acquires(with)) {
        self.seen.join(self.pending);
    }
    if (with == order::seq_cst && options_.broken != fault::no_seq_cst) {
        sc_chain_ = mix(sc_chain_, mix(current() + 1, self.operations));
        self.seen.join(sc_view_);
        sc_view_.join(self.seen);
    }
    if (releases(with)) {
        self.released.join(self.seen);
    }
}

} // namespace rt::model
