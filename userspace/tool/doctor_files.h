/* SPDX-License-Identifier: GPL-2.0 */
/* Files that the checks of mstore doctor look at. */
#ifndef MSTORE_TOOL_DOCTOR_FILES_H
#define MSTORE_TOOL_DOCTOR_FILES_H

#include "doctor.h"

#define DEVICE		"/dev/metastore"
#define RELEASE_SIZE	128

const char *shown(const char *path);
bool exists(const char *name);
bool read_file(const char *name, struct buffer *text);
bool is_absent(int error);
bool is_loaded(void);
bool in_container(void);
const char *release(void);
bool find_in_list(const char *of_release, char file[DOCTOR_PATH_SIZE]);
bool is_installed(char file[DOCTOR_PATH_SIZE]);
bool glob_one(char path[DOCTOR_PATH_SIZE], const char *pattern);

#endif
