/* SPDX-License-Identifier: MIT */
/* Ports that every PC has; see the header for why these. */
#include "src/vmm/legacy.h"

#include <string.h>

#include "src/vmm/layout.h"

#define I8042_PULSE_RESET 0xfe
#define ACPI_SLP_EN	  (1 << 5)
#define ACPI_SLP_TYP(v)	  (((v) >> 2) & 7)

/*
 * Zeros: the clock chip says "no update in progress" and the keyboard controller
 * "both buffers empty". All ones, which an absent port answers, would mean
 * "busy", and kernels wait for that to end.
 */
static void read_zero(void *ctx, uint64_t off, void *data, uint32_t len)
{
	(void)ctx;
	(void)off;
	memset(data, 0, len);
}

static void write_nothing(void *ctx, uint64_t off, const void *data, uint32_t len)
{
	(void)ctx;
	(void)off;
	(void)data;
	(void)len;
}

static void i8042_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
	struct legacy *l = ctx;

	(void)off;
	if (len == 1 && *(const uint8_t *)data == I8042_PULSE_RESET)
		l->event(l->ctx, LEGACY_RESET);
}

static void acpi_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
	struct legacy *l = ctx;
	uint8_t v = *(const uint8_t *)data;

	if (len != 1)
		return;
	if (off == 0 && (v & ACPI_SLP_EN) && ACPI_SLP_TYP(v) == ACPI_SLP_TYP_S5)
		l->event(l->ctx, LEGACY_POWEROFF);
	if (off == PORT_ACPI_RESET - PORT_ACPI_SLEEP_CONTROL && v == ACPI_RESET_VALUE)
		l->event(l->ctx, LEGACY_RESET);
}

/*
 * All the firmware there is, at the BIOS's entry point. Linux on hardware-reduced
 * ACPI restarts by EFI or, without one, by jumping there in real mode; it never
 * tries the reset register that our FADT names. So the jump leads to that register.
 */
static const uint8_t firmware[] = {
	0xba,
	PORT_ACPI_RESET & 0xff,
	PORT_ACPI_RESET >> 8, /* mov dx, reset port */
	0xb0,
	ACPI_RESET_VALUE, /* mov al, value */
	0xee,		  /* out dx, al */
	0xf4,		  /* hlt */
	0xeb,
	0xfd, /* jmp to the hlt */
};

static_assert(BIOS_ENTRY_ADDR + sizeof(firmware) <= HIGH_RAM_START, "fits below 1 MiB");

static const struct bus_ops rtc_ops = { .read = read_zero, .write = write_nothing };
static const struct bus_ops i8042_data_ops = { .read = read_zero, .write = write_nothing };
static const struct bus_ops i8042_cmd_ops = { .read = read_zero, .write = i8042_write };
static const struct bus_ops acpi_ops = { .read = read_zero, .write = acpi_write };

/**
 * legacy_attach() - claim the ports; main thread, before vCPUs run
 *
 * Return: 0 or what bus_add() says
 */
int legacy_attach(struct legacy *l, struct bus *pio)
{
	int err = bus_add(pio, PORT_RTC, 2, &rtc_ops, l);

	if (!err)
		err = bus_add(pio, PORT_I8042_DATA, 1, &i8042_data_ops, l);
	if (!err)
		err = bus_add(pio, PORT_I8042_CMD, 1, &i8042_cmd_ops, l);
	if (!err)
		err = bus_add(pio, PORT_ACPI_SLEEP_CONTROL, 3, &acpi_ops, l);
	return err;
}

/**
 * legacy_install_firmware() - put the code of the restart path into guest memory
 *
 * Main thread, after the loader. Return: 0 or -EFAULT
 */
int legacy_install_firmware(const struct gmem *mem)
{
	return gmem_write(mem, BIOS_ENTRY_ADDR, firmware, sizeof(firmware));
}
