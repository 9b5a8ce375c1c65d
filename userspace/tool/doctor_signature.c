// SPDX-License-Identifier: GPL-2.0
/* Checks of mstore doctor: whether the kernel takes modules that are not signed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "doctor_files.h"

/* Of the firmware: Secure Boot itself, and the keys that shim took from the user. */
#define EFI_VARIABLES	"/sys/firmware/efi/efivars"
#define SECURE_BOOT	EFI_VARIABLES "/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define ENROLLED_KEYS	EFI_VARIABLES "/MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23"
#define DKMS_KEY	"/var/lib/dkms/mok.pub"
#define MAKE_KEY	"sudo apt-get install dkms mokutil && sudo dkms generate_mok && "

/* The end of a signed module's file */
#define SIGNED		"~Module signature appended~\n"

/* Whether the firmware has the key of DKMS, which is part of the list as it is. */
static bool is_enrolled(const struct buffer *key)
{
	struct buffer list;
	bool found;

	if (!read_file(ENROLLED_KEYS, &list))
		return false;
	found = key->len && memmem(list.data, list.len, key->data, key->len);
	free(list.data);
	return found;
}

/* Secure Boot is on. */
static void check_key(struct finding *finding)
{
	enum verdict bad = is_loaded() ? VERDICT_OK : VERDICT_FAIL;
	struct buffer key;

	if (!read_file(DKMS_KEY, &key)) {
		if (!is_absent(errno)) {
			find_hidden(finding, DKMS_KEY);
			return;
		}
		find(finding, bad, "on, and there is no key to sign modules with%s",
		     is_loaded() ? ", but the module is loaded" : "");
		if (bad != VERDICT_OK)
			mend(finding, MAKE_KEY "sudo mokutil --import " DKMS_KEY);
		return;
	}
	if (is_enrolled(&key)) {
		find(finding, VERDICT_OK, "on, and the key " DKMS_KEY " is enrolled");
	} else {
		find(finding, bad, "on, and the key " DKMS_KEY " is not enrolled%s",
		     is_loaded() ? ", but the module is loaded" : "");
		if (bad != VERDICT_OK)
			mend(finding, "sudo mokutil --import " DKMS_KEY " && sudo reboot");
	}
	free(key.data);
}

void check_secure_boot(struct finding *finding)
{
	struct buffer state;

	if (!read_file(SECURE_BOOT, &state)) {
		if (is_absent(errno))
			find(finding, VERDICT_OK, "this machine has none");
		else
			find_hidden(finding, SECURE_BOOT);
		return;
	}
	/* Four bytes of attributes stand before the value. */
	if (state.len == 5 && state.data[4] == 1)
		check_key(finding);
	else
		find(finding, VERDICT_OK, "off");
	free(state.data);
}

static void mend_by_signature(struct finding *finding)
{
	char file[DOCTOR_PATH_SIZE];

	if (!is_installed(file))
		snprintf(file, sizeof(file), "metastore.ko");
	mend(finding, "sudo /lib/modules/%s/build/scripts/sign-file sha256 /var/lib/dkms/mok.key "
		      DKMS_KEY " %s", release(), file);
}

enum signature { SIGNATURE_NONE, SIGNATURE_PRESENT, SIGNATURE_UNKNOWN };

/* A compressed module hides it. */
static enum signature module_signature(void)
{
	enum signature signature = SIGNATURE_UNKNOWN;
	size_t len = strlen(SIGNED);
	char file[DOCTOR_PATH_SIZE];
	struct buffer text;

	if (!is_installed(file) || strcmp(file + strlen(file) - 3, ".ko") ||
	    !read_file(file, &text))
		return SIGNATURE_UNKNOWN;
	signature = text.len >= len && !memcmp(text.data + text.len - len, SIGNED, len) ?
		    SIGNATURE_PRESENT : SIGNATURE_NONE;
	free(text.data);
	return signature;
}

/* Unsigned modules are refused: say whether that concerns this one. */
static void judge_signature(struct finding *finding, const char *what)
{
	if (is_loaded()) {
		find(finding, VERDICT_OK, "%s, and the module is loaded", what);
		return;
	}
	switch (module_signature()) {
	case SIGNATURE_PRESENT:
		find(finding, VERDICT_OK, "%s, and the module is signed", what);
		break;
	case SIGNATURE_NONE:
		find(finding, VERDICT_FAIL, "%s, and the module is not signed", what);
		mend_by_signature(finding);
		break;
	default:
		find(finding, VERDICT_WARN, "%s, and no signature of the module can be seen", what);
		mend_by_signature(finding);
	}
}

void check_lockdown(struct finding *finding)
{
	static const char name[] = "/sys/kernel/security/lockdown";
	struct buffer text;

	if (!read_file(name, &text)) {
		if (is_absent(errno))
			find(finding, VERDICT_OK, "this kernel has none, or hides it");
		else
			find_hidden(finding, name);
		return;
	}
	if (strstr(text.data, "[integrity]"))
		judge_signature(finding, "integrity");
	else if (strstr(text.data, "[confidentiality]"))
		judge_signature(finding, "confidentiality");
	else
		find(finding, VERDICT_OK, "none");
	free(text.data);
}

void check_signature(struct finding *finding)
{
	static const char name[] = "/sys/module/module/parameters/sig_enforce";
	struct buffer text;

	if (!read_file(name, &text)) {
		if (is_absent(errno))
			find(finding, VERDICT_OK, "this kernel checks none");
		else
			find_hidden(finding, name);
		return;
	}
	if (text.data[0] == 'Y')
		judge_signature(finding, "enforced");
	else
		find(finding, VERDICT_OK, "not enforced");
	free(text.data);
}
