// SPDX-License-Identifier: MIT
//
// One runtime: its validated configuration, its scheduler, its blocking pool; and the list of all
// runtimes of the process, which the observer walks.
//
// (The namespace is rt::engine, not rt::runtime, because that name is the public class.)
// Threads: constructed and destroyed by the owner; the accessors are constant in between and may be
// used by any thread that keeps the core alive.
#pragma once

#include "base/process.h"
#include "blocking/pool.h"
#include "scheduler/scheduler.h"

#include <rt/runtime.h>

#include <cstdint>
#include <memory>
#include <string>

namespace rt::engine {

class core : public std::enable_shared_from_this<core> {
public:
    // `settings` must be validated (see config.h).
    explicit core(const config& settings);
    core(const core&) = delete;
    core& operator=(const core&) = delete;
    ~core();

    // Makes the parts and starts the workers. An empty text: it runs. Otherwise it can only be
    // destroyed.
    [[nodiscard]] scheduler::start_fault start();

    // What is spawned from now on does not begin, and shut_down, which somebody else will call, has
    // begun already, unless the flavour is current_thread.
    void begin_shut_down() noexcept;

    // Ordered tear-down; idempotent. See shutdown.cc for the steps.
    void shut_down() noexcept;

    // Aborts with advice in a child of fork().
    void check_process() const noexcept { process_.check(); }
    [[nodiscard]] bool is_of_parent() const noexcept { return process_.is_foreign(); }

    [[nodiscard]] const config& settings() const noexcept { return settings_; }
    [[nodiscard]] scheduler::pool& workers() noexcept { return *workers_; }
    [[nodiscard]] offload::pool& blocking_pool() noexcept { return *blocking_; }
    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    [[nodiscard]] std::uint64_t started_ns() const noexcept { return started_ns_; }
    // Why the driver is what it is; empty when nothing had to be decided.
    [[nodiscard]] const std::string& driver_reason() const noexcept { return driver_reason_; }

    core* next_core = nullptr; // guarded by the registry's lock

private:
    base::process_mark process_;
    config settings_; // without the hooks: observers copy it
    hooks hooks_;
    const std::uint64_t id_; // of this runtime in the process, from 1
    std::uint64_t started_ns_ = 0;
    std::string driver_reason_;
    std::unique_ptr<offload::pool> blocking_;
    std::unique_ptr<scheduler::pool> workers_;
    bool is_observed_ = false;
    bool is_down_ = false;
};

// Calls `visit` for every runtime that is observed, under the registry's lock: a core cannot go
// away meanwhile, and `visit` must not block for long.
void for_each_core(void (*visit)(core&, void* context), void* context);

} // namespace rt::engine

namespace rt {

// The runtime whose worker or whose closure the calling thread runs, whatever it has entered.
engine::core* engine_of_thread() noexcept;

} // namespace rt
