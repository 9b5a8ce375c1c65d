/* SPDX-License-Identifier: GPL-2.0 */
/* The socket that tells metrics. */
#ifndef MSTORE_BRIDGE_METRICS_H
#define MSTORE_BRIDGE_METRICS_H

int metrics_begin(void);
void metrics_tell(int fd);
void metrics_end(void);

#endif
