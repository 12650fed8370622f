// SPDX-License-Identifier: MIT
//
// What each command answers, as JSON and as text; tasks and task are in task_resources.cc.
//
// The rows of the table in command.cc name these functions. They read through observed() and
// snapshot.h, write through render.h, and turn every bad parameter into a sentence.
#include "introspect/resources.h"

#include "base/arch.h"
#include "base/clock.h"
#include "base/environment.h"
#include "introspect/dump.h"
#include "introspect/process.h"
#include "introspect/render.h"
#include "introspect/snapshot.h"

#include <rt/version.h>

#include <algorithm>

namespace rt::introspect {
namespace {

using base::json_writer;
using base::text_writer;

void write_runtimes_json(json_writer& json, const std::vector<runtime_facts>& runtimes) {
    json.key("runtimes").begin_array();
    for (const runtime_facts& one : runtimes) {
        json.begin_object().field("name", std::string_view(one.unique_name));
        json.field(
            "flavor",
            one.settings.flavor == flavor::multi_thread ? "multi_thread" : "current_thread"
        );
        json.field("workers", one.workers.size()).field("driver", std::string_view(one.driver));
        json.field("driver_reason", std::string_view(one.driver_reason));
        json.field("uptime_ns", base::monotonic_ns() - one.started_ns);
        json.field("injected_depth", one.injected_depth);
        json.key("blocking").begin_object().field("threads", one.blocking.threads);
        json.field("idle", one.blocking.idle).field("queued", one.blocking.queued).end_object();
        json.end_object();
    }
    json.end_array();
}

std::size_t count_workers(const std::vector<runtime_facts>& runtimes) noexcept {
    std::size_t count = 0;
    for (const runtime_facts& one : runtimes) {
        count += one.workers.size();
    }
    return count;
}

void info_as_json(
    const service& self, const std::vector<runtime_facts>& runtimes, response& answer
) {
    const process_facts& facts = process();
    json_writer json(answer.body);
    json.begin_object();
    json.key("api").begin_object().field("major", wire::api_major);
    json.field("minor", wire::api_minor).end_object();
    json.field(wire::field_version, std::string_view(RT_VERSION));
    json.field(wire::field_pid, facts.pid).field(wire::field_uid, facts.uid);
    json.field(wire::field_comm, std::string_view(facts.comm));
    json.field("started", std::string_view(iso_time(facts.started_realtime_ns)));
    json.field(wire::field_uptime_ns, base::monotonic_ns() - facts.started_ns);
    json.field(wire::field_workers, count_workers(runtimes));
    json.field(wire::field_tasks_alive, count_tasks_alive());
    json.field("compiler", std::string_view(__VERSION__));
    json.field("arch", std::string_view(base::cpu::name));
    json.field("clock", std::string_view(base::tick_source_reason()));
    json.key("features").begin_object().field("taskdump", features::taskdump);
    json.field("metrics", features::metrics).field("probes", features::probes);
    json.field("frame_pointers", base::native_frame::has_frame_pointers).end_object();
    json.field("socket", std::string_view(self.socket_path));
    write_runtimes_json(json, runtimes);
    json.end_object();
    answer.body.character('\n');
}

void info_as_text(
    const service& self, const std::vector<runtime_facts>& runtimes, response& answer
) {
    const process_facts& facts = process();
    text_writer& out = answer.body;
    out.text("librt " RT_VERSION "  api ").decimal(wire::api_major).character('.');
    out.decimal(wire::api_minor).text("  ").text(base::cpu::name).text("  ").text(__VERSION__);
    out.text("\nprocess ").decimal(facts.pid).character(' ').escaped(facts.comm);
    out.text("  uid ").decimal(facts.uid).text("  up ");
    out.duration(base::monotonic_ns() - facts.started_ns).text("  since ");
    out.text(iso_time(facts.started_realtime_ns)).text("\nsocket ").escaped(self.socket_path);
    out.text("\nclock ").text(base::tick_source_reason());
    out.text("\nfeatures").text(features::taskdump ? " taskdump" : "");
    out.text(features::metrics ? " metrics" : "").text(features::probes ? " probes" : "");
    out.text(base::native_frame::has_frame_pointers ? " frame-pointers" : "");
    out.text("\ntasks alive ").decimal(count_tasks_alive()).character('\n');
    for (const runtime_facts& one : runtimes) {
        out.text("runtime ")
            .escaped(one.unique_name)
            .text("  workers ")
            .decimal(one.workers.size());
        out.text("  driver ").text(one.driver);
        if (!one.driver_reason.empty()) {
            out.text(" (").escaped(one.driver_reason).character(')');
        }
        out.text("  up ").duration(base::monotonic_ns() - one.started_ns).character('\n');
    }
}

void settings_as_text(text_writer& out, const config& settings) {
    out.text("  flavor           ");
    out.text(settings.flavor == flavor::multi_thread ? "multi_thread" : "current_thread");
    out.text("\n  workers          ").decimal(settings.workers).text(" (0: by the machine)");
    out.text("\n  cpus             ")
        .text(settings.cpus.empty() ? std::string_view("all") : settings.cpus);
    out.text("\n  ring_entries     ").decimal(settings.ring_entries);
    out.text("\n  event_interval   ").decimal(settings.event_interval);
    out.text("\n  inject_interval  ").decimal(settings.inject_interval);
    out.text("\n  lifo_slot        ").text(settings.lifo_slot ? "on" : "off");
    out.text("\n  relief_threads   ").decimal(settings.relief_threads);
    out.text("\n  blocking_max     ").decimal(settings.blocking_threads_max);
    out.text("\n  blocking_keep    ");
    out.decimal_signed(settings.blocking_keep_alive.count()).text(" ms");
    out.text("\n  poll_histogram   ").text(settings.poll_histogram ? "on" : "off");
    out.text("\n  schedule_latency ").text(settings.schedule_latency ? "on" : "off");
    out.text("\n  seed             ").decimal(settings.seed);
    out.text("\n  thread_stack     ").decimal(settings.thread_stack_kib);
    out.text(" KiB (0: by ulimit -s)\n");
}

void settings_as_json(json_writer& json, const config& settings) {
    json.field("workers", settings.workers).field("cpus", std::string_view(settings.cpus));
    json.field("ring_entries", settings.ring_entries);
    json.field("event_interval", settings.event_interval);
    json.field("inject_interval", settings.inject_interval);
    json.field("lifo_slot", settings.lifo_slot);
    json.field("relief_threads", settings.relief_threads);
    json.field("blocking_threads_max", settings.blocking_threads_max);
    json.field("thread_stack_kib", settings.thread_stack_kib);
    json.field("schedule_latency", settings.schedule_latency);
    json.field("poll_histogram", settings.poll_histogram).field_id("seed", settings.seed);
    json.field(
        "blocking_keep_alive_ns",
        static_cast<std::uint64_t>(std::max<long long>(settings.blocking_keep_alive.count(), 0)) *
            base::ns_per_millisecond
    );
}

} // namespace

void answer_help(service& /*self*/, const query& question, response& answer) {
    if (question.argument.empty()) {
        write_help(answer.body);
        return;
    }
    for (const command& one : commands()) {
        if (one.name == question.argument) {
            write_help_of(answer.body, one);
            return;
        }
    }
    set_error(
        answer,
        status::not_found,
        "no such command '" + question.argument + "'; 'help' lists them",
        false
    );
}

void answer_info(service& self, const query& question, response& answer) {
    const std::vector<runtime_facts> runtimes = observed().read();
    if (question.as_json) {
        info_as_json(self, runtimes, answer);
    } else {
        info_as_text(self, runtimes, answer);
    }
}

void answer_workers(service& self, const query& question, response& answer) {
    std::vector<runtime_facts> runtimes = self.progress.look();
    if (!question.argument.empty()) {
        const auto wanted = base::parse_uint(question.argument);
        std::size_t left = 0;
        for (runtime_facts& runtime : runtimes) {
            std::erase_if(runtime.workers, [&](const worker_facts& one) {
                return !wanted || one.view.index != *wanted;
            });
            left += runtime.workers.size();
        }
        if (left == 0) {
            set_error(
                answer, status::not_found, "no worker '" + question.argument + "'", question.as_json
            );
            return;
        }
    }
    if (!question.as_json) {
        for (const runtime_facts& runtime : runtimes) {
            answer.body.text(runtimes.size() > 1 ? "runtime " : "");
            answer.body.escaped(runtimes.size() > 1 ? runtime.unique_name + "\n" : std::string());
            write_worker_table(answer.body, runtime);
        }
        return;
    }
    json_writer json(answer.body);
    json.begin_object().key("workers").begin_array();
    for (const runtime_facts& runtime : runtimes) {
        for (const worker_facts& worker : runtime.workers) {
            write_worker_json(json, runtime, worker);
        }
    }
    json.end_array().end_object();
    answer.body.character('\n');
}

void answer_dump(service& self, const query& question, response& answer) {
    answer_dump(self.progress, question.as_json, question.from.has_flag("full"), answer);
}

void answer_topology(service& /*self*/, const query& question, response& answer) {
    const std::vector<runtime_facts> runtimes = observed().read();
    if (!question.as_json) {
        for (const runtime_facts& runtime : runtimes) {
            answer.body.text("runtime ").escaped(runtime.unique_name).text(": ");
            answer.body.escaped(runtime.placement_reason).character('\n');
            for (const worker_facts& worker : runtime.workers) {
                answer.body.text("  worker ").decimal(worker.view.index).text("  node ");
                answer.body.decimal(worker.view.node).text("  cpus ");
                answer.body.text(
                    worker.view.cpus.empty() ? std::string_view("any") : worker.view.cpus
                );
                answer.body.character('\n');
            }
        }
        return;
    }
    json_writer json(answer.body);
    json.begin_object().key("runtimes").begin_array();
    for (const runtime_facts& runtime : runtimes) {
        json.begin_object().field("name", std::string_view(runtime.unique_name));
        json.field("placement", std::string_view(runtime.placement_reason));
        json.key("workers").begin_array();
        for (const worker_facts& worker : runtime.workers) {
            json.begin_object().field("worker", worker.view.index);
            json.field("node", worker.view.node);
            json.field("cpus", std::string_view(worker.view.cpus)).end_object();
        }
        json.end_array().end_object();
    }
    json.end_array().end_object();
    answer.body.character('\n');
}

void answer_tuning(service& /*self*/, const query& question, response& answer) {
    const std::vector<runtime_facts> runtimes = observed().read();
    if (!question.as_json) {
        for (const runtime_facts& runtime : runtimes) {
            answer.body.text("runtime ").escaped(runtime.unique_name).character('\n');
            settings_as_text(answer.body, runtime.settings);
        }
        return;
    }
    json_writer json(answer.body);
    json.begin_object().key("runtimes").begin_array();
    for (const runtime_facts& runtime : runtimes) {
        json.begin_object().field("name", std::string_view(runtime.unique_name));
        settings_as_json(json, runtime.settings);
        json.end_object();
    }
    json.end_array().end_object();
    answer.body.character('\n');
}

void answer_metrics(service& self, const query& question, response& answer) {
    const std::string& accept = question.from.accept;
    const bool is_openmetrics = accept.find("text/plain") == std::string::npos ||
        accept.find("openmetrics") != std::string::npos;
    metrics_input input = read_metrics();
    input.requests = self.counts;
    answer.content_type = is_openmetrics ? wire::openmetrics_type : wire::prometheus_type;
    write_metrics(input, is_openmetrics, question.from.has_flag("per_worker"), answer.body);
}

void answer_health(service& self, const query& /*question*/, response& answer) {
    for (const runtime_facts& runtime : self.progress.look()) {
        for (const worker_facts& worker : runtime.workers) {
            if (worker.is_stuck) {
                answer.code = status::unavailable;
                answer.body.text("worker ").decimal(worker.view.index).text(" of runtime ");
                answer.body.escaped(runtime.unique_name).text(" has been in task ");
                answer.body.decimal(worker.view.task_id).text(" for ");
                answer.body.duration(worker.same_turn_ns).text(" or more\n");
            }
        }
    }
    if (answer.code == status::ok) {
        answer.body.text("ok\n");
    }
}

} // namespace rt::introspect
