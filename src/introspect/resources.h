// SPDX-License-Identifier: MIT
//
// The answers, one function per command. See command.h.
#pragma once

#include "introspect/command.h"

namespace rt::introspect {

void answer_help(service& self, const query& question, response& answer);
void answer_info(service& self, const query& question, response& answer);
void answer_workers(service& self, const query& question, response& answer);
void answer_tasks(service& self, const query& question, response& answer);
void answer_task(service& self, const query& question, response& answer);
void answer_dump(service& self, const query& question, response& answer);
void answer_topology(service& self, const query& question, response& answer);
void answer_tuning(service& self, const query& question, response& answer);
void answer_metrics(service& self, const query& question, response& answer);
void answer_health(service& self, const query& question, response& answer);

} // namespace rt::introspect
