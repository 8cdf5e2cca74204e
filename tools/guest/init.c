/* SPDX-License-Identifier: MIT */
/*
 * PID 1 of the guest: from the kernel's hand to a command, and back to power off.
 *
 * Theory of operation. Mounts the kernel's file systems, loads the modules that
 * the image builder listed, in that order, brings the network up, and then either
 * serves one command over the virtio-console port of src/vmm/cmdproto.h or, where
 * the machine has no such port, gives a shell on the serial console. Everything
 * that has to be waited for is waited for by an event (uevents, link state,
 * poll), never by sleeping a fixed time, since boot time is a figure we report.
 *
 * `sluice.debug` on the kernel command line prints each step to the console.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/guest/guest.h"

#define MODULE_LIST "/lib/modules/load.list"

/* How long a console device may take to announce its ports; emulated machines are slow. */
#define PORT_TIMEOUT_MS 30000

static bool debug;

/* Prints one line to the console, with the time since boot, when sluice.debug is set. */
void progress(const char *fmt, ...)
{
	struct timespec ts;
	va_list ap;

	if (!debug)
		return;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	fprintf(stderr, "init: %ld.%03ld ", (long)ts.tv_sec, ts.tv_nsec / 1000000);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void warning(const char *what, const char *which)
{
	fprintf(stderr, "init: %s %s: %s\n", what, which, strerror(errno));
}

static void mount_one(const char *type, const char *where, unsigned long flags, const char *opts)
{
	mkdir(where, 0755);
	if (mount(type, where, type, flags, opts) && errno != EBUSY)
		warning("mount", where);
}

/* The initramfs has no device nodes, so the standard streams start closed. */
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
}

static void read_command_line(void)
{
	char buf[4096];
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return;
	buf[n] = '\0';
	for (char *save, *word = strtok_r(buf, " \n", &save); word;
	     word = strtok_r(NULL, " \n", &save))
		if (!strcmp(word, "sluice.debug"))
			debug = true;
}

/* A module whose device this machine lacks answers ENODEV; that is no fault. */
static void load_modules(void)
{
	char line[256], path[300];
	FILE *f = fopen(MODULE_LIST, "re");

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		int fd;

		line[strcspn(line, "\n")] = '\0';
		snprintf(path, sizeof(path), "/lib/modules/%s", line);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			warning("open", path);
			continue;
		}
		if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST && errno != ENODEV)
			warning("load", path);
		close(fd);
		progress("loaded %s", line);
	}
	fclose(f);
}

static void set_environment(void)
{
	setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", "vt100", 0);
	setenv("USER", "root", 1);
	if (sethostname("sluice", 6))
		warning("set", "hostname");
	if (chdir("/root"))
		warning("chdir", "/root");
}

static __attribute__((noreturn)) void power(int how)
{
	progress("%s", how == RB_AUTOBOOT ? "rebooting" : "powering off");
	reboot(how);
	/* PID 1 must not return: that would be a kernel panic. */
	for (;;)
		pause();
}

/*
 * handle_power_signal() - what busybox's halt, poweroff and reboot ask of PID 1.
 *
 * Returns false for any other signal; does not return for these three.
 */
bool handle_power_signal(int sig)
{
	switch (sig) {
	case SIGUSR1:
	case SIGUSR2:
		power(RB_POWER_OFF);
	case SIGTERM:
	case SIGINT:
		power(RB_AUTOBOOT);
	default:
		return false;
	}
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* Ctrl-Alt-Del, also a VMM's request to restart, becomes SIGINT here. */
	reboot(RB_DISABLE_CAD);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static __attribute__((noreturn)) void shell_child(void)
{
	sigset_t none;
	int fd;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	fd = open("/dev/ttyS0", O_RDWR);
	if (fd >= 0) {
		ioctl(fd, TIOCSCTTY, 1);
		for (int i = 0; i < 3; i++)
			dup2(fd, i);
		if (fd > 2)
			close(fd);
	}
	execl("/bin/sh", "-sh", (char *)NULL);
	_exit(127);
}

/* A shell on the serial console; returns when it has ended. */
static void shell_serve(int sigfd)
{
	pid_t shell = fork();

	if (shell == 0)
		shell_child();
	for (;;) {
		struct signalfd_siginfo info;
		pid_t gone;

		if (read(sigfd, &info, sizeof(info)) != sizeof(info))
			continue;
		handle_power_signal((int)info.ssi_signo);
		while ((gone = waitpid(-1, NULL, WNOHANG)) > 0)
			if (gone == shell)
				return;
	}
}

int main(void)
{
	char why[160];
	int uevents, sigfd, port;

	mount_one("devtmpfs", "/dev", MS_NOSUID, NULL);
	open_console();
	mount_one("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_one("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_one("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
	mount_one("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755");
	mount_one("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666");
	read_command_line();
	set_environment();
	sigfd = open_signals();
	progress("mounted");

	/* Listen before the drivers load, so that no announcement is missed. */
	uevents = uevent_open();
	load_modules();
	port = -1;
	if (console_device_present()) {
		port = port_open(uevents, PORT_TIMEOUT_MS);
		if (port < 0)
			fprintf(stderr, "init: no command port in %d s; a shell on ttyS0 instead\n",
				PORT_TIMEOUT_MS / 1000);
	}
	progress(port < 0 ? "no command port" : "command port open");
	if (uevents >= 0)
		close(uevents);

	if (net_up(why, sizeof(why))) {
		if (port >= 0)
			cmd_fail(port, why);
		fprintf(stderr, "init: %s\n", why);
		if (port >= 0)
			power(RB_POWER_OFF);
	}
	progress("network up");

	if (port >= 0)
		cmd_serve(port, sigfd);
	else
		shell_serve(sigfd);
	power(RB_POWER_OFF);
}
