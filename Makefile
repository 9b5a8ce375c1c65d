# SPDX-License-Identifier: GPL-2.0
#
# make help lists what can be done. Everything built is below build/: the module
# of each kernel in a directory named after it, library and tool in user/.

define HELP
make                module for the running kernel (or KDIR=), library, tool
make run            a VM with the module loaded shows what it can do
make check          every test in a VM (KERNEL=6.12, 6.1, 6.12-rt, newest, or kasan,
                    kcsan, which find mistakes and leaks, data races; ONLY='a_test');
                    FULL=1: as large as they are meant to be, which takes long
make coverage       lines and branches of the module that the tests reach
                    (ONLY='a_test'), and those that they do not
make bench          what each operation costs, beside what else there is
                    (ONLY=get,publish), or than it did (COMPARE=a bench.json
                    that was KEEP=t); SMP=2: throughput of two CPUs
make vm CMD='...'   one shell command in a VM; the words it knows (KERNEL= SMP=
                    MEM= MODPARAMS= ...) are in selftests/vm/vm
make fresh          what README.md says first, in a bare Debian where nothing is
                    installed (SUITE=bookworm, trixie; CMD='make bench')
make install        on this machine: module, library, tool (DESTDIR=, PREFIX=)
make clean
endef

KDIR ?= /lib/modules/$(shell uname -r)/build
PREFIX ?= /usr/local
DESTDIR ?=

BUILD := $(CURDIR)/build
UTSRELEASE := $(KDIR)/include/generated/utsrelease.h
RELEASE := $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(UTSRELEASE) 2>/dev/null)
# MODULE_BUILD tells builds of the same kernel with other flags apart.
MODULE = $(BUILD)/$(RELEASE)$(MODULE_BUILD)

all: $(if $(wildcard $(KDIR)),module,no-headers) user

no-headers:
	@echo 'No module: $(KDIR) is missing. Install the headers of the running'
	@echo 'kernel (apt install linux-headers-'"$$(uname -r)"'), or give KDIR=.'

# Kbuild writes beside its sources, so that each kernel gets a tree of links.
module:
	$(if $(RELEASE),,$(error KDIR=$(KDIR) holds no built kernel or headers))
	@mkdir -p $(MODULE)
	@find $(MODULE) -xtype l -delete
	@cp -asf $(CURDIR)/Kbuild $(CURDIR)/module $(CURDIR)/uapi $(MODULE)
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

coverage:
	+@selftests/vm/coverage

fresh:
	+@selftests/vm/fresh

bench:
	+@selftests/bench/run

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
UPDATES = $(DESTDIR)/lib/modules/$(RELEASE)/updates

install: all
	+$(MAKE) -C userspace O=$(BUILD)/user install DESTDIR=$(abspath $(DESTDIR)) PREFIX=$(PREFIX)
ifneq ($(RELEASE),)
	install -D -m 644 $(MODULE)/metastore.ko $(UPDATES)/metastore.ko
	$(if $(DESTDIR),,depmod $(RELEASE))
endif

clean:
	rm -rf $(BUILD)

help:
	$(info $(HELP))
	@:

.PHONY: all no-headers module user stage run check coverage bench fresh vm vm-command install \
	clean help
