// SPDX-License-Identifier: MIT
//
// The explorer's set of states it has been in: 64-bit hashes, eight bytes each at half load.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rt::model {

class visited_set {
public:
    // False: it is in the set already.
    bool insert(std::uint64_t hash) {
        hash = hash == 0 ? 1 : hash; // zero marks an empty place
        if (2 * (count_ + 1) > places_.size()) {
            grow();
        }
        std::uint64_t& place = find(hash);
        if (place == hash) {
            return false;
        }
        place = hash;
        ++count_;
        return true;
    }

    [[nodiscard]] std::size_t size() const { return count_; }

    void clear() {
        places_ = {};
        count_ = 0;
    }

private:
    // The place of the hash, or the empty one where it belongs.
    std::uint64_t& find(std::uint64_t hash) {
        std::size_t at = hash & (places_.size() - 1);
        while (places_[at] != 0 && places_[at] != hash) {
            at = (at + 1) & (places_.size() - 1);
        }
        return places_[at];
    }

    void grow() {
        std::vector<std::uint64_t> old(places_.empty() ? 1024 : 2 * places_.size());
        old.swap(places_);
        for (const std::uint64_t hash : old) {
            if (hash != 0) {
                find(hash) = hash;
            }
        }
    }

    std::vector<std::uint64_t> places_;
    std::size_t count_ = 0;
};

} // namespace rt::model
