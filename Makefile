# SPDX-License-Identifier: GPL-2.0
#
# make help lists what can be done. Everything built is below build/: the module
# of each kernel in a directory named after it, library and tool in user/.

define HELP
make                module for the running kernel (or KDIR=), library, tool
make run            a VM with the module loaded shows what it can do
make check          every test in a VM (KERNEL=6.12, 6.1, 6.12-rt, newest, or kasan,
                    kcsan, which find mistakes and leaks, data races; with -arm64 or
                    -s390x behind it, tests in C are cross-compiled and emulated, such
                    as KERNEL=6.12-arm64; ONLY='a_test');
                    FULL=1: as large as they are meant to be, which takes long
make soak           everything at once for MINUTES= (10), with kill -9, full memory
                    cgroups, a processor unplugged, the module reloaded
                    (KERNEL=); the books balance at the end, memory is back
make coverage       lines and branches of the module that the tests reach
                    (ONLY='a_test'), and those that they do not
make bench          what each operation costs, beside what else there is
                    (ONLY=get,publish), or than it did (COMPARE=a bench.json
                    that was KEEP=t); SMP=2: throughput of two CPUs;
                    ONLY=latency: the longest section of each operation with a lock
                    held, none above 50,000 instructions (not in the others, and
                    takes five minutes)
make vm CMD='...'   one shell command in a VM; the words it knows (KERNEL= SMP=
                    MEM= MODPARAMS= ...) are in selftests/vm/vm
make fuzz           random programs against the module, for MINUTES= (2), on
                    KERNEL=kasan, which guides them, or another; a finding is
                    in build/out as a program, REPRODUCE= runs it again, and in C
make fresh          what README.md says first, in a bare Debian where nothing is
                    installed (SUITE=bookworm, trixie; CMD='make bench')
make user           library and tool alone, without a module
make install        on this machine what was built: module, library, tool (DESTDIR=,
                    PREFIX=); install-user: without the module
make uninstall      removes what install wrote
make dkms-install   the module's source, which DKMS builds for each kernel;
                    dkms-uninstall removes it (docs/install.md)
make deb            Debian packages, into build/deb
make package-check  builds and tries them in bare roots of Debian 12 and 13
                    (SUITE=bookworm, trixie); needs root
make clean
endef

include version.mk

KDIR ?= /lib/modules/$(shell uname -r)/build
PREFIX ?= /usr/local
DESTDIR ?=

BUILD := $(CURDIR)/build
UTSRELEASE := $(KDIR)/include/generated/utsrelease.h
RELEASE := $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(UTSRELEASE) 2>/dev/null)
# MODULE_BUILD tells builds of the same kernel with other flags apart.
MODULE = $(BUILD)/$(RELEASE)$(MODULE_BUILD)

all: module user

define no-headers
no module: $(KDIR) is missing. Install the headers of the
running kernel (Debian: apt install linux-headers-$(shell uname -r)), or give KDIR=.
make user builds library and tool alone
endef

# Kbuild writes beside its sources, so that each kernel gets a tree of links.
module:
	$(if $(wildcard $(KDIR)),,$(error $(no-headers)))
	$(if $(RELEASE),,$(error KDIR=$(KDIR) holds no built kernel or headers))
	@mkdir -p $(MODULE)
	@find $(MODULE) -xtype l -delete
	@cp -asf $(addprefix $(CURDIR)/,Kbuild version.mk module uapi) $(MODULE)
	+$(MAKE) -C $(KDIR) M=$(MODULE) modules

user:
	+$(MAKE) -C userspace O=$(BUILD)/user

# Library, tool and header as installed: what the VM gets.
stage: user
	+$(MAKE) -C userspace O=$(BUILD)/user install DESTDIR=$(BUILD)/stage PREFIX=/usr

run:
	+@selftests/vm/run

check:
	+@selftests/vm/check

soak:
	+@selftests/vm/soak

coverage:
	+@selftests/vm/coverage

fuzz:
	+@selftests/vm/fuzz

fresh:
	+@selftests/vm/fresh

bench:
	+@selftests/bench/run

package-check:
	+@selftests/vm/package-check

# make itself ends with 0 or 2, and with 1 only under -q, when something would
# be left to do. So vm runs under -q (a line with + runs all the same) and leaves
# something to do if the command ended with 1: then make ends with 1. Any other
# status is in the message and make ends with 2; selftests/vm/vm returns it as is.
ifeq ($(MAKECMDGOALS),vm)
MAKEFLAGS += -q
STATUS := $(shell mktemp)
endif
# As typed: $$ is the shell's in the VM or the bare root, not ours.
export VM_COMMAND := $(value CMD)

vm: vm-command
	$(if $(filter 1,$(shell cat $(STATUS); rm -f $(STATUS))),the status is 1)

vm-command:
	+@selftests/vm/vm; status=$$?; echo $$status >$(STATUS); \
	[ $$status -le 1 ] || { rm -f $(STATUS); exit $$status; }

# The module goes where modprobe prefers it to any other of that name.
UPDATES = /lib/modules/$(RELEASE)/updates
# For a system that runs only
depmod = $(if $(DESTDIR),:,depmod $1)
userspace = +$(MAKE) -C userspace O=$(BUILD)/user $1 DESTDIR=$(abspath $(DESTDIR)) PREFIX=$(PREFIX)

install: module-is-built
	$(call userspace,install)
	install -D -m 644 $(MODULE)/metastore.ko $(DESTDIR)$(UPDATES)/metastore.ko
	$(call depmod,$(RELEASE))

# Installing builds nothing: root would own the result, in another user's directory.
install-user:
	$(call userspace,install)

module-is-built:
	@[ -n '$(RELEASE)' ] && [ -e $(MODULE)/metastore.ko ] || { \
		echo 'no module to install for $(KDIR): build it first, by make as a user;' >&2; \
		echo 'make install-user installs library and tool alone' >&2; exit 1; }

uninstall:
	$(call userspace,uninstall)
	for module in $(DESTDIR)/lib/modules/*/updates/metastore.ko; do \
		[ -e "$$module" ] || continue; \
		rm -f "$$module"; \
		release=$${module%/updates/*}; \
		$(call depmod,"$${release##*/}") || exit; \
	done

# The source that DKMS builds the module from
DKMS_SOURCE = /usr/src/metastore-$(VERSION)

dkms-source:
	install -d $(DESTDIR)$(DKMS_SOURCE)
	cp -R --no-preserve=ownership Kbuild version.mk module uapi $(DESTDIR)$(DKMS_SOURCE)
	rm $(DESTDIR)$(DKMS_SOURCE)/module/README.md
	sed 's/#MODULE_VERSION#/$(VERSION)/' dkms.conf >$(DESTDIR)$(DKMS_SOURCE)/dkms.conf

dkms-install: dkms-source
	dkms install metastore/$(VERSION)

dkms-uninstall:
	dkms remove metastore/$(VERSION) --all
	rm -rf $(DKMS_SOURCE)

# dpkg-buildpackage builds in its tree and writes beside it, so it gets a copy. A make above
# it must not reach into its makes.
deb:
	@command -v dh >/dev/null && dpkg-checkbuilddeps || \
		{ echo 'install what the packages are built with: apt build-dep ./' >&2; exit 1; }
	rm -rf $(BUILD)/deb
	mkdir -p $(BUILD)/deb/mstore
	tar -c --exclude=./build --exclude=./.git . | tar -x -C $(BUILD)/deb/mstore
	cd $(BUILD)/deb/mstore && \
		env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES -u MAKELEVEL -u DESTDIR -u PREFIX \
		dpkg-buildpackage --build=binary --no-sign

clean:
	rm -rf $(BUILD)

help:
	$(info $(HELP))
	@:

.PHONY: all module user stage run check soak coverage bench fuzz fresh package-check vm vm-command \
	install install-user module-is-built uninstall dkms-source dkms-install \
	dkms-uninstall deb clean help
