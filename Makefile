# sluice: build, test, install. `make help` lists the targets.
#
# Objects live in $(B) (default build/). Options: V=1 shows commands, DEBUG=1
# builds without optimisation and with all internal checks, CC=clang, SAN=...

B       ?= build
prefix  ?= /usr/local
bindir  ?= $(prefix)/bin
mandir  ?= $(prefix)/share/man
V       ?= 0
DEBUG   ?= 0
SAN     ?=

Q := $(if $(filter 1,$(V)),,@)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wwrite-strings -Wvla -Wundef \
	-Wformat=2 -Wimplicit-fallthrough -Wcast-qual -Wconversion -Wno-sign-conversion

OPT := $(if $(filter 1,$(DEBUG)),-O0 -DSLUICE_DEBUG,-O2)

ALL_CPPFLAGS := -I. -D_GNU_SOURCE $(CPPFLAGS)
ALL_CFLAGS   := -std=gnu11 -g -pthread -fstack-protector-strong -fno-common \
	$(OPT) $(WARN) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -DSLUICE_DEBUG) \
	$(if $(ANALYZE),-fanalyzer) $(CFLAGS)
WRAP := malloc calloc realloc free posix_memalign mmap
empty :=
comma := ,
LDLIBS += -luring
ALL_LDFLAGS  := -pthread -Wl,-z,relro,-z,now $(foreach f,$(WRAP),-Wl$(comma)--wrap=$(f)) \
	$(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

# Libraries, one for each folder, in the order in which they depend on each other.
src_of = $(sort $(wildcard $(1)/*.c))
obj_of = $(patsubst %.c,$(B)/%.o,$(1))

BASE     := $(call src_of,src/base)
ARENA    := $(call src_of,arena)
TCPSTACK := $(call src_of,tcpstack)
VIRTIO   := $(call src_of,virtio)
VMM      := $(call src_of,src/vmm)
SIGHT    := $(call src_of,src/sight)
CONTROL  := $(call src_of,src/control)
JAIL     := $(call src_of,src/jail)
CLI      := $(call src_of,src/cli) $(wildcard src/main.c)

LIB_BASE     := $(B)/libbase.a
LIB_ARENA    := $(B)/libarena.a
LIB_TCPSTACK := $(B)/libtcpstack.a
LIB_VIRTIO   := $(B)/libvirtio.a
LIB_VMM      := $(B)/libvmm.a
LIB_SIGHT    := $(B)/libsight.a
LIB_CONTROL  := $(B)/libcontrol.a
LIB_JAIL     := $(B)/libjail.a
LIB_CLI      := $(B)/libcli.a

.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:

$(LIB_BASE): $(call obj_of,$(BASE))
$(LIB_ARENA): $(call obj_of,$(ARENA))
$(LIB_TCPSTACK): $(call obj_of,$(TCPSTACK))
$(LIB_VIRTIO): $(call obj_of,$(VIRTIO))
$(LIB_VMM): $(call obj_of,$(VMM))
$(LIB_SIGHT): $(call obj_of,$(SIGHT))
$(LIB_CONTROL): $(call obj_of,$(CONTROL))
$(LIB_JAIL): $(call obj_of,$(JAIL))
$(LIB_CLI): $(call obj_of,$(filter src/cli/%,$(CLI)))

$(B)/%.a:
	@mkdir -p $(@D)
	$(if $(Q),@echo "  AR      $@")
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC      $<")
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define link
@mkdir -p $(@D)
$(if $(Q),@echo "  LD      $@")
$(Q)$(CC) $(ALL_CFLAGS) -o $@ $(1) $(ALL_LDFLAGS) $(2)
endef

# --- the program ----------------------------------------------------------
SLUICE := $(B)/sluice
VERSION := 0.1.0
$(B)/src/cli/version.o: ALL_CPPFLAGS += -DSLUICE_VERSION='"$(VERSION)"'

$(SLUICE): $(call obj_of,$(CLI)) $(LIB_CONTROL) $(LIB_SIGHT) $(LIB_VMM) $(LIB_VIRTIO) \
		$(LIB_TCPSTACK) $(LIB_ARENA) $(LIB_JAIL) $(LIB_BASE)
	$(call link,$^,$(LDLIBS) -ljansson -lseccomp)

# --- tests ----------------------------------------------------------------
# tests/unit/test_X.c is one cmocka program each; the folder of what it tests
# is named by its first word: test_arena_*, test_tcpstack_*, test_virtio_*, ...
UNIT_SRC  := $(call src_of,tests/unit)
UNIT_BIN  := $(patsubst tests/unit/test_%.c,$(B)/tests/unit/test_%,$(filter tests/unit/test_%.c,$(UNIT_SRC)))

libs_base     := $(LIB_BASE)
libs_jail     := $(LIB_JAIL) $(LIB_BASE)
libs_arena    := $(LIB_ARENA) $(LIB_BASE)
libs_tcpstack := $(LIB_TCPSTACK) $(LIB_ARENA) $(LIB_BASE)
libs_virtio   := $(LIB_VIRTIO) $(libs_tcpstack)
libs_vmm      := $(LIB_VMM) $(libs_virtio)
libs_sight    := $(LIB_SIGHT) $(libs_virtio)
libs_control  := $(LIB_CONTROL) $(LIB_SIGHT) $(LIB_JAIL) $(libs_vmm)
libs_cli      := $(LIB_CLI) $(libs_control)
libs_for = $(libs_$(firstword $(subst _, ,$(patsubst $(B)/tests/unit/test_%,%,$(1)))))

.SECONDEXPANSION:
$(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $$(call libs_for,$$@)
	$(call link,$^,-lcmocka $(LDLIBS) -ljansson -lseccomp)

# tests/stack: frames in one side, real sockets on the other; rig.c is shared.
STACK_SRC := $(call src_of,tests/stack)
STACK_BIN := $(patsubst tests/stack/test_%.c,$(B)/tests/stack/test_%,$(filter tests/stack/test_%.c,$(STACK_SRC)))
STACK_RIG := $(call obj_of,$(filter-out tests/stack/test_%.c,$(STACK_SRC)))

$(B)/tests/stack/test_%: $(B)/tests/stack/test_%.o $(STACK_RIG) $(libs_tcpstack)
	$(call link,$^,-lcmocka $(LDLIBS))

# tests/vhost: front-ends over a socket, good and hostile ones; then whole guests.
VHOST_SRC := $(call src_of,tests/vhost)
VHOST_BIN := $(patsubst tests/vhost/test_%.c,$(B)/tests/vhost/test_%,$(filter tests/vhost/test_%.c,$(VHOST_SRC)))
VHOST_RIG := $(call obj_of,$(filter-out tests/vhost/test_%.c,$(VHOST_SRC)) $(call src_of,bench/front) \
	bench/ringpump/tcp.c bench/ringpump/host.c bench/load/pattern.c)

$(B)/tests/vhost/test_%: $(B)/tests/vhost/test_%.o $(VHOST_RIG) $(libs_virtio)
	$(call link,$^,-lcmocka $(LDLIBS))

$(B)/tests/vhost/test_jail $(B)/tests/vhost/test_jail_host: | $(SLUICE)

# tests/fuzz: fuzz_X.c is a target and corpus/X its seeds; tests/fuzz/fuzz.h says how.
# One line for each target: what it is linked with.
fuzz_boot = $(libs_vmm)
fuzz_config = $(libs_cli)
fuzz_console = $(FUZZ_RING)
fuzz_ctl = $(libs_control)
fuzz_dhcp = $(FUZZ_NET)
fuzz_dns = $(FUZZ_DNS)
fuzz_dnstcp = $(FUZZ_DNS)
fuzz_frames = $(FUZZ_NET)
fuzz_mmio = $(libs_vmm)
fuzz_ndp = $(FUZZ_NET)
fuzz_pci = $(libs_vmm)
fuzz_reass = $(libs_tcpstack)
fuzz_rng = $(FUZZ_RING)
fuzz_vhost = $(libs_virtio)
fuzz_vnet = $(FUZZ_RING)

FUZZ_NAMES  := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_REPLAY := $(FUZZ_NAMES:%=$(B)/tests/fuzz/replay_%)
FUZZ_BIN    := $(FUZZ_NAMES:%=$(B)/tests/fuzz/fuzz_%)
FUZZ_RIG    := $(call obj_of,tests/fuzz/common.c tests/fuzz/alloc.c tests/stack/own_network.c)
FUZZ_LIBS   := -lcmocka $(LDLIBS) -ljansson -lseccomp
FUZZ_RING   := $(call obj_of,tests/fuzz/ring.c tests/fuzz/ring_account.c) $(libs_virtio)
FUZZ_NET    := $(call obj_of,tests/fuzz/net.c) $(STACK_RIG) $(libs_tcpstack)
FUZZ_DNS    := $(call obj_of,tests/fuzz/resolver.c) $(FUZZ_NET)

$(B)/tests/fuzz/replay_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o $(FUZZ_RIG) $$(fuzz_$$*)
	$(call link,$^,$(FUZZ_LIBS))
$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(FUZZ_RIG) $$(fuzz_$$*)
	$(call link,$^,$(FUZZ_LIBS) -fsanitize=fuzzer)

# tests/fault: the stack rig once more, with the stack's system calls led through
# tests/fault/calls.c, and what calls the stack through inject.c.
FAULTS := $(B)/tests/fault/faults
FAULT_WRAP := sendmsg send recvmsg recv recvmmsg splice vmsplice pipe2 fcntl open eventfd socket \
	bind listen connect accept4 shutdown close epoll_create1 epoll_ctl epoll_wait epoll_pwait2 \
	getsockopt setsockopt getsockname getpeername madvise \
	io_uring_queue_init_params io_uring_submit_and_wait \
	loop_wait loop_wake_by stack_new stack_free stack_port_down stack_forward_add stack_input \
	stack_run stack_rx_refilled \
	_assert_true _assert_int_equal _assert_int_not_equal _assert_memory_equal _fail

$(FAULTS): $(call obj_of,$(call src_of,tests/fault)) $(STACK_RIG) $(libs_tcpstack)
	$(call link,$^,-lcmocka $(LDLIBS) $(foreach f,$(FAULT_WRAP),-Wl$(comma)--wrap=$(f)))

# --- programs for the guest and for load, static --------------------------
# They run inside guests of any distribution, so they need no library there.
LOAD := $(B)/load
INIT := $(B)/guest/init

STATIC_CFLAGS = $(filter-out -fsanitize=%,$(ALL_CFLAGS))

$(B)/static/%.o: %.c
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC      $< (static)")
	$(Q)$(CC) $(ALL_CPPFLAGS) $(STATIC_CFLAGS) -MMD -MP -c -o $@ $<

static_of = $(patsubst %.c,$(B)/static/%.o,$(1))

$(LOAD): $(call static_of,$(call src_of,bench/load))
$(INIT): $(call static_of,$(call src_of,tools/guest))
$(LOAD) $(INIT):
	@mkdir -p $(@D)
	$(if $(Q),@echo "  LD      $@")
	$(Q)$(CC) $(STATIC_CFLAGS) -static -o $@ $^

# Front-ends for any vhost-user back-end: a namespace as the guest, and a pump.
NSGUEST  := $(B)/nsguest
RINGPUMP := $(B)/ringpump

# Two namespaces whose link takes frames as a NIC does: a peer off this host.
OFFHOST  := $(B)/offhost

# What the jail's filters cost a system call.
JAILCOST := $(B)/jailcost

$(NSGUEST): $(call obj_of,$(call src_of,bench/nsguest) $(call src_of,bench/front)) $(LIB_BASE)
	$(call link,$^,)
$(RINGPUMP): $(call obj_of,$(call src_of,bench/ringpump) $(call src_of,bench/front) \
		bench/load/pattern.c) $(LIB_BASE)
	$(call link,$^,)
$(OFFHOST): $(call obj_of,$(call src_of,bench/offhost))
	$(call link,$^,)
$(B)/tests/stack/test_tcp_zerocopy $(B)/tests/stack/test_splice: | $(OFFHOST)

$(JAILCOST): $(call obj_of,$(call src_of,bench/jailcost)) $(LIB_JAIL) $(LIB_BASE)
	$(call link,$^,-lseccomp)

# A server that is so many milliseconds away.
DISTANCE := $(B)/distance

$(DISTANCE): $(call obj_of,$(call src_of,bench/distance) bench/nsguest/ns.c bench/nsguest/impair.c) \
		$(LIB_BASE)
	$(call link,$^,)

# Single operations of the data path, by the clock and by callgrind.
MICRO := $(B)/micro

$(MICRO): $(call obj_of,$(call src_of,bench/micro)) $(libs_virtio)
	$(call link,$^,$(LDLIBS))

GUEST := $(B)/guest/initramfs.cpio.gz

$(GUEST): $(LOAD) $(INIT) tools/mkguest tools/deps.sh
	$(Q)tools/deps.sh kernel --build $(B)
	$(Q)tools/mkguest --build $(B)

# --- what people call -----------------------------------------------------
SOURCES = $(shell git ls-files '*.c' '*.h' 2>/dev/null)

.PHONY: all demo check check-long unit stack vhost vhost-fast e2e asan tsan lint format guest install uninstall clean help

FAST_TESTS = $(UNIT_BIN) $(STACK_BIN) $(VHOST_BIN) $(FUZZ_REPLAY) $(FAULTS)

# The runner's own test comes first.
E2E_RUN := tests/e2e/test_nested.sh tests/e2e/run

all: $(SLUICE) $(LOAD) $(INIT) $(NSGUEST) $(RINGPUMP) $(OFFHOST) $(MICRO) $(DISTANCE) $(JAILCOST)	## build the program and its tools

demo:			## install what is missing, build, boot a guest, move real data
	$(Q)tools/demo --build $(B)

SHELL_TESTS = tests/test_groups.sh tests/test_clocks.sh tests/test_needs.sh
check: all $(FAST_TESTS) $(GUEST)	## run every test: unit, stack, vhost-user, end to end
	$(Q)BUILD=$(B) tests/run --timeout 600 $(SHELL_TESTS) $(FAST_TESTS) tests/bench/run \
		tests/packaging/install tests/packaging/fleet tests/vhost/run tests/vhost/engines $(E2E_RUN)

check-long: check	## the same, then guests with every bulk engine, at sizes that take minutes
	$(Q)CHECK_LONG=1 BUILD=$(B) tests/run --timeout 3600 tests/vhost/run tests/vhost/engines

unit: $(UNIT_BIN)	## run the unit tests
	$(Q)tests/run $(SHELL_TESTS) $(UNIT_BIN)

stack: $(STACK_BIN)	## run the stack rig: frames in, real sockets out
	$(Q)tests/run $(STACK_BIN)

vhost-fast: $(VHOST_BIN)
	$(Q)tests/run $(VHOST_BIN)

# tests/valgrind.supp has what is no fault. Left out are the jail's tests, since a filter
# sees the system calls of valgrind, too; the loop's, which count epoll_pwait2(), a call
# that valgrind 3.19 does not know; those whose clients are patient for some seconds,
# which is not enough for a program that is thirty times slower; the boot's, which
# map guests of several GiB and take minutes; and the resets in mid-work, since valgrind
# runs one thread at a time.
VALGRIND := valgrind --quiet --error-exitcode=99 --leak-check=full --fair-sched=yes \
	--show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect \
	--suppressions=tests/valgrind.supp
NOT_VALGRIND := %/test_jail_filters %/test_jail_process %/test_tcpstack_loop \
	%/test_control_socket %/test_sight_audit %/test_vmm_boot \
	%/test_virtio_reset

.PHONY: valgrind analyze analyze-objects
valgrind: $(UNIT_BIN)	## the unit tests under valgrind's memcheck
	$(Q)for t in $(filter $(NOT_VALGRIND),$(UNIT_BIN)); do \
		echo "valgrind: $$t is left out, see the Makefile"; done
	$(Q)tests/run --timeout 900 --under "$(VALGRIND)" $(filter-out $(NOT_VALGRIND),$(UNIT_BIN))

analyze:		## gcc's static analyzer on the sources; clean
	$(Q)$(MAKE) --no-print-directory B=$(B)/analyze CC=gcc ANALYZE=1 analyze-objects
	@echo "analyze: clean"

# It takes for lost what only the list node or the event within it is known by.
$(B)/bench/nsguest/impair.o $(B)/bench/load/dns.o: \
	ALL_CFLAGS += $(if $(ANALYZE),-Wno-analyzer-malloc-leak)

analyze-objects: $(patsubst %.c,$(B)/%.o,$(filter-out tests/%,$(filter %.c,$(SOURCES))))

.PHONY: fuzz fuzz-replay fuzz-run
fuzz-replay: $(FUZZ_REPLAY)	## run each fuzz target over its seeds and mutations of them
	$(Q)tests/run $(FUZZ_REPLAY)

.PHONY: guards
guards:			## take guards out of a copy, one by one: does the test that names them turn red?
	$(Q)tests/guards

SEEDS ?= 10000
FROM ?= 1
.PHONY: faults
faults: $(FAULTS)	## transfers in which system calls fail: SEEDS of them, from FROM on
	$(Q)$(FAULTS) --seeds $(SEEDS) --from $(FROM) --jobs 2

vhost: all $(VHOST_BIN) $(GUEST)	## run vhost-user sessions, and guests behind the back-end
	$(Q)BUILD=$(B) tests/run --timeout 600 $(VHOST_BIN) tests/vhost/run tests/vhost/engines

e2e: all $(GUEST)	## run the end-to-end tests: a stock kernel in our VMM
	$(Q)BUILD=$(B) tests/run --timeout 600 $(E2E_RUN)

guest: $(GUEST)		## fetch a Debian kernel and build the guest image

# The sanitizers are other builds of the same tests, so make calls itself once
# with another object directory.
asan:			## unit, stack, vhost-user and fuzz tests under AddressSanitizer and UBSan
	$(Q)$(MAKE) --no-print-directory B=$(B)/asan CC=clang SAN=address,undefined \
		unit stack vhost-fast vhost-traffic fuzz-replay

tsan:			## the threaded tests, and a back-end with traffic, under ThreadSanitizer
	$(Q)$(MAKE) --no-print-directory B=$(B)/tsan CC=clang SAN=thread tsan-tests vhost-traffic

.PHONY: tsan-tests
tsan-tests: $(filter %_worker %_spsc %_sight_audit,$(UNIT_BIN))
	$(Q)tests/run $^

# Linux's TCP through an instrumented back-end, which is slow: few bytes.
.PHONY: vhost-traffic
vhost-traffic: $(SLUICE) $(NSGUEST) $(LOAD) $(OFFHOST)
	$(Q)BUILD=$(B) SIZE=8m SIZE8=1m tests/vhost/run 10

# New inputs are kept in $(B)/fuzz/corpus; one that shows a fault belongs, made small
# and well named, into tests/fuzz/corpus.
FUZZ_SECONDS ?= 60
FUZZ ?= $(FUZZ_NAMES)
fuzz:			## libFuzzer for FUZZ_SECONDS on each target, or those that FUZZ names; coverage
	$(Q)$(MAKE) --no-print-directory B=$(B)/fuzz CC=clang SAN=fuzzer-no-link,address,undefined fuzz-run

fuzz-run: $(FUZZ:%=$(B)/tests/fuzz/fuzz_%)
	$(Q)tests/fuzz/run $(B) $(FUZZ_SECONDS) $(FUZZ)

.PHONY: bench bench-micro bench-alloc soak

BENCH_OUT ?= $(B)/bench
BENCH ?= --quick
bench:			## measure beside the peers that are installed: tables and plots
	$(Q)tools/deps.sh build guest bench >/dev/null || echo "bench: going on with what is at hand"
	$(Q)$(MAKE) -s all guest
	$(Q)rm -f $(BENCH_OUT)/result.json
	$(Q)status=0; BUILD=$(B) bench/compare $(BENCH) --out $(BENCH_OUT)/result.json || status=$$?; \
		[ $$status -ne 77 ] || exit 0; \
		bench/report $(BENCH_OUT)/result.json && exit $$status

bench-micro: $(MICRO)	## nanoseconds and instructions of single operations, and how they grow
	$(Q)$(MICRO)

bench-alloc: all	## heap calls a connection and a MB, under heaptrack and jemalloc
	$(Q)BUILD=$(B) tools/heaptrack.sh || [ $$? -eq 77 ]

MINUTES ?= 10
SOAK_OUT ?= $(B)/soak
soak: all		## mixed load for HOURS or MINUTES, with engine ENGINE; plots and a verdict
	$(Q)bench/soak/run --build $(B) --out $(SOAK_OUT) $(if $(ENGINE),--engine $(ENGINE)) \
		$(if $(HOURS),--hours $(HOURS),--minutes $(MINUTES)) || [ $$? -eq 77 ]

SCRIPTS = $(shell git ls-files tools tests bench packaging .ci ':!tests/fuzz/corpus' 2>/dev/null | \
	xargs grep -lE '^\#!.*(bash|/sh)' 2>/dev/null)
PYTHON  = $(shell git ls-files '*.py' 2>/dev/null) \
	$(shell git ls-files tools tests bench ':!tests/fuzz/corpus' 2>/dev/null | \
	xargs grep -lE '^\#!.*python' 2>/dev/null)
TIDY_FLAGS = -I. -D_GNU_SOURCE -std=gnu11 -DSLUICE_VERSION=\"lint\"
TIDY    = $(filter %.c,$(filter-out tests/% bench/%,$(SOURCES)))

lint:			## cppcheck, clang-tidy, format, shell scripts, man pages
	$(Q)clang-format --dry-run -Werror $(SOURCES)
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
		--inline-suppr --suppress=missingIncludeSystem -I. -D__x86_64__ \
		--suppress=unusedStructMember -j2 $(filter %.c,$(SOURCES))
	$(Q)printf '%s\n' $(TIDY) | xargs -P2 -n4 sh -c 'clang-tidy --quiet \
		--warnings-as-errors="*" "$$@" -- $(TIDY_FLAGS) 2>/dev/null' tidy
	$(Q)$(if $(SCRIPTS),shellcheck $(SCRIPTS))
	$(Q)$(if $(PYTHON),pyflakes3 $(PYTHON))
	$(Q)for m in $(wildcard docs/man/*.[1-8]); do mandoc -Tlint -W warning $$m || exit 1; done
	@echo "lint: clean"

format:			## rewrite the sources in the house style
	$(Q)clang-format -i $(SOURCES)

# An installed sluice has its helpers in $(libdir): they take it for the root of this tree.
libdir  = $(prefix)/lib/sluice
docdir  = $(prefix)/share/doc/sluice
unitdir ?= $(prefix)/lib/systemd/system
DOCS    = $(wildcard docs/*.md docs/*.json docs/*.png docs/*.svg docs/fleet/* docs/performance/*/*) docs/LICENSE
UNITS   = $(wildcard packaging/systemd/*.service)
D       = $(DESTDIR)

install: all		## install under $(prefix) (DESTDIR is honoured)
	install -D -m 755 $(SLUICE) $(D)$(bindir)/sluice
	install -m 755 tools/sluice-mkguest tools/sluice-demo $(D)$(bindir)/
	install -D -m 755 -t $(D)$(libdir) $(LOAD) $(INIT) $(NSGUEST)
	install -D -m 755 -t $(D)$(libdir)/tools tools/deps.sh tools/mkguest tools/nested \
		tools/nested-init tools/demo-here tools/demo-run
	install -D -m 755 tools/guest/udhcpc.script $(D)$(libdir)/tools/guest/udhcpc.script
	install -D -m 644 -t $(D)$(mandir)/man1 $(wildcard docs/man/*.1)
	install -D -m 644 -t $(D)$(mandir)/man5 $(wildcard docs/man/*.5)
	install -D -m 644 tools/completion/sluice \
		$(D)$(prefix)/share/bash-completion/completions/sluice
	for f in README.md $(DOCS); do install -D -m 644 $$f $(D)$(docdir)/$$f || exit 1; done
	install -d $(D)$(unitdir)
	for u in $(UNITS); do sed 's,/usr/bin/sluice,$(bindir)/sluice,' $$u \
		>$(D)$(unitdir)/$${u##*/} && chmod 644 $(D)$(unitdir)/$${u##*/} || exit 1; done
	for f in vmlinuz initramfs.cpio.gz; do [ ! -f $(B)/guest/$$f ] || \
		install -D -m 644 $(B)/guest/$$f $(D)$(prefix)/share/sluice/$$f || exit 1; done

# Folders that others may use are left, but for those of a DESTDIR that are empty.
uninstall:		## remove what install put there
	rm -f $(addprefix $(D)$(bindir)/,sluice sluice-mkguest sluice-demo)
	rm -f $(addprefix $(D)$(mandir)/man1/,$(notdir $(wildcard docs/man/*.1)))
	rm -f $(addprefix $(D)$(mandir)/man5/,$(notdir $(wildcard docs/man/*.5)))
	rm -f $(D)$(prefix)/share/bash-completion/completions/sluice
	rm -f $(addprefix $(D)$(unitdir)/,$(notdir $(UNITS)))
	rm -rf $(D)$(libdir) $(D)$(docdir) $(D)$(prefix)/share/sluice
	$(if $(DESTDIR),cd $(D)/ && rmdir -p --ignore-fail-on-non-empty $(patsubst /%,%,$(bindir) \
		$(prefix)/lib $(mandir)/man1 $(mandir)/man5 $(unitdir) \
		$(prefix)/share/bash-completion/completions $(prefix)/share/doc) 2>/dev/null || true)

.PHONY: deb deb-check
deb:			## build the Debian package into $(B)/deb; lintian judges it
	$(Q)tools/deps.sh build packaging
	$(Q)packaging/make-deb --build $(B)

deb-check: deb		## install it on a clean Debian 12, use it, purge it
	$(Q)BUILD=$(B) tests/run --timeout 180 tests/packaging/deb

clean:			## remove what was built
	rm -rf $(B)

help:			## list the targets
	@awk -F ':.*## *' '/^[a-z0-9-]+:.*## /{printf "  %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

-include $(shell find $(B) -name '*.d' 2>/dev/null)
