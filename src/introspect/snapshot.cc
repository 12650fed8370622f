// SPDX-License-Identifier: MIT
//
// The walk over task headers, batch by batch.
//
// The order of reads in a batch is what makes its answer true: who runs, headers, stacks, headers
// again, who runs. A task that is running all the while has the same header in both copies, and is
// found by one of the two lists; a task that starts or ends a turn in between changes `polls`, its
// state word or its leaf. Labels are read between the two copies of the headers, too.
#include "introspect/snapshot.h"

#include "base/clock.h"
#include "introspect/label_reader.h"
#include "introspect/safe_read.h"
#include "memory/frame_pool.h"

#include <rt/detail/label.h>
#include <rt/detail/wait_queue.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace rt::introspect {
namespace {

using detail::task_header;

constexpr std::size_t batch_tasks = 256; // 32 KiB of copied headers, and few system calls
constexpr unsigned attempts_max = 3;     // looks at a task that moves
constexpr std::size_t name_bytes_max = detail::label_bytes; // as many of a name

struct alignas(64) header_copy {
    std::byte bytes[sizeof(task_header)];

    [[nodiscard]] const task_header& get() const noexcept {
        return *reinterpret_cast<const task_header*>(bytes);
    }
};

// Copies the headers at `addresses`; neighbours with one piece. `ok[i]` says whether it came.
void copy_headers(
    const std::vector<std::uintptr_t>& addresses,
    std::vector<header_copy>& copies,
    std::vector<read_piece>& pieces
) {
    copies.resize(addresses.size());
    pieces.clear();
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        if (!pieces.empty() && pieces.back().address + pieces.back().size == addresses[i]) {
            pieces.back().size += sizeof(header_copy);
        } else {
            pieces.push_back({addresses[i], &copies[i], sizeof(header_copy), false});
        }
    }
    read_pieces(pieces);
    for (const read_piece& piece : pieces) {
        if (!piece.ok) {
            std::memset(piece.target, 0, piece.size); // id 0: not a task
        }
    }
}

bool is_alive(const task_header& task) noexcept {
    return task.id.load_relaxed() != 0 && (task.state.load_relaxed() & detail::state_complete) == 0;
}

constexpr std::uint64_t state_bits_that_matter =
    detail::state_waiting | detail::state_claimed | detail::state_woken | detail::state_complete;

bool stood_still(const task_header& before, const task_header& after) noexcept {
    const std::uint64_t changed = before.state.load_relaxed() ^ after.state.load_relaxed();
    return before.id.load_relaxed() == after.id.load_relaxed() && before.polls == after.polls &&
        before.resume == after.resume && before.leaf == after.leaf &&
        before.waits_for == after.waits_for && before.live.wait_object == after.live.wait_object &&
        (changed & state_bits_that_matter) == 0;
}

class walker {
public:
    walker(
        const std::vector<runtime_facts>& runtimes,
        std::uint64_t deadline_ns,
        const std::function<void(const task_facts&)>& visit
    )
        : runtimes_(runtimes)
        , deadline_ns_(deadline_ns)
        , visit_(visit) {
        addresses_.reserve(batch_tasks);
    }

    void add(std::uintptr_t header) {
        if (is_late_) {
            result_.is_cut = true;
            return;
        }
        addresses_.push_back(header);
        if (addresses_.size() == batch_tasks) {
            finish_batch();
        }
    }

    void finish_batch() {
        for (unsigned attempt = 1; !addresses_.empty(); ++attempt) {
            look(attempt == attempts_max);
            std::swap(addresses_, moved_);
            moved_.clear();
        }
        is_late_ = base::monotonic_ns() > deadline_ns_;
    }

    walk_result& result() noexcept { return result_; }

private:
    // Reads the tasks at addresses_; those that moved go to moved_, or are reported as they are
    // when this is the last attempt.
    void look(bool is_last) {
        observed().read_current(runtimes_, before_);
        copy_headers(addresses_, first_, pieces_);
        select();
        read_stacks(requests_);
        read_awaited();
        labels_.read(parents_);
        copy_headers(selected_, second_, pieces_);
        observed().read_current(runtimes_, after_);
        for (std::size_t i = 0; i < facts_.size(); ++i) {
            finish(i, is_last);
        }
    }

    // Makes facts_ and requests_ of the live tasks among first_.
    void select() {
        facts_.clear();
        selected_.clear();
        kept_.clear();
        parents_.clear();
        for (std::size_t i = 0; i < addresses_.size(); ++i) {
            const task_header& task = first_[i].get();
            const std::uint32_t runtime = runtime_of(task);
            if (!is_alive(task) || runtime == runtimes_.size()) {
                continue;
            }
            facts_.push_back(facts_of(task, runtime));
            facts_.back().bound_to = runtimes_[runtime]
                                         .addresses.worker_of(address_of(task.scheduler))
                                         .value_or(no_worker);
            kept_.push_back(first_[i]);
            parents_.push_back(task.parent.load_relaxed());
            selected_.push_back(addresses_[i]);
        }
        requests_.clear();
        for (std::size_t i = 0; i < facts_.size(); ++i) {
            const task_header& task = kept_[i].get();
            stack_request request;
            request.stack = &facts_[i].stack;
            if (find_current(before_, selected_[i], facts_[i].id) != nullptr) {
                // Its frames are changing; only the root is certain to be there.
                request.address = reinterpret_cast<std::uintptr_t>(task.live.frame);
                request.depth_max = 1;
            } else {
                request.address = reinterpret_cast<std::uintptr_t>(task.resume);
            }
            requests_.push_back(request);
        }
    }

    // Asks each lock that is waited for who holds it, and each task that is joined for its id. What
    // of this is read from memory that is no lock any more is dropped later, since the waiting task
    // has moved then.
    void read_awaited() {
        static_assert(sizeof(detail::owned_object) == sizeof(std::uintptr_t));
        awaited_.assign(facts_.size(), 0);
        pieces_.clear();
        for (std::size_t i = 0; i < facts_.size(); ++i) {
            if (facts_[i].state != task_state::waiting) {
                continue;
            }
            if (facts_[i].waits_for == detail::wait_kind::mutex) {
                pieces_.push_back({facts_[i].wait_object, &awaited_[i], sizeof awaited_[i], false});
            } else if (facts_[i].waits_for == detail::wait_kind::join) {
                awaited_[i] = facts_[i].wait_object;
            }
        }
        read_or_zero();
        pieces_.clear();
        for (std::size_t i = 0; i < facts_.size(); ++i) {
            if (awaited_[i] != 0 && awaited_[i] % alignof(task_header) == 0) {
                const std::uintptr_t id = awaited_[i] + offsetof(task_header, id);
                pieces_.push_back({id, &facts_[i].waits_on, sizeof facts_[i].waits_on, false});
            }
        }
        read_or_zero();
    }

    void read_or_zero() noexcept {
        read_pieces(pieces_);
        for (const read_piece& piece : pieces_) {
            if (!piece.ok) {
                std::memset(piece.target, 0, piece.size);
            }
        }
    }

    static std::uintptr_t address_of(const detail::scheduler_base* scheduler) noexcept {
        return reinterpret_cast<std::uintptr_t>(scheduler);
    }

    [[nodiscard]] std::uint32_t runtime_of(const task_header& task) const noexcept {
        const std::uintptr_t scheduler = address_of(task.scheduler);
        const auto found = std::find_if(runtimes_.begin(), runtimes_.end(), [&](const auto& one) {
            return one.addresses.include(scheduler);
        });
        return static_cast<std::uint32_t>(found - runtimes_.begin());
    }

    static task_facts facts_of(const task_header& task, std::uint32_t runtime) {
        const std::uint64_t state = task.state.load_relaxed();
        task_facts facts;
        facts.id = task.id.load_relaxed();
        facts.runtime = runtime;
        facts.worker = task.home == UINT16_MAX ? no_worker : task.home;
        facts.state =
            (state & detail::state_waiting) != 0 ? task_state::waiting : task_state::ready;
        facts.is_cancelled = (state & (detail::state_claimed | detail::state_aborted)) != 0;
        facts.waits_for = task.waits_for;
        if (facts.waits_for == detail::wait_kind::join_inside) {
            facts.state = task_state::waiting;
            facts.waits_for = detail::wait_kind::join;
        }
        facts.wait_object = reinterpret_cast<std::uintptr_t>(task.live.wait_object);
        facts.since_ns = task.live.since_ns;
        facts.created_ns = task.live.created_ns;
        facts.polls = task.polls;
        facts.name = reinterpret_cast<std::uintptr_t>(task.name);
        facts.spawn_site = reinterpret_cast<std::uintptr_t>(task.spawn_site);
        return facts;
    }

    static const current_task* find_current(
        const std::vector<current_task>& all, std::uintptr_t header, std::uint64_t id
    ) noexcept {
        const auto found = std::find_if(all.begin(), all.end(), [&](const current_task& one) {
            return one.header == header && one.id == id;
        });
        return found == all.end() ? nullptr : &*found;
    }

    // Enters what labels_ knows of a task. False: it has changed since it was read.
    bool settle_label(std::size_t i) {
        const task_header& after = second_[i].get();
        const label_reader::label found = labels_.find(i);
        if (!found.is_whole || after.id.load_relaxed() != facts_[i].id ||
            after.parent.load_relaxed() != parents_[i]) {
            return false;
        }
        facts_[i].parent_id = found.parent_id;
        facts_[i].label = found.text;
        return true;
    }

    void finish(std::size_t i, bool is_last) {
        task_facts& facts = facts_[i];
        const current_task* const ran = find_current(before_, selected_[i], facts.id);
        const current_task* const runs = find_current(after_, selected_[i], facts.id);
        const bool has_label = settle_label(i);
        const bool still = stood_still(kept_[i].get(), second_[i].get());
        const bool has_run = still && ran != nullptr && runs != nullptr;
        const bool is_at_rest = still && ran == nullptr && runs == nullptr;
        if (!is_last && !(has_label && (has_run || is_at_rest))) {
            moved_.push_back(selected_[i]);
            return;
        }
        if (has_run) {
            facts.state = task_state::running;
            facts.worker = runs->worker;
            if (facts.waits_for != detail::wait_kind::in_place) {
                facts.waits_for = detail::wait_kind::none;
            }
        } else if (!is_at_rest) {
            if (!is_alive(second_[i].get())) {
                return; // ended meanwhile
            }
            // It takes turns faster than it can be looked at.
            facts.state = runs != nullptr ? task_state::running : facts.state;
            facts.is_consistent = false;
            facts.waits_on = 0;
            facts.stack.frames.clear();
        }
        ++result_.seen;
        ++result_.in_state[static_cast<std::size_t>(facts.state)];
        result_.consistent += facts.is_consistent ? 1 : 0;
        visit_(facts);
    }

    const std::vector<runtime_facts>& runtimes_;
    const std::uint64_t deadline_ns_;
    const std::function<void(const task_facts&)>& visit_;
    walk_result result_;
    bool is_late_ = false;
    std::vector<std::uintptr_t> addresses_; // to look at
    std::vector<std::uintptr_t> moved_;     // to look at again
    std::vector<std::uintptr_t> selected_;  // those of addresses_ that hold live tasks
    std::vector<header_copy> first_;        // by addresses_
    std::vector<header_copy> kept_;         // by selected_, and so are the next
    std::vector<header_copy> second_;
    std::vector<task_facts> facts_;
    std::vector<std::uintptr_t> awaited_; // headers
    std::vector<std::uint64_t> parents_;  // parent words
    label_reader labels_;
    std::vector<stack_request> requests_;
    std::vector<read_piece> pieces_;
    std::vector<current_task> before_;
    std::vector<current_task> after_;
};

// The addresses of all headers there are. Two passes, because the visitor must not throw.
std::vector<std::uintptr_t> all_headers() {
    std::size_t count = 0;
    memory::for_each_header(
        [](void* /*block*/, void* context) { ++*static_cast<std::size_t*>(context); }, &count
    );
    std::vector<std::uintptr_t> headers;
    headers.reserve(count);
    memory::for_each_header(
        [](void* block, void* context) {
            auto& into = *static_cast<std::vector<std::uintptr_t>*>(context);
            if (into.size() < into.capacity()) { // headers may have been added meanwhile
                into.push_back(reinterpret_cast<std::uintptr_t>(block));
            }
        },
        &headers
    );
    return headers;
}

} // namespace

std::string_view text_of(task_state state) noexcept {
    switch (state) {
    case task_state::running:
        return "running";
    case task_state::ready:
        return "ready";
    case task_state::waiting:
        return "waiting";
    }
    return "?";
}

walk_result walk_tasks(
    const std::vector<runtime_facts>& runtimes,
    std::uint64_t deadline_ns,
    const std::function<void(const task_facts&)>& visit
) {
    const std::uint64_t started_ns = base::monotonic_ns();
    const std::vector<std::uintptr_t> headers = all_headers();
    walker walk(runtimes, deadline_ns, visit);
    for (const std::uintptr_t header : headers) {
        walk.add(header);
    }
    walk.finish_batch();
    walk.result().duration_ns = base::monotonic_ns() - started_ns;
    return walk.result();
}

std::uint64_t count_tasks_alive() noexcept {
    std::uint64_t count = 0;
    memory::for_each_header(
        [](void* block, void* context) {
            if (is_alive(*static_cast<const task_header*>(block))) {
                ++*static_cast<std::uint64_t*>(context);
            }
        },
        &count
    );
    return count;
}

const std::string& name_cache::find(std::uintptr_t name) {
    const auto [entry, is_new] = known_.try_emplace(name);
    if (is_new && name != 0) {
        entry->second = read_string(name, name_bytes_max);
    }
    return entry->second;
}

} // namespace rt::introspect
