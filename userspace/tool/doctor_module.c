// SPDX-License-Identifier: GPL-2.0
/* Checks of mstore doctor: kernel, headers, DKMS, and how the module is loaded. */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "doctor.h"
#include "doctor_files.h"

#define BUILD		"make && sudo make install"

/* A version of the kernel's three numbers, to compare. */
static unsigned int version(unsigned int major_number, unsigned int minor_number,
			    unsigned int patch)
{
	return major_number << 24 | minor_number << 16 | (patch > 0xffff ? 0xffff : patch);
}

/* Debian's release lacks the patch level, which /proc/version has. */
static unsigned int kernel_version(void)
{
	unsigned int major_number, minor_number, patch = 0, number;
	struct buffer text;
	const char *debian;

	if (sscanf(release(), "%u.%u.%u", &major_number, &minor_number, &patch) < 2)
		return 0;
	if (read_file("/proc/version", &text)) {
		debian = strstr(text.data, " Debian ");
		if (debian && sscanf(debian, " Debian %*u.%*u.%u", &number) == 1)
			patch = number;
		free(text.data);
	}
	return version(major_number, minor_number, patch);
}

/* Stable branches have a fix that the module needs from these versions on. */
static bool has_genradix_fix(unsigned int running)
{
	return running >= version(6, 10, 10) ||
	       (running >= version(6, 1, 110) && running < version(6, 2, 0));
}

/* Install Debian's newest kernel; its packages have names of their own for machines. */
static void mend_kernel(struct finding *finding)
{
	struct utsname name;
	const char *machine = uname(&name) ? "" : name.machine;

	if (!strcmp(machine, "x86_64"))
		machine = "amd64";
	else if (!strcmp(machine, "aarch64"))
		machine = "arm64";
	else if (!strcmp(machine, "ppc64le"))
		machine = "powerpc64le";
	mend(finding, "sudo apt-get install linux-image-%s", machine);
}

void check_kernel(struct finding *finding)
{
	unsigned int running = kernel_version();

	if (!running) {
		find_hidden(finding, "/proc/sys/kernel/osrelease");
	} else if (running < version(6, 1, 0)) {
		find(finding, VERDICT_FAIL, "%s is too old: the module needs 6.1", release());
		mend_kernel(finding);
	} else if (!has_genradix_fix(running)) {
		find(finding, VERDICT_WARN,
		     "%s may lack a fix of __genradix_ptr_alloc() that 6.1.110 and 6.10.10 have",
		     release());
		mend_kernel(finding);
	} else {
		find(finding, VERDICT_OK, "%s", release());
	}
}

/* Another kernel's release that the module is installed for. */
static bool find_other(char other[RELEASE_SIZE])
{
	char pattern[DOCTOR_PATH_SIZE], file[DOCTOR_PATH_SIZE];
	bool found = false;
	glob_t dirs;

	if (!glob(below_root(pattern, "/lib/modules/*"), GLOB_NOSORT, NULL, &dirs))
		for (size_t i = 0; i < dirs.gl_pathc && !found; i++) {
			snprintf(other, RELEASE_SIZE, "%s", strrchr(dirs.gl_pathv[i], '/') + 1);
			found = find_in_list(other, file);
		}
	globfree(&dirs);
	return found;
}

void check_headers(struct finding *finding)
{
	char file[DOCTOR_PATH_SIZE], makefile[DOCTOR_PATH_SIZE];
	bool needed = !is_loaded() && !is_installed(file);

	snprintf(makefile, sizeof(makefile), "/lib/modules/%s/build/Makefile", release());
	if (exists(makefile)) {
		find(finding, VERDICT_OK, "those of %s are installed", release());
		return;
	}
	if (in_container()) {
		find(finding, VERDICT_OK, "this is a container, and its host builds the module");
		return;
	}
	find(finding, needed ? VERDICT_FAIL : VERDICT_WARN,
	     "those of %s are missing: the module cannot be built", release());
	mend(finding, "sudo apt-get install linux-headers-%s", release());
}

void check_dkms(struct finding *finding)
{
	char path[DOCTOR_PATH_SIZE], pattern[DOCTOR_PATH_SIZE], file[DOCTOR_PATH_SIZE];
	bool works = is_loaded() || is_installed(file);

	if (!glob_one(path, "/var/lib/dkms/metastore/*/source")) {
		find(finding, VERDICT_OK, "does not build the module; build it after an upgrade");
		return;
	}
	snprintf(pattern, sizeof(pattern), "/var/lib/dkms/metastore/*/%s/*/module/metastore.ko*",
		 release());
	if (glob_one(path, pattern)) {
		find(finding, VERDICT_OK, "has built the module for %s", release());
		return;
	}
	find(finding, works ? VERDICT_WARN : VERDICT_FAIL, "has not built the module for %s",
	     release());
	if (glob_one(path, "/var/lib/dkms/metastore/*/build/make.log"))
		buffer_format(&finding->why, "; %s says why", shown(path));
	mend(finding, "sudo dkms autoinstall -k %s", release());
}

static void mend_by_build(struct finding *finding)
{
	char path[DOCTOR_PATH_SIZE];

	if (glob_one(path, "/var/lib/dkms/metastore/*/source"))
		mend(finding, "sudo dkms autoinstall -k %s", release());
	else
		mend(finding, BUILD);
}

/* There is no file that modprobe would find. */
static void find_uninstalled(struct finding *finding)
{
	char other[RELEASE_SIZE], path[DOCTOR_PATH_SIZE], pattern[DOCTOR_PATH_SIZE];

	snprintf(pattern, sizeof(pattern), "/lib/modules/%s/updates/metastore.ko*", release());
	if (glob_one(path, pattern)) {
		find(finding, VERDICT_FAIL, "modprobe does not know %s",
		     shown(path));
		mend(finding, "sudo depmod && sudo modprobe metastore");
	} else if (is_loaded()) {
		find(finding, VERDICT_WARN, "loaded, but not installed for %s: gone after a reboot",
		     release());
		mend_by_build(finding);
	} else if (find_other(other)) {
		find(finding, VERDICT_FAIL, "built for %s, but not for the running %s", other,
		     release());
		mend_by_build(finding);
	} else {
		find(finding, VERDICT_FAIL, "not installed");
		mend_by_build(finding);
	}
}

void check_module(struct finding *finding)
{
	char file[DOCTOR_PATH_SIZE];

	if (in_container() && !is_loaded()) {
		find(finding, VERDICT_FAIL, "not loaded; the host of this container can do that");
		mend(finding, "sudo modprobe metastore");
	} else if (!is_installed(file)) {
		if (in_container())
			find(finding, VERDICT_OK, "loaded by the host of this container");
		else
			find_uninstalled(finding);
	} else if (!is_loaded()) {
		find(finding, VERDICT_FAIL, "%s is installed, but not loaded", file);
		mend(finding, "sudo modprobe metastore");
	} else {
		find(finding, VERDICT_OK, "loaded, installed as %s", file);
	}
}

/*
 * Search the files of a pattern for a line whose words begin with @first and @second (NULL:
 * none). Sets @path to the file. With errno EACCES one could not be read.
 */
static bool find_line(const char *pattern, const char *first, const char *second,
		      char path[DOCTOR_PATH_SIZE])
{
	char word[2][64], *line, *rest;
	bool found = false;
	struct buffer text;
	glob_t files;
	int words;

	errno = 0;
	if (glob(below_root(path, "%s", pattern), 0, NULL, &files))
		files.gl_pathc = 0;
	for (size_t i = 0; i < files.gl_pathc && !found; i++) {
		snprintf(path, DOCTOR_PATH_SIZE, "%s", files.gl_pathv[i]);
		if (!read_file(shown(path), &text))
			continue;
		rest = text.data;
		while (!found && (line = strsep(&rest, "\n"))) {
			words = sscanf(line, "%63s %63s", word[0], word[1]);
			found = words >= (second ? 2 : 1) && !strcmp(word[0], first) &&
				(!second || !strcmp(word[1], second));
		}
		free(text.data);
	}
	globfree(&files);
	return found;
}

static const char *const modprobe_files[] = {
	"/etc/modprobe.d/*.conf", "/run/modprobe.d/*.conf", "/usr/local/lib/modprobe.d/*.conf",
	"/usr/lib/modprobe.d/*.conf", "/lib/modprobe.d/*.conf",
};

/* Whether the kernel's command line forbids the module. */
static bool is_refused_at_boot(void)
{
	bool refused = false;
	char *word, *rest, *name;
	struct buffer text;

	if (!read_file("/proc/cmdline", &text))
		return false;
	rest = text.data;
	while (!refused && (word = strsep(&rest, "\n "))) {
		name = strchr(word, '=');
		if (!name || (strncmp(word, "module_blacklist=", name - word + 1) &&
			      strncmp(word, "modprobe.blacklist=", name - word + 1)))
			continue;
		for (name++; name && !refused;) {
			char *one = strsep(&name, ",");

			refused = !strcmp(one, "metastore");
		}
	}
	free(text.data);
	return refused;
}

void check_blacklist(struct finding *finding)
{
	enum verdict bad = is_loaded() ? VERDICT_WARN : VERDICT_FAIL;
	static const char *const words[] = { "blacklist", "install" };
	char path[DOCTOR_PATH_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(modprobe_files); i++)
		for (size_t j = 0; j < ARRAY_SIZE(words); j++) {
			if (!find_line(modprobe_files[i], words[j], "metastore", path))
				continue;
			find(finding, bad, "%s has a line '%s metastore'", shown(path), words[j]);
			mend(finding, "sudo sed -i '/^ *%s *metastore/d' %s", words[j],
			     shown(path));
			return;
		}
	if (!is_refused_at_boot()) {
		find(finding, VERDICT_OK, "the module is not on one");
		return;
	}
	find(finding, bad, "the kernel's command line has metastore in its blacklist");
	mend(finding, "sudoedit /etc/default/grub && sudo update-grub");
}

static const char *const load_files[] = {
	"/etc/modules-load.d/*.conf", "/run/modules-load.d/*.conf",
	"/usr/local/lib/modules-load.d/*.conf", "/usr/lib/modules-load.d/*.conf",
	"/lib/modules-load.d/*.conf", "/etc/modules",
};

void check_autoload(struct finding *finding)
{
	char path[DOCTOR_PATH_SIZE];

	if (in_container()) {
		find(finding, VERDICT_OK, "this is a container, and its host loads the module");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(load_files); i++)
		if (find_line(load_files[i], "metastore", NULL, path)) {
			find(finding, VERDICT_OK, "%s loads the module at boot", shown(path));
			return;
		}
	find(finding, VERDICT_WARN, "nothing loads the module at boot");
	mend(finding, "echo metastore | sudo tee /etc/modules-load.d/metastore.conf");
}
