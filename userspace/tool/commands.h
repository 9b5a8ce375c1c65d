/* SPDX-License-Identifier: GPL-2.0 */
/* The subcommands. */
#ifndef MSTORE_TOOL_COMMANDS_H
#define MSTORE_TOOL_COMMANDS_H

#include "options.h"

extern const struct command cmd_get;
extern const struct command cmd_set;
extern const struct command cmd_del;
extern const struct command cmd_touch;
extern const struct command cmd_pub;
extern const struct command cmd_update;
extern const struct command cmd_incr;
extern const struct command cmd_batch;
extern const struct command cmd_sub;
extern const struct command cmd_monitor;
extern const struct command cmd_wait;
extern const struct command cmd_hold;
extern const struct command cmd_lock;
extern const struct command cmd_stat;
extern const struct command cmd_bucket;
extern const struct command cmd_subs;
extern const struct command cmd_ls;
extern const struct command cmd_flush;
extern const struct command cmd_info;
extern const struct command cmd_audit;
extern const struct command cmd_doctor;
extern const struct command cmd_stats;
extern const struct command cmd_top;
extern const struct command cmd_dump;
extern const struct command cmd_load;
extern const struct command cmd_private;
extern const struct command cmd_upgrade;

#endif
