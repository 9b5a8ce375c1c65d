// SPDX-License-Identifier: GPL-2.0
/* mstore doctor */
#include <errno.h>
#include <metastore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "doctor.h"
#include "error.h"
#include "json.h"
#include "record.h"
#include "settings.h"
#include "store.h"

enum { OPT_DUMP = OPT_OWN };

static const struct tool_option options[] = {
	{ OPT_DUMP, "dump", "FILE", "check the age of this dump, not of the saved one" },
	OPTION_JSON, { }
};

/* In the order of a way to the store: what is above stands in the way of what is below. */
static const struct {
	const char *name;
	void (*check)(struct finding *finding);
} host_checks[] = {
	{ "kernel", check_kernel },
	{ "headers", check_headers },
	{ "dkms", check_dkms },
	{ "module", check_module },
	{ "blacklist", check_blacklist },
	{ "autoload", check_autoload },
	{ "secure boot", check_secure_boot },
	{ "lockdown", check_lockdown },
	{ "signature", check_signature },
	{ "device", check_device },
	{ "access", check_access },
	{ "dump", check_dump },
};

static const struct {
	const char *name;
	void (*check)(struct finding *finding, const struct patient *patient);
} store_checks[] = {
	{ "features", check_features },
	{ "keys", check_keys },
	{ "bytes", check_bytes },
	{ "private stores", check_private },
	{ "user", check_user },
	{ "losses", check_losses },
};

static const char *const plain_words[] = { "ok", "WARN", "FAIL" };
static const char *const json_words[] = { "ok", "warn", "fail" };

static void append(struct buffer *buf, const char *format, va_list args)
{
	char *text;

	if (vasprintf(&text, format, args) < 0)
		call_failed("memory", ENOMEM);
	buffer_text(buf, text);
	free(text);
}

/* Set what was found, in place of what a check said before. */
void find(struct finding *finding, enum verdict verdict, const char *why, ...)
{
	va_list args;

	finding->verdict = verdict;
	finding->why.len = 0;
	finding->command.len = 0;
	va_start(args, why);
	append(&finding->why, why, args);
	va_end(args);
}

/* Add to the command that mends it. */
void mend(struct finding *finding, const char *command, ...)
{
	va_list args;

	va_start(args, command);
	append(&finding->command, command, args);
	va_end(args);
}

/* By errno: the user may not look, which is no fault of the machine. */
void find_hidden(struct finding *finding, const char *what)
{
	find(finding, VERDICT_WARN, "cannot look at %s: %s", what, strerror(errno));
	mend(finding, "sudo mstore doctor");
}

static struct bytes bytes_of(const struct buffer *buf)
{
	return (struct bytes){ buf->data, buf->len };
}

static void print_json(const char *name, const struct finding *finding)
{
	json_t *object = object_new();

	object_text(object, "check", name);
	object_text(object, "status", json_words[finding->verdict]);
	object_bytes(object, "why", bytes_of(&finding->why));
	if (finding->command.len)
		object_bytes(object, "command", bytes_of(&finding->command));
	object_print(object);
}

static void print_plain(const char *name, const struct finding *finding)
{
	buffer_format(&out, "%-5s %s: ", plain_words[finding->verdict], name);
	buffer_add(&out, finding->why.data, finding->why.len);
	if (finding->command.len) {
		buffer_text(&out, ": ");
		buffer_add(&out, finding->command.data, finding->command.len);
	}
	out_end();
}

static bool failed;

static void print_finding(const char *name, struct finding *finding)
{
	failed |= finding->verdict == VERDICT_FAIL;
	if (settings.json)
		print_json(name, finding);
	else
		print_plain(name, finding);
	free(finding->why.data);
	free(finding->command.data);
}

static void check_host(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(host_checks); i++) {
		struct finding finding = { 0 };

		host_checks[i].check(&finding);
		print_finding(host_checks[i].name, &finding);
	}
}

/* Says why there is no store to check. */
static void print_unopened(int error)
{
	struct finding finding = { 0 };

	find(&finding, VERDICT_FAIL, "%s cannot be opened (%s), so its limits are not checked",
	     device_path(), error == ENOTTY ? "it is no metastore" : strerror(error));
	if (error == EACCES || error == EPERM)
		mend(&finding, "sudo mstore doctor");
	else if (error == EDQUOT)
		mend(&finding, "sudo mstore audit --users");
	else
		mend(&finding, "sudo modprobe metastore");
	print_finding("store", &finding);
}

static void check_store(void)
{
	struct patient patient = { .store = mstore_open(device_path(), MSTORE_READ) };

	if (!patient.store || mstore_info(patient.store, MSTORE_ANY_BUCKET, &patient.info)) {
		print_unopened(errno == EINVAL ? ENOTTY : errno);
		mstore_close(patient.store);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(store_checks); i++) {
		struct finding finding = { 0 };

		store_checks[i].check(&finding, &patient);
		print_finding(store_checks[i].name, &finding);
	}
	mstore_close(patient.store);
}

static int doctor(int argc, char **argv)
{
	while (next_option(&cmd_doctor, argc, argv) == OPT_DUMP)
		doctor_dump = optarg;
	want_operands(&cmd_doctor, argc, argv, "");
	check_host();
	check_store();
	return failed ? STATUS_NO : STATUS_YES;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.run = doctor,
	.operands = "",
	.summary = "Check this machine: what is wrong, and the command that mends it",
	.options = options,
};
