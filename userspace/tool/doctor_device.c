// SPDX-License-Identifier: GPL-2.0
/* Checks of mstore doctor: the device, and who may open it. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "doctor.h"
#include "doctor_files.h"
#include "writer.h"

#define UDEV_RULE \
	"SUBSYSTEM==\"misc\", KERNEL==\"metastore\", GROUP=\"metastore\", MODE=\"0660\""

/* The driver's number; 0: it is not loaded. */
static dev_t driver_number(void)
{
	unsigned int major_number, minor_number;
	struct buffer text;
	bool known;

	if (!read_file("/sys/class/misc/metastore/dev", &text))
		return 0;
	known = sscanf(text.data, "%u:%u", &major_number, &minor_number) == 2;
	free(text.data);
	return known ? makedev(major_number, minor_number) : 0;
}

static void find_no_device(struct finding *finding)
{
	if (!is_loaded()) {
		find(finding, VERDICT_FAIL, "no " DEVICE ": the module is not loaded");
		mend(finding, "sudo modprobe metastore");
	} else if (in_container()) {
		find(finding, VERDICT_FAIL, "no " DEVICE ": this container has not got it");
		mend(finding, "podman run --device " DEVICE " IMAGE");
	} else {
		find(finding, VERDICT_FAIL, "no " DEVICE ", although the module is loaded");
		mend(finding, "sudo udevadm trigger --name-match=metastore");
	}
}

/* Remove the file in the place of the device. The driver makes the device when it is loaded. */
static void mend_device(struct finding *finding, dev_t driver)
{
	if (driver)
		mend(finding, "sudo rm " DEVICE " && sudo mknod -m 660 " DEVICE " c %u %u",
		     major(driver), minor(driver));
	else
		mend(finding, "sudo rm " DEVICE " && sudo modprobe metastore");
}

void check_device(struct finding *finding)
{
	char path[DOCTOR_PATH_SIZE];
	dev_t driver = driver_number();
	struct stat st;

	if (stat(below_root(path, DEVICE), &st)) {
		if (is_absent(errno))
			find_no_device(finding);
		else
			find_hidden(finding, DEVICE);
	} else if (!S_ISCHR(st.st_mode)) {
		find(finding, VERDICT_FAIL, DEVICE " is no device");
		mend_device(finding, driver);
	} else if (driver && driver != st.st_rdev) {
		find(finding, VERDICT_FAIL, DEVICE " has the number %u:%u, but the driver %u:%u",
		     major(st.st_rdev), minor(st.st_rdev), major(driver), minor(driver));
		mend_device(finding, driver);
	} else {
		find(finding, VERDICT_OK, DEVICE " is there");
	}
}

/* The group of that number in /etc/group below the root; false if it has no name. */
static bool read_group(gid_t gid, struct group **group)
{
	char path[DOCTOR_PATH_SIZE];
	FILE *file = fopen(below_root(path, "/etc/group"), "re");

	*group = NULL;
	if (!file)
		return false;
	while ((*group = fgetgrent(file)) && (*group)->gr_gid != gid)
		;
	fclose(file);
	return *group;
}

static bool lists_user(const struct group *group, const char *user)
{
	for (char **member = group->gr_mem; *member; member++)
		if (!strcmp(*member, user))
			return true;
	return false;
}

/* The device's group may use it, but this process may not. */
static void find_group(struct finding *finding, const struct stat *st)
{
	const char *user = user_name(geteuid());
	struct group *group;

	if (!read_group(st->st_gid, &group)) {
		find(finding, VERDICT_FAIL, DEVICE " belongs to group %u, which has no name",
		     st->st_gid);
		mend(finding, "sudo chgrp metastore " DEVICE);
	} else if (!st->st_gid) {
		find(finding, VERDICT_FAIL, DEVICE " belongs to root alone");
		mend(finding, "sudo groupadd --system metastore; ");
		mend(finding, "sudo usermod -aG metastore %s && ", user);
		mend(finding, "echo '%s' | sudo tee /etc/udev/rules.d/60-metastore.rules && ",
		     UDEV_RULE);
		mend(finding, "sudo udevadm control --reload && ");
		mend(finding, "sudo udevadm trigger --name-match=metastore");
	} else if (lists_user(group, user)) {
		find(finding, VERDICT_FAIL,
		     "user %s is in group %s, but not since this log-in: log in again", user,
		     group->gr_name);
		mend(finding, "newgrp %s", group->gr_name);
	} else {
		find(finding, VERDICT_FAIL, "user %s is not in group %s; log in again afterwards",
		     user, group->gr_name);
		mend(finding, "sudo usermod -aG %s %s", group->gr_name, user);
	}
}

void check_access(struct finding *finding)
{
	char path[DOCTOR_PATH_SIZE];
	struct stat st;

	if (stat(below_root(path, DEVICE), &st)) {
		find(finding, VERDICT_OK, "there is no device to have access to");
	} else if (st.st_mode & 0006) {
		find(finding, VERDICT_WARN, "mode %04o lets every user change every key",
		     st.st_mode & 07777);
		mend(finding, "sudo chmod 0660 " DEVICE);
	} else if (!faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS)) {
		find(finding, VERDICT_OK, "user %s may read and write", user_name(geteuid()));
	} else if (errno != EACCES) {
		find_hidden(finding, DEVICE);
	} else if ((st.st_mode & 0060) == 0060) {
		find_group(finding, &st);
	} else {
		find(finding, VERDICT_FAIL, "mode %04o gives the group no access",
		     st.st_mode & 07777);
		mend(finding, "sudo chmod 0660 " DEVICE);
	}
}
