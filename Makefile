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
	$(OPT) $(WARN) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -DSLUICE_DEBUG) $(CFLAGS)
WRAP := malloc calloc realloc free posix_memalign mmap
empty :=
comma := ,
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
CLI      := $(call src_of,src/cli) $(wildcard src/main.c)

LIB_BASE     := $(B)/libbase.a
LIB_ARENA    := $(B)/libarena.a
LIB_TCPSTACK := $(B)/libtcpstack.a
LIB_VIRTIO   := $(B)/libvirtio.a
LIB_VMM      := $(B)/libvmm.a

.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:

$(LIB_BASE): $(call obj_of,$(BASE))
$(LIB_ARENA): $(call obj_of,$(ARENA))
$(LIB_TCPSTACK): $(call obj_of,$(TCPSTACK))
$(LIB_VIRTIO): $(call obj_of,$(VIRTIO))
$(LIB_VMM): $(call obj_of,$(VMM))

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

$(SLUICE): $(call obj_of,$(CLI)) $(LIB_VMM) $(LIB_VIRTIO) $(LIB_TCPSTACK) $(LIB_ARENA) $(LIB_BASE)
	$(call link,$^,$(LDLIBS))

# --- tests ----------------------------------------------------------------
# tests/unit/test_X.c is one cmocka program each; the folder of what it tests
# is named by its first word: test_arena_*, test_tcpstack_*, test_virtio_*, ...
UNIT_SRC  := $(call src_of,tests/unit)
UNIT_BIN  := $(patsubst tests/unit/test_%.c,$(B)/tests/unit/test_%,$(filter tests/unit/test_%.c,$(UNIT_SRC)))

libs_base     := $(LIB_BASE)
libs_arena    := $(LIB_ARENA) $(LIB_BASE)
libs_tcpstack := $(LIB_TCPSTACK) $(LIB_ARENA) $(LIB_BASE)
libs_virtio   := $(LIB_VIRTIO) $(libs_tcpstack)
libs_vmm      := $(LIB_VMM) $(libs_virtio)
libs_for = $(libs_$(firstword $(subst _, ,$(patsubst $(B)/tests/unit/test_%,%,$(1)))))

.SECONDEXPANSION:
$(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $$(call libs_for,$$@)
	$(call link,$^,-lcmocka)

# tests/stack: frames in one side, real sockets on the other; rig.c is shared.
STACK_SRC := $(call src_of,tests/stack)
STACK_BIN := $(patsubst tests/stack/test_%.c,$(B)/tests/stack/test_%,$(filter tests/stack/test_%.c,$(STACK_SRC)))
STACK_RIG := $(call obj_of,$(filter-out tests/stack/test_%.c,$(STACK_SRC)))

$(B)/tests/stack/test_%: $(B)/tests/stack/test_%.o $(STACK_RIG) $(libs_tcpstack)
	$(call link,$^,-lcmocka)

.PHONY: all clean help unit stack

all: $(SLUICE)		## build the program

unit: $(UNIT_BIN)	## build and run the unit tests
	$(Q)set -e; for t in $(UNIT_BIN); do echo "== $$t"; $$t; done

stack: $(STACK_BIN)	## build and run the stack rig tests
	$(Q)set -e; for t in $(STACK_BIN); do echo "== $$t"; $$t; done

clean:			## remove what was built
	rm -rf $(B)

help:			## list the targets
	@awk -F ':.*## *' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
