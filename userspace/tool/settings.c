// SPDX-License-Identifier: GPL-2.0
/* Options that several subcommands have, as they were given: options.c writes them. */
#include "settings.h"

struct settings settings;
