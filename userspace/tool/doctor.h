/* SPDX-License-Identifier: GPL-2.0 */
/* The checks of mstore doctor. */
#ifndef MSTORE_TOOL_DOCTOR_H
#define MSTORE_TOOL_DOCTOR_H

#include <metastore.h>

#include "output.h"

/** enum verdict - how bad a finding is; the first two leave the exit status at 0 */
enum verdict {
	VERDICT_OK,
	VERDICT_WARN,
	VERDICT_FAIL,
};

/**
 * struct finding - what a check found
 * @verdict:	how bad it is
 * @why:	text for people
 * @command:	shell command that mends it; empty if nothing is wrong
 */
struct finding {
	enum verdict verdict;
	struct buffer why;
	struct buffer command;
};

/** struct patient - what the checks of a store look at */
struct patient {
	struct mstore *store;
	struct mstore_info info;
};

PRINTF_LIKE(3, 4) void find(struct finding *finding, enum verdict verdict, const char *why, ...);
PRINTF_LIKE(2, 3) void mend(struct finding *finding, const char *command, ...);
void find_hidden(struct finding *finding, const char *what);

#define DOCTOR_PATH_SIZE	4096

PRINTF_LIKE(2, 3) const char *below_root(char path[DOCTOR_PATH_SIZE], const char *format, ...);
const char *device_path(void);

void check_kernel(struct finding *finding);
void check_headers(struct finding *finding);
void check_dkms(struct finding *finding);
void check_module(struct finding *finding);
void check_blacklist(struct finding *finding);
void check_autoload(struct finding *finding);
void check_secure_boot(struct finding *finding);
void check_lockdown(struct finding *finding);
void check_signature(struct finding *finding);
void check_device(struct finding *finding);
void check_access(struct finding *finding);
void check_dump(struct finding *finding);

void check_features(struct finding *finding, const struct patient *patient);
void check_keys(struct finding *finding, const struct patient *patient);
void check_bytes(struct finding *finding, const struct patient *patient);
void check_private(struct finding *finding, const struct patient *patient);
void check_user(struct finding *finding, const struct patient *patient);
void check_losses(struct finding *finding, const struct patient *patient);

/* The file that check_dump() looks at, NULL: the one of the persistence unit */
extern const char *doctor_dump;

#endif
