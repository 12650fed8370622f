// SPDX-License-Identifier: MIT
//
// The shards' side of what job_shards.h says: each function takes the lock of one shard at a time,
// and nothing else, so that they may be called from anywhere and in any order.
//
// A size is read without the lock to pass by an empty shard, or to count: relaxed, because who may
// not miss a job has fenced before it looks (roster.h). Under the lock the list itself decides.
#include "blocking/job_shards.h"

#include <algorithm>
#include <bit>

namespace rt::offload {

using detail::blocking_job;

job_shards::job_shards(std::uint32_t count)
    : mask_(std::bit_ceil(std::clamp(count, std::uint32_t{1}, shards_max)) - 1)
    , shards_(std::make_unique<shard[]>(mask_ + 1)) {
}

bool job_shards::push(blocking_job& job, std::uint32_t submitter, ticket& where) noexcept {
    where.shard = submitter & mask_;
    shard& mine = shards_[where.shard];
    const base::guard hold(mine.lock);
    if (mine.is_closed) {
        return false;
    }
    where.number = mine.queue.push(job, where.shard + 1);
    return true;
}

blocking_job* job_shards::pop(std::uint32_t& cursor, std::uint64_t now_ns) noexcept {
    for (std::uint32_t i = 0; i <= mask_; ++i) {
        shard& one = shards_[(cursor + i) & mask_];
        if (one.queue.size() == 0) {
            continue;
        }
        const base::guard hold(one.lock);
        if (blocking_job* const job = one.queue.pop()) {
            // A submitter that was held up may have a clock reading from before its push.
            one.latency.record(now_ns > job->queued_ns ? now_ns - job->queued_ns : 0);
            cursor += i + 1;
            return job;
        }
    }
    return nullptr;
}

bool job_shards::withdraw(blocking_job& job) noexcept {
    // relaxed: a hint, looked at again under the lock.
    const std::uint32_t home = job.home.load_relaxed();
    if (home == 0) {
        return false;
    }
    shard& its = shards_[home - 1];
    const base::guard hold(its.lock);
    if (job.home.load_relaxed() != home) {
        return false;
    }
    its.queue.remove(job);
    return true;
}

bool job_shards::take(const ticket& which) noexcept {
    shard& its = shards_[which.shard];
    const base::guard hold(its.lock);
    return its.queue.take(which.number);
}

void job_shards::close() noexcept {
    for (std::uint32_t i = 0; i <= mask_; ++i) {
        const base::guard hold(shards_[i].lock);
        shards_[i].is_closed = true;
    }
}

std::size_t job_shards::size() const noexcept {
    std::size_t sum = 0;
    for (std::uint32_t i = 0; i <= mask_; ++i) {
        sum += shards_[i].queue.size();
    }
    return sum;
}

bool job_shards::has_more_than(std::uint32_t count, std::uint32_t shard) const noexcept {
    std::size_t seen = 0;
    for (std::uint32_t i = 0; i <= mask_ && seen <= count; ++i) {
        seen += shards_[(shard + i) & mask_].queue.size();
    }
    return seen > count;
}

metrics::histogram_data job_shards::read_latency() const noexcept {
    metrics::histogram_data sum;
    for (std::uint32_t i = 0; i <= mask_; ++i) {
        shards_[i].latency.read_into(sum);
    }
    return sum;
}

} // namespace rt::offload
